/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/name.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PART_CHARS   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+-"
#define CDEV_PREFIX  "/dev/vfio/devices/vfio"
#define GROUP_PREFIX "/dev/vfio/"
#define NODE_DIGITS  9 /* of the number of a node */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* min to max hex digits, then `end`. Returns what follows it, or NULL. */
static const char *take_hex(const char *p, int min, int max, char end, uint32_t *value)
{
	int n = 0;

	for (*value = 0; n < max && hex_digit(*p) >= 0; n++, p++)
		*value = *value << 4 | (uint32_t)hex_digit(*p);
	if (n < min || *p != end)
		return NULL;
	return end ? p + 1 : p;
}

int host_bdf_parse(char *out, const char *text)
{
	uint32_t domain = 0, bus = 0, device = 0, function = 0;
	const char *first = strchr(text, ':'), *p = text;

	/* Domains of more than 16 bits exist behind Intel VMD. */
	if (first && strchr(first + 1, ':'))
		p = take_hex(p, 4, 8, ':', &domain);
	if (p)
		p = take_hex(p, 2, 2, ':', &bus);
	if (p)
		p = take_hex(p, 2, 2, '.', &device);
	if (p)
		p = take_hex(p, 1, 1, 0, &function);
	if (!p || device > 0x1f || function > 7)
		return -EINVAL;
	snprintf(out, HOST_NAME_CHARS + 1, "%04x:%02x:%02x.%x", domain, bus, device, function);
	return 0;
}

int host_uuid_parse(char *out, const char *text)
{
	size_t i;

	for (i = 0; i < HOST_UUID_CHARS; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : hex_digit(text[i]) < 0)
			return -EINVAL;
		out[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]);
	}
	out[i] = 0;
	return text[i] ? -EINVAL : 0;
}

/* A decimal number of a node: no sign, no leading zero. */
static bool is_number(const char *p)
{
	size_t n = strspn(p, "0123456789");

	return n && n <= NODE_DIGITS && !p[n] && (n == 1 || *p != '0');
}

bool host_is_group_node(const char *text)
{
	size_t n = strlen(GROUP_PREFIX);

	if (strncmp(text, GROUP_PREFIX, n) != 0)
		return false;
	if (!strncmp(text + n, "noiommu-", 8))
		n += 8;
	return is_number(text + n);
}

bool host_part_is_sane(const char *text)
{
	size_t n = strspn(text, PART_CHARS);

	return n && n <= HOST_NAME_CHARS && !text[n] && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

/* The last part of a path under /sys, trailing slashes aside. */
static int last_part(char *out, const char *path)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/'; start--)
		;
	if (end - start > HOST_NAME_CHARS)
		return -EINVAL;
	memcpy(out, path + start, end - start);
	out[end - start] = 0;
	return 0;
}

int host_name_parse(struct host_name *out, const char *text)
{
	const size_t cdev = strlen(CDEV_PREFIX);
	char part[HOST_NAME_CHARS + 1];

	if (!strncmp(text, CDEV_PREFIX, cdev)) {
		out->kind = HOST_CDEV;
		if (!is_number(text + cdev))
			return -EINVAL;
		memcpy(out->text, text, strlen(text) + 1);
		return 0;
	}
	if (!strncmp(text, "/sys/", 5)) {
		if (last_part(part, text) != 0)
			return -EINVAL;
		text = part;
	}
	out->kind = HOST_FUNCTION;
	if (!host_bdf_parse(out->text, text))
		return 0;
	out->kind = HOST_MDEV;
	return host_uuid_parse(out->text, text);
}

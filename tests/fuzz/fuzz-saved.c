/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a saved domain, from anybody: refused with a sentence, or its XML is text of a size
 * that is allowed, whole and ended, and is then the definition's affair. The first byte of an input
 * says what the rest is:
 *
 *   even: a file, byte for byte
 *   odd:  two bytes that are laid over the trailer (where, and what), and a file's XML, with a
 *         checksum that fits
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libvirt-driver/saved.h"
#include "util/state.h"

#define TRAILER 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int true_now)
{
	if (!true_now)
		abort();
}

static void put(int fd, const void *data, size_t len)
{
	must(write(fd, data, len) == (ssize_t)len);
}

/* A trailer that is right, but for one byte. */
static void put_trailed(int fd, const uint8_t *data, size_t size)
{
	uint8_t trailer[TRAILER] = { 'A', 'D', 'I', 'T', 'S', 'A', 'V', 'E', 1 };
	const uint8_t *xml = data + 2;
	uint32_t len = (uint32_t)(size - 2), checksum = state_checksum(xml, len);

	memcpy(trailer + 16, &len, sizeof(len));
	memcpy(trailer + 20, &checksum, sizeof(checksum));
	trailer[data[0] % TRAILER] ^= data[1];
	put(fd, xml, len);
	put(fd, trailer, sizeof(trailer));
}

static void define(const struct saved *saved)
{
	const struct definition_host host = { "/run/x", "/usr/bin/adit" };
	struct refusal refusal = { 0 };
	struct definition *definition = definition_parse(saved->xml, saved->len, &host, &refusal);

	must(definition || (refusal.fault && *refusal.err.text));
	/* What can be saved is asked of what was read as well. */
	if (definition && saved_check(definition, &refusal))
		must(refusal.fault == FAULT_CONFIG_UNSUPPORTED && *refusal.err.text);
	definition_free(definition);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct refusal refusal = { 0 };
	struct saved saved;
	int fd;

	if (!size)
		return 0;
	fd = memfd_create("saved", MFD_CLOEXEC);
	must(fd >= 0);
	if (data[0] & 1 && size >= 3)
		put_trailed(fd, data + 1, size - 1);
	else
		put(fd, data + 1, size - 1);
	if (saved_read(&saved, fd, "a file", &refusal)) {
		must(refusal.fault && *refusal.err.text && saved.fd < 0 && !saved.xml);
		return 0;
	}
	must(saved.fd == fd && saved.len && saved.len <= DEFINITION_MAX_XML);
	must(strlen(saved.xml) == saved.len);
	define(&saved);
	saved_close(&saved);
	must(saved.fd < 0 && !saved.xml);
	return 0;
}

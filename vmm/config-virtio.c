/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no single key of the virtio devices can know: names that are there once, sizes that must be
 * powers of two.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/config-draft.h"

/* Which device a name belongs to: for the sentence. */
struct named {
	const char *list;
	size_t index;
	char **id;
};

#define NAMED_MAX (CONFIG_MAX_DISKS + CONFIG_MAX_NET)

static size_t collect(struct config *config, struct named *out)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_disks; i++)
		out[n++] = (struct named){ "disks", i, &config->disks[i].id };
	for (size_t i = 0; i < config->n_net; i++)
		out[n++] = (struct named){ "net", i, &config->net[i].id };
	return n;
}

/* "disks" and 0 -> "disk0"; "net" stays as it is. */
static int name_devices(struct named *all, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(all[i].list);

		if (*all[i].id)
			continue;
		if (all[i].list[len - 1] == 's')
			len--;
		if (asprintf(all[i].id, "%.*s%zu", (int)len, all[i].list, all[i].index) < 0) {
			*all[i].id = NULL;
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	return 0;
}

static int check_names(const struct named *all, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (*all[i].id && *all[j].id && !strcmp(*all[i].id, *all[j].id))
				return err_set(err, EINVAL,
					       "/%s/%zu/id: \"%s\" is the name of /%s/%zu "
					       "already; choose another",
					       all[i].list, all[i].index, *all[i].id, all[j].list,
					       all[j].index);
		}
	}
	return 0;
}

static int check_queue_size(const char *list, size_t index, uint32_t size, struct err *err)
{
	if (is_pow2(size))
		return 0;
	return err_set(err, EINVAL, "/%s/%zu/queue_size: %u is no power of two", list, index, size);
}

/* "52:54:00:12:34:56": of one station, so the lowest bit of the first byte is 0. */
static bool parse_mac(const char *text, uint8_t *mac)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned int i = 0; i < 17; i++) {
		const char *digit = text[i] ? strchr(digits, text[i] | 0x20) : NULL;

		if (i % 3 == 2 ? text[i] != ':' : !digit)
			return false;
		if (i % 3 != 2)
			mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | (digit - digits));
	}
	return !text[17] && !(mac[0] & 1);
}

static int settle_disk(const struct config_disk *disk, size_t index, struct err *err)
{
	if (!disk->path == !disk->fd)
		return err_set(err, EINVAL, "/disks/%zu: needs \"path\" or \"fd\", one of the two",
			       index);
	return check_queue_size("disks", index, disk->queue_size, err);
}

static int settle_net(struct config_net *net, size_t index, struct err *err)
{
	if (!net->tap == !net->fd)
		return err_set(err, EINVAL, "/net/%zu: needs \"tap\" or \"fd\", one of the two",
			       index);
	if (net->num_queues % 2 || (net->fd && net->num_queues != 2))
		return err_set(
			err, EINVAL,
			"/net/%zu/num_queues: %u: it is two for each pair, and \"fd\" serves "
			"one pair",
			index, net->num_queues);
	if (net->vhost && (net->limits.bytes.size || net->limits.ops.size))
		return err_set(
			err, EINVAL,
			"/net/%zu/vhost: does not go with \"rate_limiter_config\": the kernel "
			"moves frames without asking; remove one of them",
			index);
	if (net->mac_text) {
		if (!parse_mac(net->mac_text, net->mac))
			return err_set(
				err, EINVAL,
				"/net/%zu/mac: must be six bytes as \"52:54:00:12:34:56\", the "
				"first of them even",
				index);
		net->has_mac = true;
	}
	free(net->mac_text);
	net->mac_text = NULL;
	return check_queue_size("net", index, net->queue_size, err);
}

/* As for the serial port: each path key belongs to one mode. `at` is the sink's pointer. */
static int settle_sink(struct config_sink *sink, const char *at, struct err *err)
{
	const struct {
		const char *key, *mode_name;
		enum config_serial mode;
		bool required;
		char **path;
	} rows[] = {
		{ "file", "File", SERIAL_FILE, true, &sink->file },
		{ "socket", "Socket", SERIAL_SOCKET, true, &sink->socket },
		{ "link", "Pty", SERIAL_PTY, false, &sink->link },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool mine = sink->mode == rows[i].mode;

		if (*rows[i].path && !mine)
			return err_set(err, EINVAL,
				       "%s/%s: goes only with \"mode\": \"%s\"; remove it or set "
				       "that",
				       at, rows[i].key, rows[i].mode_name);
		if (mine && rows[i].required && !*rows[i].path)
			return err_set(err, EINVAL,
				       "%s/%s: is missing; \"mode\": \"%s\" needs this path", at,
				       rows[i].key, rows[i].mode_name);
		if (mine) {
			sink->path = *rows[i].path;
			*rows[i].path = NULL;
		}
	}
	return 0;
}

static int settle_console(struct config *config, struct err *err)
{
	struct config_console *console = &config->console;
	int ret = settle_sink(&console->sink, "/console", err);

	if (!ret && console->present && console->sink.mode == SERIAL_TTY &&
	    config->serial.mode == SERIAL_TTY)
		ret = err_set(err, EINVAL,
			      "/console/mode: the serial port has the terminal already; set "
			      "/serial/mode to \"Null\"");
	for (size_t i = 0; i < console->n_ports && !ret; i++) {
		char at[40];

		snprintf(at, sizeof(at), "/console/ports/%zu", i);
		ret = settle_sink(&console->ports[i].sink, at, err);
		for (size_t j = 0; j < i && !ret; j++) {
			if (!strcmp(console->ports[i].name, console->ports[j].name))
				ret = err_set(err, EINVAL,
					      "%s/name: \"%s\" is the name of /console/ports/%zu "
					      "already; choose another",
					      at, console->ports[i].name, j);
		}
	}
	return ret;
}

static int settle_vsock(const struct config_vsock *vsock, struct err *err)
{
	if (!vsock->present || (vsock->cid && vsock->socket))
		return 0;
	return err_set(err, EINVAL, "/vsock/%s: is missing", vsock->cid ? "socket" : "cid");
}

/* Pages under a device's DMA would stay pinned, and the device would go on using them. */
static int settle_balloon(const struct config *config, struct err *err)
{
	bool devices = config->n_devices || config->n_user_devices;

	if (!config->balloon.present)
		return 0;
	if ((config->balloon.size || config->balloon.reporting) && (devices || config->n_adis))
		return err_set(
			err, EINVAL,
			"/balloon/%s: does not go with %s: memory that is mapped for DMA "
			"does not come free and stays in reach; leave it out (statistics still "
			"come), or the %s",
			config->balloon.size ? "size" : "free_page_reporting",
			devices ? "/devices" : "/adis", devices ? "devices" : "ADIs");
	if (config->balloon.size >= config->memory.size)
		return err_set(err, EINVAL,
			       "/balloon/size: the guest would have nothing left; it must be below "
			       "/memory/size");
	return 0;
}

int config_settle_virtio(struct config *config, struct err *err)
{
	struct named all[NAMED_MAX];
	size_t n = collect(config, all);
	int ret = name_devices(all, n, err);

	if (!ret)
		ret = check_names(all, n, err);
	for (size_t i = 0; i < config->n_disks && !ret; i++)
		ret = settle_disk(&config->disks[i], i, err);
	for (size_t i = 0; i < config->n_net && !ret; i++)
		ret = settle_net(&config->net[i], i, err);
	if (!ret)
		ret = settle_console(config, err);
	if (!ret)
		ret = settle_vsock(&config->vsock, err);
	if (!ret)
		ret = settle_balloon(config, err);
	return ret;
}

static void free_sink(struct config_sink *sink)
{
	free(sink->path);
	free(sink->file);
	free(sink->socket);
	free(sink->link);
}

void config_free_disk(struct config_disk *disk)
{
	free(disk->id);
	free(disk->path);
	free(disk->serial);
}

void config_free_net(struct config_net *net)
{
	free(net->id);
	free(net->tap);
	free(net->mac_text);
}

void config_free_virtio(struct config *config)
{
	for (size_t i = 0; i < config->n_disks; i++)
		config_free_disk(&config->disks[i]);
	free(config->disks);
	for (size_t i = 0; i < config->n_net; i++)
		config_free_net(&config->net[i]);
	free(config->net);
	free(config->rng.src);
	free_sink(&config->console.sink);
	for (size_t i = 0; i < config->console.n_ports; i++) {
		free(config->console.ports[i].name);
		free_sink(&config->console.ports[i].sink);
	}
	free(config->console.ports);
	free(config->vsock.socket);
}

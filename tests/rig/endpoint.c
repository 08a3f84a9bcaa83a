/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI Express function with the capabilities that no function of QEMU's has (PASID, PRI, ATS), as
 * a vfio-user server for QEMU's vfio-user-pci: what a scenario's ENDPOINT starts beside QEMU. It
 * serves one client after another until it is killed, and says "ready" when it listens.
 *
 *   endpoint SOCKET [ats] [pri] [pasid] [exec] [priv] [width=N]
 *
 * BAR0 is 4 KiB of memory with MSI-X in its upper half; a write to its first four bytes raises the
 * vector of that number.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "passthrough/vfio-user/server.h"
#include "util/bits.h"

#define VENDOR	    0x1234
#define DEVICE	    0xad17
#define CLASS	    0xff0000 /* unassigned */
#define CONFIG_SIZE 4096u
#define BAR_SIZE    4096u
#define VECTORS	    2u
#define MSIX_TABLE  0x800u
#define MSIX_PBA    0xc00u
#define EXPRESS	    0x40u
#define MSIX	    0x80u
#define EXT_CAPS    0x100u

struct endpoint {
	struct vfu_server *server;
	bool ats, pri, pasid, exec, priv;
	unsigned int width;
	uint32_t last_ext, end_ext;
	uint8_t config[CONFIG_SIZE], writable[CONFIG_SIZE], power_on[CONFIG_SIZE];
	uint8_t bar[BAR_SIZE];
};

/* --- configuration space --------------------------------------------------------------------- */

static void put(struct endpoint *e, uint32_t at, uint64_t value, unsigned int size)
{
	store_le(e->config + at, value, size);
}

static void may_write(struct endpoint *e, uint32_t at, uint64_t mask, unsigned int size)
{
	store_le(e->writable + at, mask, size);
}

static void write_header(struct endpoint *e)
{
	put(e, PCI_VENDOR_ID, VENDOR, 2);
	put(e, PCI_DEVICE_ID, DEVICE, 2);
	put(e, PCI_CLASS_PROG, CLASS, 3);
	put(e, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	put(e, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64, 4);
	put(e, PCI_CAPABILITY_LIST, EXPRESS, 1);
	may_write(e, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	may_write(e, PCI_BASE_ADDRESS_0, ~(uint64_t)(BAR_SIZE - 1), 8);
}

/* PCI Express Base 6.0 section 7.5.3; a PASID travels in an End-End TLP prefix (section 6.20). */
static void write_capabilities(struct endpoint *e)
{
	put(e, EXPRESS, PCI_CAP_ID_EXP | MSIX << 8, 2);
	put(e, EXPRESS + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_RC_END << 4, 2);
	put(e, EXPRESS + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 4);
	put(e, EXPRESS + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_EE_PREFIX | 1u << 22, 4);
	put(e, MSIX, PCI_CAP_ID_MSIX, 2);
	put(e, MSIX + PCI_MSIX_FLAGS, VECTORS - 1, 2);
	put(e, MSIX + PCI_MSIX_TABLE, MSIX_TABLE, 4);
	put(e, MSIX + PCI_MSIX_PBA, MSIX_PBA, 4);
	may_write(e, MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
}

static uint32_t add_ext(struct endpoint *e, uint16_t id, uint32_t size)
{
	uint32_t at = e->end_ext;

	put(e, at, id | 1u << 16, 4);
	if (e->last_ext)
		put(e, e->last_ext, load_le(e->config + e->last_ext, 4) | at << 20, 4);
	e->last_ext = at;
	e->end_ext += size;
	return at;
}

/* Sections 10.5.1 (ATS), 10.5.2 (PRI) and 7.8.9 (PASID). */
static void write_ext_capabilities(struct endpoint *e)
{
	uint32_t at;

	if (e->ats) {
		at = add_ext(e, PCI_EXT_CAP_ID_ATS, 8);
		put(e, at + PCI_ATS_CAP, PCI_ATS_CAP_PAGE_ALIGNED, 2);
		may_write(e, at + PCI_ATS_CTRL, PCI_ATS_CTRL_ENABLE | 0x1f, 2);
	}
	if (e->pri) {
		at = add_ext(e, PCI_EXT_CAP_ID_PRI, 16);
		put(e, at + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_PASID, 2);
		put(e, at + PCI_PRI_MAX_REQ, 32, 4);
		may_write(e, at + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE, 2);
		may_write(e, at + PCI_PRI_ALLOC_REQ, 0xffffffff, 4);
	}
	if (e->pasid) {
		at = add_ext(e, PCI_EXT_CAP_ID_PASID, 8);
		put(e, at + PCI_PASID_CAP,
		    (e->exec ? PCI_PASID_CAP_EXEC : 0) | (e->priv ? PCI_PASID_CAP_PRIV : 0) |
			    e->width << 8,
		    2);
		may_write(e, at + PCI_PASID_CTRL,
			  PCI_PASID_CTRL_ENABLE | (e->exec ? PCI_PASID_CTRL_EXEC : 0) |
				  (e->priv ? PCI_PASID_CTRL_PRIV : 0),
			  2);
	}
}

/* --- the device as the server calls it ------------------------------------------------------- */

static int endpoint_read(void *opaque, unsigned int region, uint64_t offset, void *data,
			 uint32_t count)
{
	const struct endpoint *e = opaque;

	memcpy(data, (region == VFU_REGION_CONFIG ? e->config : e->bar) + offset, count);
	return 0;
}

static int endpoint_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
			  uint32_t count)
{
	const uint8_t *bytes = data;
	struct endpoint *e = opaque;

	if (region == VFU_REGION_CONFIG) {
		for (uint32_t i = 0; i < count; i++) {
			uint8_t mask = e->writable[offset + i], *to = e->config + offset + i;

			*to = (uint8_t)((*to & ~mask) | (bytes[i] & mask));
		}
		return 0;
	}
	memcpy(e->bar + offset, bytes, count);
	if (!offset && count >= 4)
		vfu_fire(e->server, (unsigned int)load_le(bytes, 4));
	return 0;
}

/* It does no DMA, so that it need not remember where it could. */
static int endpoint_map(void *opaque, const struct vfu_range *range)
{
	return 0;
}

static int endpoint_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	return 0;
}

static void endpoint_unmap_all(void *opaque)
{
}

static int endpoint_reset(void *opaque)
{
	struct endpoint *e = opaque;

	memcpy(e->config, e->power_on, sizeof(e->config));
	memset(e->bar, 0, sizeof(e->bar));
	return 0;
}

static const struct vfu_device_ops ops = {
	.read = endpoint_read,
	.write = endpoint_write,
	.map = endpoint_map,
	.unmap = endpoint_unmap,
	.unmap_all = endpoint_unmap_all,
	.reset = endpoint_reset,
};

/* --- the program ----------------------------------------------------------------------------- */

static void die(const char *what)
{
	fprintf(stderr, "endpoint: %s\n", what);
	exit(2);
}

static void parse(struct endpoint *e, int argc, char **argv)
{
	const struct {
		const char *word;
		bool *flag;
	} words[] = { { "ats", &e->ats },
		      { "pri", &e->pri },
		      { "pasid", &e->pasid },
		      { "exec", &e->exec },
		      { "priv", &e->priv } };

	for (int i = 2; i < argc; i++) {
		size_t w = 0;

		if (sscanf(argv[i], "width=%u", &e->width) == 1 && e->width <= 20)
			continue;
		while (w < ARRAY_SIZE(words) && strcmp(words[w].word, argv[i]))
			w++;
		if (w == ARRAY_SIZE(words))
			die("SOCKET [ats] [pri] [pasid] [exec] [priv] [width=0..20]");
		*words[w].flag = true;
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		die("the socket's path is too long");
	strcpy(address.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		die(strerror(errno));
	return fd;
}

static void serve(struct endpoint *e, int connection)
{
	const struct vfu_device device = {
		.ops = &ops,
		.opaque = e,
		.regions = { [0] = { .size = BAR_SIZE, .read = true, .write = true },
			     [VFU_REGION_CONFIG] = { .size = CONFIG_SIZE,
						     .read = true,
						     .write = true } },
		.vectors = VECTORS,
		.max_maps = UINT16_MAX,
		.name = "endpoint",
	};
	struct err err = { 0 };

	if (vfu_server_create(&e->server, connection, &device, &err))
		die(err.text);
	if (vfu_serve(e->server, &err))
		fprintf(stderr, "endpoint: %s\n", err.text);
	vfu_server_destroy(e->server);
}

int main(int argc, char **argv)
{
	static struct endpoint e = { .width = 20, .end_ext = EXT_CAPS };
	int fd, connection;

	if (argc < 2)
		die("SOCKET [ats] [pri] [pasid] [exec] [priv] [width=0..20]");
	parse(&e, argc, argv);
	write_header(&e);
	write_capabilities(&e);
	write_ext_capabilities(&e);
	memcpy(e.power_on, e.config, sizeof(e.config));
	fd = listen_at(argv[1]);
	puts("ready");
	fflush(stdout);
	while ((connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		serve(&e, connection);
	die(strerror(errno));
}

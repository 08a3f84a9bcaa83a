/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs of an assigned function that other functions' DMA may reach: each part that the guest has
 * mapped is in the I/O space of the VM's devices too, at the same address and for just as long. The
 * kernel gives a part as a dma-buf and takes that into an IOAS (IOAS_MAP_FILE); both from
 * Linux 6.19 on, with CONFIG_VFIO_PCI_DMABUF. Where it does not, a device that is told to reach
 * another one is stopped by the IOMMU, as it is without all this.
 *
 * A reset of the function, and switching its memory decoding off, take the pages out of the space
 * for good (drivers/vfio/pci/vfio_pci_dmabuf.c, vfio_pci_dma_buf_move): a guest's reset leaves no
 * BAR decoded, so what is shown afterwards is mapped anew.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/vfio/internal.h"
#include "util/bits.h"

static void show(void *opaque, uint64_t gpa)
{
	struct vfio_peer *peer = opaque;
	struct vfio_function *f = peer->function;
	const struct ioasid_mapping mapping = {
		.iova = gpa,
		.size = peer->size,
		.hva = peer->hva,
		.rights = IOASID_READ | IOASID_WRITE,
		.fd = peer->dma_buf,
	};
	struct err err;

	peer->mapped = !ioasid_map(f->peers, &mapping, &err);
	peer->iova = gpa;
	if (!peer->mapped)
		log_limited(f->log, &f->limit, LOG_WARN, "vfio",
			    "%s: other devices do not reach 0x%llx bytes of its registers: %s",
			    f->name, (unsigned long long)peer->size, err.text);
}

static void hide(void *opaque)
{
	struct vfio_peer *peer = opaque;
	struct vfio_function *f = peer->function;
	struct err err;

	/* On failure the space is blocked for all devices (ioasid-client/space.h): nothing is
	 * reached any more. */
	if (peer->mapped && ioasid_unmap(f->peers, peer->iova, peer->size, &err))
		log_limited(f->log, &f->limit, LOG_ERROR, "vfio", "%s: %s", f->name, err.text);
	peer->mapped = false;
}

static const struct pci_mirror_ops mirror = { .show = show, .hide = hide };

bool vfio_function_has_peers(const struct vfio_function *function)
{
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (function->bars[i].n_peers)
			return true;
	}
	return false;
}

void vfio_peer_add(struct vfio_function *f, unsigned int index, uint64_t offset, uint64_t size,
		   void *hva)
{
	struct vfio_region *region = &f->bars[index];
	struct vfio_peer *peer = &region->peers[region->n_peers];
	int fd;

	if (region->n_peers == ARRAY_SIZE(region->peers))
		return;
	fd = vfio_get_dma_buf(f, index, offset, size);
	if (fd < 0) {
		log_limited(f->log, &f->limit, LOG_INFO, "vfio",
			    "%s: other devices do not reach BAR %u: the kernel gives no dma-buf of "
			    "it (%s); Linux does from 6.19 on, with CONFIG_VFIO_PCI_DMABUF",
			    f->name, index, strerror(-fd));
		/* Where the first is not given, none is. What was given is shown there. */
		if (!vfio_function_has_peers(f))
			f->peers = NULL;
		return;
	}
	*peer = (struct vfio_peer){ .function = f, .dma_buf = fd, .hva = hva, .size = size };
	region->n_peers++;
	pci_function_bar_mirror(f->pci, index, offset, &mirror, peer);
}

/* Off the bus: no part is shown. */
void vfio_peers_destroy(struct vfio_function *f)
{
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		for (unsigned int p = 0; p < f->bars[i].n_peers; p++)
			close(f->bars[i].peers[p].dma_buf);
		f->bars[i].n_peers = 0;
	}
}

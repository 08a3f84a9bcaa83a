/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as the peer of the guest in adit bench dma: the same payload in its microvm, with the device
 * behind vfio-pci or vfio-user-pci. No firmware runs, so the payload gives the BARs their places.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/child.h"
#include "bench/dma-internal.h"
#include "bench/microvm-flat.h"

#define WINDOW 0xc0000000u /* of microvm's PCI Express root, 32-bit (hw/i386/microvm.h) */

/* The root, and what of QEMU's device stands for ours. */
static void add_device(const struct dma *dma, struct microvm_flat *flat, char *device, size_t size)
{
	static const char memory[] = "memory-backend-memfd,id=ram,share=on,size=" DMA_GUEST_MEMORY;
	static const char huge[] = "memory-backend-memfd,id=ram,share=on,hugetlb=on,"
				   "hugetlbsize=2M,size=" DMA_GUEST_MEMORY;
	bool in_huge = dma->memory->page_shift > 12;

	microvm_flat_add(flat, (const char *const[]){ "-M", "pcie=on", NULL });
	if (in_huge || dma->provider == &dma_served)
		microvm_flat_add(flat, (const char *const[]){ "-object", in_huge ? huge : memory,
							      "-M", "memory-backend=ram", NULL });
	if (dma->provider == &dma_served) {
		snprintf(device, size,
			 "{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\","
			 "\"path\":\"%s\"}}",
			 dma->options.socket);
	} else if (dma->provider->provider == IOASID_PROVIDER_IOMMUFD) {
		snprintf(device, size, "vfio-pci,host=%s,iommufd=iommufd0", dma->options.device);
		microvm_flat_add(flat,
				 (const char *const[]){ "-object", "iommufd,id=iommufd0", NULL });
	} else {
		snprintf(device, size, "vfio-pci,host=%s", dma->options.device);
	}
	microvm_flat_add(flat, (const char *const[]){ "-device", device, NULL });
}

static int make_line(struct dma *dma, struct microvm_flat *flat, struct err *err)
{
	const struct dma_queues queues = dma_queues_of(dma, false);
	char payload[PATH_MAX], *words = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&words, &size);
	int ret;

	if (!file)
		return err_set(err, ENOMEM, "no memory");
	dma_guest_words(dma, &queues, file);
	fprintf(file, "window=%#x", WINDOW);
	fclose(file);
	snprintf(payload, sizeof(payload), "%.4000s/guest/dmaload.bin", dma->options.build);
	ret = microvm_flat(flat, dma->work, payload, words, DMA_GUEST_MEMORY);
	free(words);
	return ret ? err_set(err, -ret, "%s: %s", dma->work, strerror(-ret)) : 0;
}

struct question {
	const char *model;
	bool there;
};

/* It lists the options of what it has; that it has no such thing goes to stderr, with status 0. */
static void on_help(void *arg, int pid, char *text)
{
	struct question *question = arg;

	(void)pid;
	question->there |= strstr(text, question->model) && strstr(text, "options");
}

/* kind: what of a command line it would be. 0 or -ENOTSUP. */
static int ask_for(struct turn *turn, const char *kind, const char *model, struct err *err)
{
	struct question question = { .model = model };
	char word[64];
	char *const argv[] = { (char *)MICROVM_PROGRAM, (char *)kind, word, NULL };
	int status, ret;

	snprintf(word, sizeof(word), "%s,help", model);
	ret = child_lines(turn, argv, on_help, &question, &status);
	if (ret)
		return err_set(err, -ret, MICROVM_PROGRAM " %s %s: %s", kind, word, strerror(-ret));
	if (!question.there)
		return err_set(err, ENOTSUP, "this " MICROVM_PROGRAM " has no %s", model);
	return 0;
}

/* What is missing of a peer is no failure of it: all else is. */
static int is_there(struct dma *dma, struct turn *turn, struct err *err)
{
	bool served = dma->provider == &dma_served;
	int ret;

	if (dma->qemu_has == dma->provider)
		return 0;
	if (!child_on_path(MICROVM_PROGRAM))
		return err_set(err, ENOTSUP, "there is no " MICROVM_PROGRAM);
	ret = ask_for(turn, "-device", served ? "vfio-user-pci" : "vfio-pci", err);
	if (!ret && dma->provider->provider == IOASID_PROVIDER_IOMMUFD && !served)
		ret = ask_for(turn, "-object", "iommufd", err);
	if (!ret)
		dma->qemu_has = dma->provider;
	return ret;
}

int dma_qemu_turn(struct dma *dma, struct turn *turn, struct err *err)
{
	struct microvm_flat flat;
	char device[256];
	int ret = is_there(dma, turn, err);

	if (!ret)
		ret = make_line(dma, &flat, err);
	if (ret)
		return ret;
	add_device(dma, &flat, device, sizeof(device));
	/* isa-debug-exit makes an odd number of the 0 that the guest says. */
	return dma_guest_run(dma, turn, flat.argv, 1, err);
}

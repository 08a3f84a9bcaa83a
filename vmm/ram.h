/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one sealed memfd (or anonymous memory where it is not to be shared), mapped
 * once, and the KVM slots that show it to the guest as the layout says.
 */
#ifndef ADIT_VMM_RAM_H
#define ADIT_VMM_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct layout;
struct log;
struct populate;
struct sandbox;
struct vm;

struct ram_file {
	int fd;
	uint64_t at; /* a multiple of the page size */
};

struct ram_options {
	uint64_t size;		/* bytes */
	uint64_t hugepage_size; /* 0, 2 MiB or 1 GiB; must divide size */
	bool shared;		/* memfd; else anonymous, invisible to other processes */
	bool prefault;		/* ram_populate from the start */
	/*
	 * A file that holds the memory from `at` on, as many bytes: what the guest writes stays in
	 * this process. Borrowed for the call; who cuts the file short later ends the guest.
	 */
	const struct ram_file *file; /* NULL: memory is zeros */
	bool on_demand; /* huge pages are not reserved: who uses them populates them first */
	/* Of ram_populate; both outlive the memory, and may be NULL. */
	const struct sandbox *sandbox; /* of its threads */
	const bool *stop;	       /* atomic: set, it makes no more */
};

struct ram {
	int fd; /* -1 where not shared */
	void *base;
	uint64_t size;
	uint64_t hugepage_size;
	bool file; /* it is a snapshot's, until it is written to */
	bool prefault;
	const struct sandbox *sandbox;
	const bool *stop;
	struct populate *populating; /* NULL: nobody is */
};

/*
 * -ENOMEM with a sentence that names the huge pages that are missing and the sysctl. Nothing is
 * touched without prefault.
 */
int ram_create(struct ram *ram, const struct ram_options *options, struct err *err);
/*
 * Has all of its pages made, by threads of its own while the caller does other things: what can be
 * done then need not wait for zeroing. yields: these threads do, to the caller and the guest.
 * Nothing, where that is under way.
 */
int ram_populate(struct ram *ram, bool yields, struct err *err);
/*
 * Waits for them, and a log hears how far it is. Errors as those of ram_create, with prefault only:
 * it is what was asked for, and else a gain of time. 0 at once where none are being made.
 */
int ram_populated(struct ram *ram, const struct log *log, struct err *err);
void ram_destroy(struct ram *ram);

/* Adds a slot for each RAM range of the layout. */
int ram_add_slots(const struct ram *ram, struct vm *vm, const struct layout *layout,
		  struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry more, or less, in the configuration of a VM: its text, which is shown, and what was
 * read from it, which its machines are made from. An entry that is added passes every check that it
 * would pass in a file, for the whole text is read again with it; what is there already stays where
 * it is in memory, since a machine that runs knows it.
 */
#ifndef ADIT_VMM_CONFIG_EDIT_H
#define ADIT_VMM_CONFIG_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "vmm/config.h"

enum config_list {
	CONFIG_DISKS,
	CONFIG_NET,
	CONFIG_ADIS,
	CONFIG_DEVICES, /* of the host; and those that a server gives: */
	CONFIG_USER_DEVICES,
	CONFIG_LISTS,		      /* of what has an id */
	CONFIG_PASIDS = CONFIG_LISTS, /* bindings, which have none: the ADI's and their number */
};

/* Descriptors that came with an entry, by what they are; 0: none. */
struct config_given {
	uint32_t fd;	/* what the entry is about */
	uint32_t iommu; /* the node for I/O address spaces */
};

struct config_edit {
	enum config_list list;
	struct config config; /* everything, read anew; the new entry is the last of its list */
	char *text;
};

/*
 * Reads `entry` as one more of `list` in `text`, which is the text of `now`. One without an id gets
 * one. given: may be NULL; a descriptor cannot be named in the entry. The sentence's pointer is
 * that of a value in the entry. now: only room is made in it. -EINVAL; -EEXIST: there is something
 * of that id; -ENOMEM.
 */
int config_edit_add(struct config_edit *edit, struct config *now, const char *text,
		    enum config_list list, const char *entry, size_t len,
		    const struct config_given *given, struct err *err);
/* The id of the new entry; of a binding, that of its ADI. */
const char *config_edit_id(const struct config_edit *edit);
/* Takes the new entry over into now, and its text into *text. Cannot fail. */
void config_edit_commit(struct config_edit *edit, struct config *now, char **text);
/* Without commit: forgets it. */
void config_edit_cancel(struct config_edit *edit);

/*
 * Takes the entry of this id out of both; nobody may need it any more. Bindings of an ADI's PASIDs
 * go with it. *text may be NULL. -ENOENT: there is none; -ENOMEM: the text still has it.
 */
int config_edit_remove(struct config *now, char **text, const char *id, struct err *err);
/* The binding of this guest PASID of that ADI. *text may be NULL. As above. */
int config_edit_remove_pasid(struct config *now, char **text, const char *adi, uint32_t guest,
			     struct err *err);
/* The descriptors that the configuration names, each once, in out; returns how many. */
#define CONFIG_MAX_DESCRIPTORS (3u + CONFIG_MAX_DISKS + CONFIG_MAX_NET + CONFIG_MAX_DEVICES)
size_t config_descriptors(const struct config *config, uint32_t out[CONFIG_MAX_DESCRIPTORS]);
/* Whether one of the lists has an entry of this id. */
bool config_has_id(const struct config *config, const char *id);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of host devices as people write them, brought to one spelling each, so that one device
 * under two spellings is seen to be one. Text alone: nothing is opened, nothing need exist.
 */
#ifndef ADIT_KEEPER_NAME_H
#define ADIT_KEEPER_NAME_H

#include <stdbool.h>

#define HOST_NAME_CHARS 63 /* longest canonical name */
#define HOST_UUID_CHARS 36

enum host_kind {
	HOST_FUNCTION, /* a PCI function: "0000:3b:00.0" */
	HOST_MDEV,     /* a mediated device: its UUID in lower case */
	HOST_CDEV,     /* a VFIO character device: "/dev/vfio/devices/vfio3" */
};

struct host_name {
	enum host_kind kind;
	char text[HOST_NAME_CHARS + 1];
};

/*
 * Takes a BDF with or without its domain, a UUID, a VFIO cdev node, or a path under /sys whose last
 * part is a BDF or a UUID, in upper or lower case. -EINVAL for all else.
 */
int host_name_parse(struct host_name *out, const char *text);

/* One spelling each; -EINVAL for what is no BDF or UUID. out: HOST_NAME_CHARS + 1 bytes. */
int host_bdf_parse(char *out, const char *text);
int host_uuid_parse(char *out, const char *text);

/* "/dev/vfio/12": a node of a whole group, which people mistake for a device. */
bool host_is_group_node(const char *text);

/*
 * A name that may stand as one part of a sysfs path: 1 to HOST_NAME_CHARS characters of
 * A-Z a-z 0-9 _ . : + -, neither "." nor "..".
 */
bool host_part_is_sane(const char *text);

#endif

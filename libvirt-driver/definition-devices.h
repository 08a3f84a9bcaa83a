/* SPDX-License-Identifier: Apache-2.0 */
/* Private to definition*.c: the handlers of a domain's devices, and pieces that both files use. */
#ifndef ADIT_LIBVIRT_DRIVER_DEFINITION_DEVICES_H
#define ADIT_LIBVIRT_DRIVER_DEFINITION_DEVICES_H

#include "libvirt-driver/definition-reader.h"

/*
 * What adit calls a <disk>, <interface> or <hostdev>: its alias, or a name from what stays its own
 * whatever others come and go. "": it has none.
 */
void device_id(const xmlNode *device, char id[DEVICE_ID]);

/* attribute: NULL where the text is the element's own. */
int reader_number(struct reader *reader, const char *attribute, const char *text, uint64_t max,
		  uint64_t *out);
/* The object under a key; made where there is none. */
struct json_object *reader_object(struct json_object *parent, const char *key);
void reader_string(struct json_object *object, const char *key, const char *value);
void reader_bool(struct json_object *object, const char *key, bool value);
void reader_int(struct json_object *object, const char *key, uint64_t value);
/* "yes" or "on". */
bool reader_says_yes(const xmlNode *node, const char *name);

/* "0x3b" or "59"; a PCI address is written in hexadecimal. */
int reader_hex(struct reader *reader, const xmlNode *node, const char *name, uint32_t max,
	       uint32_t *out);

/* It shall have a slot. Refused where there are no more. */
int reader_place(struct reader *reader, enum place place, xmlNode *node,
		 struct json_object *object);

int definition_finish_devices(struct reader *reader);
int definition_finish_adit(struct reader *reader);
int definition_finish_slots(struct reader *reader);

typedef int reader_fn(struct reader *reader, xmlNode *node);

reader_fn on_emulator, on_alias;
reader_fn on_controller, on_controller_address, on_guest_address;
reader_fn on_disk, leave_disk, on_disk_driver, on_disk_source, on_disk_target, on_disk_readonly;
reader_fn on_disk_serial;
reader_fn on_interface, leave_interface, on_mac, on_mtu;
reader_fn on_serial, on_console, on_channel, on_channel_target, on_sink_source, leave_sink;
reader_fn on_vsock, leave_vsock, on_cid, on_rng, on_rng_backend, on_balloon, on_balloon_stats;
reader_fn on_hostdev, leave_hostdev, on_hostdev_driver, on_hostdev_address, on_hostdev_rom;
reader_fn on_machine, on_flat, on_debug_exit, on_shutdown_timeout, on_poll;
reader_fn on_adi, on_wq, on_adi_pasid, on_space, on_pasid, on_hostdev_more;

#endif

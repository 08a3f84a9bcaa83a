/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only code in adit that changes a host: giving a function to vfio-pci and back, making and
 * removing an mdev. Each step back is harmless where there is nothing to step back from, so that it
 * can follow a start that was cut off anywhere.
 */
#ifndef ADIT_KEEPER_CHANGE_H
#define ADIT_KEEPER_CHANGE_H

#include "keeper/host.h"

/* What a function was before it was taken. */
struct change_function {
	char bdf[HOST_NAME_CHARS + 1];
	char driver[HOST_TEXT];	  /* "": none */
	char override[HOST_TEXT]; /* "": none */
};

/*
 * Checks as host_function_check does with "managed", and fills *before. True in *needed where there
 * is something to change: a function on a VFIO driver already stays as it is.
 */
int change_function_plan(const struct host *host, const char *bdf, const char *const *with,
			 size_t n_with, struct change_function *before, bool *needed,
			 struct err *err);
/* On failure everything is as before, as far as the kernel allows. */
int change_function_take(const struct host *host, const struct change_function *before,
			 struct err *err);
/* A function that somebody else has moved meanwhile is left where it is. */
int change_function_return(const struct host *host, const struct change_function *before,
			   struct err *err);

struct change_mdev {
	char uuid[HOST_UUID_CHARS + 1];
	char parent[HOST_TEXT], type[HOST_TEXT];
};

/* A random UUID (RFC 9562, version 4). */
int change_uuid(char *out, struct err *err);
/* The type has one left, and the UUID is free. */
int change_mdev_plan(const struct host *host, const struct change_mdev *mdev, struct err *err);
int change_mdev_create(const struct host *host, const struct change_mdev *mdev, struct err *err);
/* One of another parent or type under this UUID is not ours and stays. */
int change_mdev_remove(const struct host *host, const struct change_mdev *mdev, struct err *err);

#endif

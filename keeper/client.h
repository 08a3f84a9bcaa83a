/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's side: what adit asks the keeper that started it. Calls wait for the answer; one
 * thread at a time. When the keeper is gone they fail with -EPIPE.
 */
#ifndef ADIT_KEEPER_CLIENT_H
#define ADIT_KEEPER_CLIENT_H

#include "keeper/node.h"

/* index: of the device in the order in which the keeper was told of them. */
int keeper_take(int keeper, unsigned int index, struct host_found *out, struct err *err);
/* The descriptor or -errno. */
int keeper_open(int keeper, unsigned int index, enum host_way way, struct host_found *out,
		struct err *err);
int keeper_release(int keeper, unsigned int index, struct err *err);
/* The descriptor or -errno. */
int keeper_open_iommu(int keeper, bool container, struct err *err);

#endif

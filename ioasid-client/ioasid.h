/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O address spaces: one context (one open /dev/iommu, or a model of it in this process), the
 * devices bound to it under labels, the address spaces that say what a device may reach, and the
 * host PASIDs that tag its DMA. This header is the whole interface; each concept has its own.
 *
 * Life. A context owns its devices, spaces and PASIDs; destroying one that is in use blocks its
 * DMA first, whatever order a caller closes things in. Objects are numbered by the caller's
 * pointers; a pointer is dead after its destroy call returns.
 *
 * Providers. The calls mean the same on all of them. What one lacks it says in advance
 * (ioasid_ctx_caps, ioasid_device_info) and refuses with -EOPNOTSUPP and a sentence when asked;
 * nothing is quietly left out.
 *
 * Threads. Every call may come from any thread; calls on one context are serialised inside, except
 * ioasid_translate, which takes no lock.
 *
 * Errors: 0 or -errno, with one sentence in err (which may be NULL) where there is one. A call that
 * fails changes nothing unless its comment says otherwise.
 */
#ifndef ADIT_IOASID_CLIENT_IOASID_H
#define ADIT_IOASID_CLIENT_IOASID_H

#include "ioasid-client/ctx.h"
#include "ioasid-client/device.h"
#include "ioasid-client/dma.h"
#include "ioasid-client/fault.h"
#include "ioasid-client/memory.h"
#include "ioasid-client/pasid.h"
#include "ioasid-client/space.h"

#endif

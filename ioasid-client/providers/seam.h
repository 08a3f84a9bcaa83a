/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel providers meet the kernel: every ioctl of theirs goes through this one function,
 * and what they read of /dev, /sys and /proc lies under this one root. Tests put another in its
 * place to make calls fail, and to show groups that this machine does not have.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_SEAM_H
#define ADIT_IOASID_CLIENT_PROVIDERS_SEAM_H

#include <stddef.h>
#include <stdint.h>

struct ioasid_seam {
	/* What the kernel gives (at least 0), or -errno. */
	int (*ioctl)(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg);
	const char *root; /* put before absolute paths; "" */
	void *arg;	  /* a test's */
};

extern const struct ioasid_seam ioasid_seam_kernel;

static inline int seam_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request,
			     void *arg)
{
	return seam->ioctl(seam, fd, request, arg);
}

/* A pointer as the kernel's structures hold it. */
static inline uint64_t seam_ptr(const void *p)
{
	return (uintptr_t)p;
}

#endif

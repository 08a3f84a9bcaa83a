/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that belong to adit: beside it in a build tree, in libexec when installed. */
#ifndef ADIT_VMM_BESIDE_H
#define ADIT_VMM_BESIDE_H

#include <stddef.h>

/* -ENOENT where it is in neither place. */
int program_beside(char *path, size_t size, const char *name);
/* This program itself. */
int program_self(char *path, size_t size);

#endif

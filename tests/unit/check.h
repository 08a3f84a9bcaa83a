/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with the headers that it wants before it, and what every unit test needs beside it. */
#ifndef ADIT_TESTS_UNIT_CHECK_H
#define ADIT_TESTS_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* err is printed where ret is not 0: a bare number says little. */
#define assert_ok(ret, err)                                              \
	do {                                                             \
		int ret_ = (ret);                                        \
		if (ret_)                                                \
			fail_msg("%s: %d: %s", #ret, ret_, (err)->text); \
	} while (0)

/* A test that cannot run here says so loudly and counts as skipped. */
#define skip_because(...)                               \
	do {                                            \
		print_message("SKIPPED: " __VA_ARGS__); \
		print_message("\n");                    \
		skip();                                 \
	} while (0)

#endif

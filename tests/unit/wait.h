/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for another thread: until it is so; a minute is a hang. */
#ifndef ADIT_TESTS_UNIT_WAIT_H
#define ADIT_TESTS_UNIT_WAIT_H

#include "tests/unit/check.h"

#include <sched.h>
#include <time.h>

#define WAIT_FOR(condition)                                                              \
	do {                                                                             \
		struct timespec start_, now_;                                            \
		clock_gettime(CLOCK_MONOTONIC, &start_);                                 \
		while (!(condition)) {                                                   \
			sched_yield();                                                   \
			clock_gettime(CLOCK_MONOTONIC, &now_);                           \
			if (now_.tv_sec - start_.tv_sec > 60)                            \
				fail_msg("still not so after a minute: %s", #condition); \
		}                                                                        \
	} while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target may tell the program that replays its corpus (replay.c). */
#ifndef ADIT_TESTS_FUZZ_REPLAY_H
#define ADIT_TESTS_FUZZ_REPLAY_H

/* Mutations without ADIT_FUZZ_RUNS. Defined by a target whose inputs cost milliseconds each. */
unsigned int replay_runs(void);

#endif

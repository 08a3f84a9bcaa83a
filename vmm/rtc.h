/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock and its 128 bytes of battery-backed RAM: an MC146818 with a century
 * register. It runs on the host's UTC clock plus what the guest set; setting it changes nothing on
 * the host. There are no interrupts (periodic, alarm or update-ended): guests on this machine have
 * the local APIC timer and kvmclock, and ACPI describes the clock without one.
 *
 * Source: Motorola MC146818 data sheet; the century at 0x32 is what the FADT says.
 */
#ifndef ADIT_VMM_RTC_H
#define ADIT_VMM_RTC_H

#include <stdint.h>
#include <time.h>

#include "util/err.h"
#include "util/state.h"

#define RTC_CENTURY 0x32 /* register index */

struct vm;
struct iomap;
struct rtc;

int rtc_create(struct rtc **out, struct vm *vm, struct err *err);
/* When no vCPU runs. NULL: nothing. */
void rtc_destroy(struct rtc *rtc);

/*
 * The section "rtc", while no vCPU runs. The clock is saved as its distance from the host's: a
 * guest that goes on later finds the time that it is then.
 */
void rtc_save(struct rtc *rtc, struct state_out *out);
int rtc_load(struct rtc *rtc, struct state_in *in);

/* Without a VM, for tests: ports go to `pio` (removed by rtc_destroy), the time comes from now().
 */
int rtc_open(struct rtc **out, struct iomap *pio, struct timespec (*now)(void *opaque),
	     void *opaque, struct err *err);

#endif

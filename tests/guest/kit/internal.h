/* SPDX-License-Identifier: Apache-2.0 */
/* What the kit's files share among themselves and with flat.ld; payloads include kit.h. */
#ifndef ADIT_KIT_INTERNAL_H
#define ADIT_KIT_INTERNAL_H

#include "kit.h"

/* flat.ld */
extern char kit_bss_start[], kit_bss_end[], kit_image_end[];

/* An instruction that may fault, and where to go on with 1 + vector in RAX. */
struct fixup {
	uint64_t rip, resume;
};
extern const struct fixup kit_fixups_start[], kit_fixups_end[];
#define FIXUP(from, to) ".pushsection .fixups, \"a\"; .quad " from ", " to "; .popsection\n"

/* start.S */
extern char kit_stubs[], kit_kstacks[], kit_ustacks[];
extern char kit_ap_long[];

/* What an exception stub leaves on the stack, lowest address first. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* Called from start.S. */
void kit_load_tables(unsigned int cpu);
_Noreturn void kit_main(const uint8_t *start_info, const uint8_t *boot_params);
_Noreturn void kit_ap_main(unsigned int cpu);
void kit_exception(struct frame *frame, uint64_t cr2);

extern uint8_t kit_x2apic;    /* EOIs go to the MSR */
extern uint32_t kit_ap_index; /* which CPU the next start-up IPI brings up */

#endif

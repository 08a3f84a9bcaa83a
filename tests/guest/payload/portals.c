/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way into a DSA function's portals, from both levels: MOVDIR64B where the CPU has it,
 * ENQCMDS and ENQCMD (the monitor carries them out for CPL0, whatever the CPU has), and partial
 * stores; to dedicated and shared queues; with PASIDs bound, unbound, foreign and out of range.
 *
 * The function has three queues: 0 dedicated, 1 shared with 8 entries and a threshold of 4, 2
 * dedicated with a default binding; PASID 5 and the default reach the window, 6 is bound on another
 * function. Words: window=0x2000000 size=0x1000000; stores (no MOVDIR64B); nocommands (no ENQCMDS);
 * probe (only whether ENQCMDS is carried out); full (the monitor's engines rest until it reads
 * "full" here); racing (a second CPU changes descriptor and tables); rewriting (a second CPU
 * changes the instruction).
 */
#include "dsa.h"
#include "internal.h"
#include "kit.h"

#define PAGE	   0x1000UL
#define UNLIMITED  0x0000UL
#define LIMITED	   0x1000UL
#define WQ_PORTALS 0x4000UL

#define BOUND	 5u
#define FOREIGN	 6u
#define UNBOUND	 7u
#define TOO_WIDE 300u

#define SWERR_RECORD_FAULT 0x1au
#define WAIT		   (20 * CYCLES_SECOND)

enum way {
	WAY_MOVDIR64B,
	WAY_ENQCMDS,
	WAY_ENQCMD,
	WAY_STORES8,
	WAY_STORES4,
};
static const char *const way_names[] = { "movdir64b", "enqcmds", "enqcmd", "stores8", "stores4" };

/* What a submission came to: taken, told to try again, or 1 + vector of its exception. */
#define TAKEN 0u
#define RETRY 0x100u

static struct dsa dsa;
static struct dsa_descriptor descriptor;
static volatile struct dsa_completion *records;
static uint64_t window, window_size;
static bool no_movdir64b;

/*
 * The instruction in bytes, for assemblers of the day may not know it: destination in RDI, source
 * at RSI. R11 is cleared, since an undefined instruction with the kit's magic in it is its system
 * call.
 */
#define STORE64(prefix)                                                  \
	__asm__ volatile("xor %%r11d, %%r11d\n"                          \
			 "1: .byte " prefix ", 0x0f, 0x38, 0xf8, 0x3e\n" \
			 "jz 3f\n"                                       \
			 "jmp 2f\n"                                      \
			 "3: movl $0x100, %%eax\n"                       \
			 "2:\n" FIXUP("1b", "2b")                        \
			 : "+a"(result)                                  \
			 : "D"(to), "S"(from)                            \
			 : "r11", "cc", "memory")

static uint64_t store(uint64_t to, uint64_t from, uint64_t way)
{
	const uint64_t *words = (const uint64_t *)from;
	const uint32_t *halves = (const uint32_t *)from;
	uint64_t result = TAKEN;

	switch (way) {
	case WAY_MOVDIR64B:
		STORE64("0x66");
		return result == RETRY ? TAKEN : result; /* it leaves the flags alone */
	case WAY_ENQCMDS:
		STORE64("0xf3");
		return result;
	case WAY_ENQCMD:
		STORE64("0xf2");
		return result;
	case WAY_STORES8:
		for (unsigned int i = 0; i < 8; i++)
			write64(to + 8UL * i, words[i]);
		return TAKEN;
	default:
		for (unsigned int i = 0; i < 16; i++)
			write32(to + 4UL * i, halves[i]);
		return TAKEN;
	}
}

static unsigned int send(bool kernel, enum way way, unsigned int wq, uint64_t portal)
{
	uint64_t to = dsa.portals + wq * WQ_PORTALS + portal;

	__asm__ volatile("sfence" : : : "memory");
	if (kernel)
		return (unsigned int)cpl0(store, to, (uint64_t)&descriptor, way);
	return (unsigned int)store(to, (uint64_t)&descriptor, way);
}

static void make_noop(uint32_t pasid, unsigned int record)
{
	memset((void *)&records[record], 0, sizeof(records[0]));
	descriptor = (struct dsa_descriptor){
		.pasid = pasid,
		.flags = OP_NOOP << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)&records[record],
	};
}

static uint8_t wait_record(unsigned int record)
{
	return dsa_wait((const struct dsa_completion *)&records[record], WAIT);
}

static uint64_t take_swerr(void)
{
	uint64_t error = read64(dsa.registers + DSA_SWERR);

	write64(dsa.registers + DSA_SWERR, SWERR_VALID | SWERR_OVERFLOW);
	return error;
}

static void name_check(char *name, const char *what, bool kernel, enum way way)
{
	const char *parts[] = { "portals_", what, kernel ? "_cpl0_" : "_cpl3_", way_names[way] };

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const char *p = parts[i]; *p; p++)
			*name++ = *p;
	}
	*name = 0;
}

/* --- each way to each kind of queue ---------------------------------------------------------- */

static bool possible(enum way way)
{
	return way != WAY_MOVDIR64B || !no_movdir64b;
}

static void dedicated(bool kernel, enum way way, uint64_t portal)
{
	unsigned int result;
	uint8_t status;
	char name[64];

	name_check(name, portal == LIMITED ? "dedicated_limited" : "dedicated_unlimited", kernel,
		   way);
	if (!possible(way)) {
		test_skip(name, "this CPU has no MOVDIR64B");
		return;
	}
	make_noop(0, 0);
	result = send(kernel, way, 0, portal + 0x40);
	status = result ? 0 : wait_record(0);
	test_check(name, result == TAKEN && status == STATUS_OK, "result 0x%x, status 0x%x", result,
		   status);
}

static void shared(enum way way, uint64_t portal)
{
	unsigned int result;
	uint8_t status;
	char name[64];

	name_check(name, portal == LIMITED ? "shared_limited" : "shared_unlimited", true, way);
	make_noop(BOUND, 0);
	result = send(true, way, 1, portal + 0x80);
	status = result ? 0 : wait_record(0);
	test_check(name, result == TAKEN && status == STATUS_OK, "result 0x%x, status 0x%x", result,
		   status);
}

/* A dedicated queue answers commands with retry, a shared one drops what is posted. */
static void wrong_kind(void)
{
	unsigned int result;

	make_noop(BOUND, 0);
	result = send(true, WAY_ENQCMDS, 0, LIMITED);
	test_check("portals_enqcmds_to_dedicated_is_retry", result == RETRY, "result 0x%x", result);
	result = send(true, WAY_ENQCMD, 0, UNLIMITED);
	test_check("portals_enqcmd_to_dedicated_is_retry", result == RETRY, "result 0x%x", result);
	result = send(false, WAY_STORES8, 1, LIMITED);
	if (!no_movdir64b)
		result |= send(false, WAY_MOVDIR64B, 1, LIMITED);
	dsa_command(&dsa, CMD_DRAIN_ALL, 0);
	test_check("portals_posted_to_shared_is_dropped", result == TAKEN && !records[0].status,
		   "result 0x%x, status 0x%x", result, records[0].status);
}

/* User code has no ENQCMDS, and where the CPU hides ENQCMD it has none of it either. */
static void commands_of_user_code(void)
{
	static const enum way ways[] = { WAY_ENQCMDS, WAY_ENQCMD };

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		unsigned int result;
		char name[64];

		name_check(name, "faults", false, ways[i]);
		make_noop(BOUND, 0);
		result = send(false, ways[i], 1, LIMITED);
		dsa_command(&dsa, CMD_DRAIN_ALL, 0);
		test_check(name, (result == 1 + 6 || result == 1 + 13) && !records[0].status,
			   "result 0x%x, status 0x%x", result, records[0].status);
	}
}

/* --- PASIDs ---------------------------------------------------------------------------------- */

static void refused(const char *name, uint32_t pasid)
{
	unsigned int result;
	uint64_t error;

	take_swerr();
	make_noop(pasid, 0);
	result = send(true, WAY_ENQCMDS, 1, LIMITED);
	dsa_command(&dsa, CMD_DRAIN_ALL, 0);
	error = take_swerr();
	test_check(name,
		   result == TAKEN && !records[0].status && error & SWERR_VALID &&
			   (error >> 8 & 0xff) == SWERR_RECORD_FAULT &&
			   (error >> 40 & 0xfffff) == pasid,
		   "result 0x%x, status 0x%x, SWERR 0x%lx", result, records[0].status, error);
}

static void make_move(uint32_t pasid, uint64_t to, uint64_t from)
{
	make_noop(pasid, 0);
	descriptor.flags = OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR;
	descriptor.source = from;
	descriptor.destination = to;
	descriptor.size = PAGE;
}

/* What leaves the window faults at that address, and nothing outside of it changes. */
static void stays_inside(const char *name, bool kernel, enum way way, unsigned int wq,
			 uint32_t pasid)
{
	uint64_t inside = window + window_size / 2, outside = window + window_size + MIB;
	uint8_t in, out;

	memset((void *)inside, 0x3c, PAGE);
	memset((void *)(inside + PAGE), 0, PAGE);
	memset((void *)outside, 0xc7, PAGE);
	make_move(pasid, inside + PAGE, inside);
	in = send(kernel, way, wq, LIMITED) ? 0 : wait_record(0);
	make_move(pasid, outside, inside);
	out = send(kernel, way, wq, LIMITED) ? 0 : wait_record(0);
	test_check(name,
		   in == STATUS_OK && !memcmp((void *)inside, (void *)(inside + PAGE), PAGE) &&
			   out == (STATUS_PAGE_FAULT | STATUS_WRITE) &&
			   records[0].fault_address == outside && *(uint8_t *)outside == 0xc7,
		   "inside 0x%x, outside 0x%x at 0x%lx", in, out, records[0].fault_address);
}

static void pasids(void)
{
	stays_inside("portals_bound_pasid_stays_inside", true, WAY_ENQCMDS, 1, BOUND);
	stays_inside("portals_privilege_changes_nothing", true, WAY_ENQCMDS, 1, BOUND | 1u << 31);
	refused("portals_unbound_pasid_is_refused", UNBOUND);
	refused("portals_foreign_pasid_is_refused", FOREIGN);
	refused("portals_pasid_out_of_range_is_refused", TOO_WIDE);
	refused("portals_pasid_0_is_refused", 0);
}

/* --- retry ----------------------------------------------------------------------------------- */

static unsigned int fill_up(uint64_t portal, unsigned int *sent)
{
	unsigned int result = TAKEN;

	while (*sent < 32) {
		make_noop(BOUND, *sent);
		result = send(true, WAY_ENQCMDS, 1, portal);
		if (result)
			break;
		++*sent;
	}
	return result;
}

static void retry(void)
{
	unsigned int sent = 0, limited, done = 0;
	unsigned int first = fill_up(LIMITED, &sent), second;

	limited = sent;
	second = fill_up(UNLIMITED, &sent);
	test_check("portals_limited_fills_to_threshold", first == RETRY && limited == 4,
		   "result 0x%x after %u", first, limited);
	test_check("portals_unlimited_fills_to_size", second == RETRY && sent == 8,
		   "result 0x%x after %u", second, sent);
	kprintf("full\n");
	for (unsigned int i = 0; i < sent; i++)
		done += wait_record(i) == STATUS_OK;
	test_check("portals_all_taken_complete", done == sent, "%u of %u", done, sent);
}

/* --- races ----------------------------------------------------------------------------------- */

#define RACES 400u

static uint32_t racing;
static uint64_t racing_at; /* the second half of the descriptor there lies in the next page */

/* Another PASID, destination and record all the time, and the second page there and away. */
static void race(unsigned int cpu)
{
	volatile struct dsa_descriptor *d = (volatile struct dsa_descriptor *)racing_at;
	uint64_t next_page = racing_at + 32;

	if (!cpu)
		return;
	while (!__atomic_load_n(&racing, __ATOMIC_ACQUIRE))
		cpu_relax();
	for (uint64_t n = 0; __atomic_load_n(&racing, __ATOMIC_ACQUIRE) == 1; n++) {
		d->pasid = n & 1 ? BOUND : UNBOUND;
		d->destination = n & 2 ? window + window_size / 2 : window + window_size + MIB;
		d->completion = (uint64_t)&records[n & 3] + (n & 4 ? 8 : 0);
		d->flags = (n & 8 ? OP_MEMMOVE : OP_NOOP) << 24 | FLAG_CRAV | FLAG_RCR;
		if (n % 64 == 0)
			page_set(next_page, n & 64 ? PAGE_WRITE | PAGE_USER
						   : PAGE_PRESENT | PAGE_WRITE | PAGE_USER);
	}
	__atomic_store_n(&racing, 3, __ATOMIC_RELEASE);
}

static bool race_start(void)
{
	unsigned int expected;

	racing_at = window + window_size + 3 * MIB - 32;
	make_move(BOUND, window + window_size / 2, window + window_size / 4);
	*(struct dsa_descriptor *)racing_at = descriptor;
	memset((void *)(window + window_size + MIB), 0xc7, PAGE);
	if (smp_start(race, &expected) < 2)
		return false;
	__atomic_store_n(&racing, 1, __ATOMIC_RELEASE);
	return true;
}

static void race_end(void)
{
	__atomic_store_n(&racing, 2, __ATOMIC_RELEASE);
	while (__atomic_load_n(&racing, __ATOMIC_ACQUIRE) != 3)
		cpu_relax();
	dsa_command(&dsa, CMD_DRAIN_ALL, 0);
}

static void races(void)
{
	const uint8_t *outside = (const uint8_t *)(window + window_size + MIB);
	unsigned int taken = 0, faults = 0, other = 0, changed = 0;

	if (!race_start()) {
		test_skip("portals_races", "one CPU only");
		return;
	}
	for (unsigned int i = 0; i < RACES; i++) {
		uint64_t to = dsa.portals + WQ_PORTALS + (i & 1 ? LIMITED : UNLIMITED);
		unsigned int result = (unsigned int)cpl0(store, to, racing_at, WAY_ENQCMDS);

		taken += result == TAKEN;
		faults += result == 1 + 14;
		other += result != TAKEN && result != RETRY && result != 1 + 14;
	}
	race_end();
	for (unsigned int i = 0; i < PAGE; i++)
		changed += outside[i] != 0xc7;
	kprintf("# %u taken, %u page faults of %u\n", taken, faults, RACES);
	test_check("portals_races_reach_nothing_else", !other && !changed,
		   "%u other answers, %u bytes changed", other, changed);
}

/* --- code that changes ------------------------------------------------------------------------ */

extern volatile uint8_t rewritten[];

/*
 * An enqueue whose prefix and operands another CPU changes all the time: to RDI or RBX, from RSI or
 * RDX. Where it has a displacement the first no-op is that.
 */
static __attribute__((noinline)) uint64_t store_rewritten(uint64_t to, uint64_t from,
							  uint64_t other)
{
	uint64_t result = TAKEN;

	__asm__ volatile("xor %%r11d, %%r11d\n"
			 ".globl rewritten\n"
			 "rewritten: .byte 0xf3, 0x0f, 0x38, 0xf8, 0x3e\n"
			 ".fill 8, 1, 0x90\n"
			 "jz 3f\n"
			 "jmp 2f\n"
			 "3: movl $0x100, %%eax\n"
			 "2:\n" FIXUP("rewritten", "2b")
			 : "+a"(result)
			 : "D"(to), "S"(from), "d"(other), "b"(to ^ (LIMITED ^ UNLIMITED))
			 : "r11", "cc", "memory");
	return result;
}

/* ENQCMDS, ENQCMD and MOVDIR64B; ModRM, of which the last is a register and so undefined. */
static const uint8_t prefixes[] = { 0xf3, 0xf2, 0x66 };
static const uint8_t operands[] = { 0x3e, 0x3a, 0x1e, 0x1a, 0x7e, 0xfe };

static void rewrite(unsigned int cpu)
{
	if (!cpu)
		return;
	while (!__atomic_load_n(&racing, __ATOMIC_ACQUIRE))
		cpu_relax();
	for (uint64_t n = 0; __atomic_load_n(&racing, __ATOMIC_ACQUIRE) == 1; n++) {
		rewritten[0] = prefixes[n % ARRAY_SIZE(prefixes)];
		rewritten[4] = operands[n / ARRAY_SIZE(prefixes) % ARRAY_SIZE(operands)];
	}
	rewritten[0] = prefixes[0];
	rewritten[4] = operands[0];
	__atomic_store_n(&racing, 3, __ATOMIC_RELEASE);
}

/*
 * Whatever mixture of bytes is met, it is one instruction of these: it goes to one of the portals,
 * and takes a descriptor that was there.
 */
static void rewrites(void)
{
	static struct dsa_descriptor all[8];
	uint64_t to = dsa.portals + WQ_PORTALS + LIMITED;
	unsigned int expected, taken = 0, undefined = 0, other = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		make_noop(i == 4 ? BOUND : UNBOUND, i == 4);
		all[i] = descriptor;
	}
	if (smp_start(rewrite, &expected) < 2) {
		test_skip("portals_rewrites", "one CPU only");
		return;
	}
	__atomic_store_n(&racing, 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < RACES; i++) {
		unsigned int result = (unsigned int)cpl0(store_rewritten, to, (uint64_t)&all[4],
							 (uint64_t)&all[6]);

		taken += result == TAKEN;
		undefined += result == 1 + 6;
		other += result != TAKEN && result != RETRY && result != 1 + 6;
	}
	race_end();
	kprintf("# %u taken, %u undefined of %u\n", taken, undefined, RACES);
	test_check("portals_rewrites_are_one_instruction_each", !other && !records[0].status,
		   "%u other answers, status 0x%x of what is unbound", other, records[0].status);
	memset((void *)&records[1], 0, sizeof(records[1]));
	test_check("portals_rewritten_code_works_afterwards",
		   cpl0(store_rewritten, to, (uint64_t)&all[4], (uint64_t)&all[6]) == TAKEN &&
			   wait_record(1) == STATUS_OK,
		   "status 0x%x", records[1].status);
}

/* --- setting up ------------------------------------------------------------------------------ */

static int set_up(void)
{
	int rc = dsa_command(&dsa, CMD_RESET_DEVICE, 0);

	if (rc)
		return rc;
	write64(dsa.grpcfg, 7);
	write64(dsa.grpcfg + 32, (1UL << dsa.engines) - 1);
	rc = dsa_command(&dsa, CMD_ENABLE_DEVICE, 0);
	/* What the configuration gave is there after the reset; the PASID is the guest's to set. */
	write32(dsa.wqcfg + 8, read32(dsa.wqcfg + 8) | BOUND << 8 | 1u << 28);
	for (uint32_t wq = 0; wq < 3 && !rc; wq++)
		rc = dsa_command(&dsa, CMD_ENABLE_WQ, wq);
	return rc;
}

/* Ends the machine at once: a CPU without it may leave KVM confused (see tests/guest/test-adi.c).
 */
_Noreturn static void probe(void)
{
	make_noop(BOUND, 0);
	exit_machine(send(true, WAY_ENQCMDS, 1, LIMITED) != TAKEN);
}

static void all_ways(void)
{
	static const enum way posted[] = { WAY_MOVDIR64B, WAY_STORES8, WAY_STORES4 };

	for (unsigned int kernel = 0; kernel < 2; kernel++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(posted); i++) {
			dedicated(kernel, posted[i], LIMITED);
			dedicated(kernel, posted[i], UNLIMITED);
		}
	}
	stays_inside("portals_default_binding_stays_inside", false, WAY_STORES8, 2, 0);
	if (command_word("nocommands", NULL)) {
		test_skip("portals_shared", "this CPU and KVM do not trap ENQCMDS");
		return;
	}
	shared(WAY_ENQCMDS, LIMITED);
	shared(WAY_ENQCMDS, UNLIMITED);
	shared(WAY_ENQCMD, LIMITED);
	shared(WAY_ENQCMD, UNLIMITED);
	wrong_kind();
	commands_of_user_code();
	pasids();
}

int payload_main(void)
{
	int rc;

	window = command_number("window", 32 * MIB);
	window_size = command_number("size", 16 * MIB);
	no_movdir64b = command_word("stores", NULL);
	records = (volatile struct dsa_completion *)window;
	if (!test_check("portals_function", pci_init() && dsa_find(&dsa, 0), "no DSA function"))
		return 1;
	rc = set_up();
	if (!test_check("portals_queues", !rc, "CMDSTS 0x%x", (uint32_t)rc))
		return 1;
	if (command_word("probe", NULL))
		probe();
	if (command_word("full", NULL))
		retry();
	else if (command_word("racing", NULL))
		races();
	else if (command_word("rewriting", NULL))
		rewrites();
	else
		all_ways();
	return (int)test_failures();
}

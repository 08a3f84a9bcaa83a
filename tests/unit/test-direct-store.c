/* SPDX-License-Identifier: Apache-2.0 */
/* The trapped portal (kvm-glue/direct-store.h) over a small guest whose every access is counted. */
#include "tests/unit/test-direct-store.h"

static const struct io_ops plain_ops = { 0 };

static int guest_setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return -1;
	g->ram = calloc(1, RAM);
	if (!g->ram)
		return -1;
	guest_fill(g);
	*state = g;
	return 0;
}

static int guest_teardown(void **state)
{
	struct guest *g = *state;

	free(g->ram);
	free(g);
	return 0;
}

static void user_mode(struct guest *g)
{
	g->sregs.ss.dpl = 3;
	g->sregs.cs.selector = 0x33;
}

static enum direct_store_result run(struct guest *g, const uint8_t *bytes, unsigned int len)
{
	return direct_store_on(&g->bus, &g->cpu, bytes, len, &g->regs, &g->fault);
}

#define RUN(g, bytes) run(g, bytes, sizeof(bytes))

static void assert_injected(struct guest *g, enum direct_store_result result, uint8_t vector,
			    uint32_t code, uint64_t cr2)
{
	assert_int_equal(result, DIRECT_STORE_INJECTED);
	assert_int_equal(g->fault.vector, vector);
	assert_int_equal(g->fault.has_error_code, vector != VECTOR_UD);
	assert_int_equal(g->fault.error_code, code);
	assert_int_equal(g->fault.cr2, cr2);
	assert_int_equal(g->regs.rip, RIP);
	assert_int_equal(g->portal.calls, 0);
}

static void movdir64b_reaches_the_portal(void **state)
{
	struct guest *g = *state;

	g->regs.rax = PORTAL + 0x10c0;
	g->regs.rflags = 0x8d7 | X86_EFLAGS_RF;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
	assert_int_equal(g->portal.offset, 0x10c0);
	assert_int_equal(g->portal.kind, STORE64_MOVDIR64B);
	assert_memory_equal(g->portal.data, g->ram + SOURCE, 64);
	assert_int_equal(g->regs.rip, RIP + 5);
	assert_int_equal(g->regs.rflags, 0x8d7); /* status flags stay, RF goes */
	assert_int_equal(g->regs.rax, PORTAL + 0x10c0);
	assert_int_equal(g->regs.rcx, SOURCE);
}

static void movdir64b_ignores_the_answer(void **state)
{
	struct guest *g = *state;

	g->portal.answer = -EAGAIN;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->regs.rflags, 2);
	assert_int_equal(g->regs.rip, RIP + 5);
}

static void movdir64b_works_in_user_mode(void **state)
{
	struct guest *g = *state;

	user_mode(g);
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
}

static void enqcmds_tells_acceptance_in_zf(void **state)
{
	struct guest *g = *state;

	g->regs.rflags = 0x8d7;
	assert_int_equal(RUN(g, enqcmds), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.kind, STORE64_ENQCMDS);
	assert_memory_equal(g->portal.data, g->ram + SOURCE, 64);
	assert_int_equal(g->regs.rflags, 2);
	assert_int_equal(g->regs.rip, RIP + 5);

	g->portal.answer = -EAGAIN;
	g->regs.rflags = 0x897;
	assert_int_equal(RUN(g, enqcmds), DIRECT_STORE_DONE);
	assert_int_equal(g->regs.rflags, 2 | X86_EFLAGS_ZF);
	assert_int_equal(g->regs.rip, RIP + 10);
}

static void enqcmds_keeps_the_privilege_bit_and_refuses_reserved_ones(void **state)
{
	struct guest *g = *state;

	store_le(g->ram + SOURCE, 0x800fffff, 4);
	assert_int_equal(RUN(g, enqcmds), DIRECT_STORE_DONE);
	assert_int_equal(load_le(g->portal.data, 4), 0x800fffff);
	g->portal.calls = 0;
	g->regs.rip = RIP;
	for (unsigned int bit = 20; bit <= 30; bit++) {
		store_le(g->ram + SOURCE, BIT_U64(bit), 4);
		assert_injected(g, RUN(g, enqcmds), VECTOR_GP, 0, 0);
	}
}

static void enqcmd_of_the_kernel_is_cut_to_the_pasid(void **state)
{
	struct guest *g = *state;

	store_le(g->ram + SOURCE, 0xfff12345, 4);
	assert_int_equal(RUN(g, enqcmd), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.kind, STORE64_ENQCMD);
	assert_int_equal(load_le(g->portal.data, 4), 0x12345);
	assert_memory_equal(g->portal.data + 4, g->ram + SOURCE + 4, 60);
	assert_int_equal(load_le(g->ram + SOURCE, 4), 0xfff12345);
}

static void enqueueing_above_ring_0_is_gp(void **state)
{
	struct guest *g = *state;

	/* Every operand is fine: only the level is wrong. */
	for (uint8_t cpl = 1; cpl <= 3; cpl++) {
		g->sregs.ss.dpl = cpl;
		g->sregs.cs.selector = 0x30 | cpl;
		assert_injected(g, RUN(g, enqcmds), VECTOR_GP, 0, 0);
		assert_injected(g, RUN(g, enqcmd), VECTOR_GP, 0, 0);
	}
	assert_int_equal(g->entry_reads + g->reads, 0);
}

static void privilege_comes_before_page_faults(void **state)
{
	struct guest *g = *state;

	user_mode(g);
	*pte(g, SOURCE) = *pte(g, PORTAL) = 0;
	assert_injected(g, RUN(g, enqcmds), VECTOR_GP, 0, 0);
	assert_injected(g, RUN(g, enqcmd), VECTOR_GP, 0, 0);
}

static void unaligned_destination_comes_before_page_faults(void **state)
{
	struct guest *g = *state;

	g->regs.rax = PORTAL + 32;
	*pte(g, SOURCE) = *pte(g, PORTAL) = 0;
	assert_injected(g, RUN(g, movdir64b), VECTOR_GP, 0, 0);
}

static void source_fault_comes_before_destination_fault(void **state)
{
	struct guest *g = *state;

	*pte(g, SOURCE) = *pte(g, PORTAL) = 0;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, 0, SOURCE);
	*pte(g, SOURCE) = SOURCE | P | A | U;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, PFEC_WRITE, PORTAL);
	*pte(g, PORTAL) = PORTAL | P | A | U;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, PFEC_PRESENT | PFEC_WRITE, PORTAL);
	*pte(g, PORTAL) |= W;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
}

static void reserved_command_bits_come_before_destination_fault(void **state)
{
	struct guest *g = *state;

	*pte(g, PORTAL) = 0;
	store_le(g->ram + SOURCE, BIT_U64(30), 4);
	assert_injected(g, RUN(g, enqcmds), VECTOR_GP, 0, 0);
}

static void user_cannot_use_the_kernels_pages(void **state)
{
	struct guest *g = *state;

	user_mode(g);
	*pte(g, SOURCE) &= ~U;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, PFEC_PRESENT | PFEC_USER, SOURCE);
	*pte(g, SOURCE) |= U;
	*pte(g, PORTAL) &= ~U;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, PFEC_PRESENT | PFEC_USER | PFEC_WRITE,
			PORTAL);
}

static void smap_and_keys_apply(void **state)
{
	struct guest *g = *state;

	g->sregs.cr4 |= X86_CR4_SMAP;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, PFEC_PRESENT, SOURCE);
	g->regs.rflags |= X86_EFLAGS_AC;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	g->regs.rip = RIP;
	g->portal.calls = 0;

	user_mode(g);
	g->sregs.cr4 |= X86_CR4_PKE;
	g->cpu.pkru = 2u << 2;
	*pte(g, PORTAL) |= 1ULL << 59;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF,
			PFEC_PRESENT | PFEC_USER | PFEC_WRITE | PFEC_KEY, PORTAL);
}

static void source_may_cross_into_a_page_elsewhere(void **state)
{
	struct guest *g = *state;

	for (unsigned int split = 1; split < 64; split++) {
		uint8_t want[64];

		for (unsigned int i = 0; i < 64; i++)
			want[i] = (uint8_t)(split * 3 + i);
		memcpy(g->ram + 0x9000 - split, want, split);
		memcpy(g->ram + 0xc000, want + split, 64 - split);
		*pte(g, 0x9000) = 0xc000 | P | A;
		g->regs.rcx = 0x9000 - split;
		g->reads = g->bytes_read = 0;
		assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
		assert_memory_equal(g->portal.data, want, 64);
		assert_int_equal(g->reads, 2);
		assert_int_equal(g->bytes_read, 64);
	}
}

static void second_page_absent_faults_at_its_start(void **state)
{
	struct guest *g = *state;

	g->regs.rcx = 0x9000 - 1;
	*pte(g, 0x9000) = 0;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, 0, 0x9000);
	assert_int_equal(g->reads, 0);
	*pte(g, 0x8000) = 0;
	assert_injected(g, RUN(g, movdir64b), VECTOR_PF, 0, 0x9000 - 1);
	g->regs.rcx = 0x9000 - 64;
	*pte(g, 0x8000) = 0x8000 | P | A;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
}

static void scribble(struct guest *g)
{
	memset(g->ram + SOURCE, 0xff, 64);
	memset(g->ram + PT, 0xff, 4096);
}

static void the_bytes_are_read_once_and_then_private(void **state)
{
	struct guest *g = *state;
	uint8_t want[64];

	memcpy(want, g->ram + SOURCE, 64);
	g->on_read = scribble;
	/* The destination's entry is scribbled over as well: the fault shows the order. */
	assert_injected(g, RUN(g, enqcmds), VECTOR_PF, PFEC_PRESENT | PFEC_WRITE | PFEC_RESERVED,
			PORTAL);
	assert_int_equal(g->reads, 1);
	assert_int_equal(g->bytes_read, 64);

	guest_fill(g);
	g->regs.rax = PORTAL;
	g->on_read = NULL;
	assert_int_equal(RUN(g, enqcmds), DIRECT_STORE_DONE);
	assert_memory_equal(g->portal.data, want, 64);
	assert_int_equal(g->reads, 2);
}

/* Sets the command's reserved bit after it was read: a second look would refuse it. */
static void set_reserved(struct guest *g)
{
	store_le(g->ram + SOURCE, UINT32_MAX, 4);
}

static void checks_are_on_the_copy(void **state)
{
	struct guest *g = *state;

	g->on_read = set_reserved;
	assert_int_equal(RUN(g, enqcmds), DIRECT_STORE_DONE);
	assert_int_equal(load_le(g->portal.data, 4), 5);
}

static void a_lost_race_lets_the_guest_try_again(void **state)
{
	struct guest *g = *state;
	struct kvm_regs before = g->regs;

	g->races = true;
	*pte(g, SOURCE) &= ~A;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_memory_equal(&g->regs, &before, sizeof(before));
	assert_int_equal(g->portal.calls, 0);
	assert_true(g->entry_reads <= WALK_LEVELS * WALK_RETRIES);
}

static void accessed_and_dirty_are_set_as_by_the_processor(void **state)
{
	struct guest *g = *state;

	*pte(g, SOURCE) &= ~(A | D);
	*pte(g, PORTAL) &= ~(A | D);
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(*pte(g, SOURCE) & (A | D), A);
	assert_int_equal(*pte(g, PORTAL) & (A | D), A | D);
}

static void other_destinations_are_not_ours(void **state)
{
	struct guest *g = *state;
	struct kvm_regs before;

	g->regs.rax = SOURCE; /* memory */
	before = g->regs;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->regs.rax = PORTAL + PORTAL_SIZE; /* a hole */
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->regs.rax = PORTAL;
	g->region.ops = &plain_ops;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->region.ops = &portal_ops;
	g->region.size = 63; /* too small for the store */
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->region.size = PORTAL_SIZE;
	g->region.base = PORTAL - 32; /* the offset would be unaligned */
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->regs.rax = before.rax;
	assert_memory_equal(&g->regs, &before, sizeof(before));
	assert_int_equal(g->portal.calls, 0);
}

static void a_source_outside_memory_is_not_ours(void **state)
{
	struct guest *g = *state;

	g->regs.rcx = PORTAL;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	g->regs.rcx = RAM - 1; /* its second page is a hole */
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
	assert_int_equal(g->portal.calls, 0);
}

static void tables_outside_memory_are_not_ours(void **state)
{
	struct guest *g = *state;

	g->sregs.cr3 = PORTAL;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
}

static void other_paging_modes_are_not_ours(void **state)
{
	struct guest *g = *state;

	g->sregs.efer = 0;
	g->sregs.cs.l = 0;
	g->sregs.cs.db = 1;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_NOT_OURS);
}

static void thirty_two_bit_code_works_without_paging(void **state)
{
	struct guest *g = *state;

	g->sregs.cr0 = X86_CR0_PE;
	g->sregs.efer = 0;
	g->sregs.cs.l = 0;
	g->sregs.cs.db = 1;
	g->regs.rip = 0xfffffffe;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
	assert_int_equal(g->regs.rip, 3);
	assert_int_equal(g->entry_reads, 0);
}

static void compatibility_mode_wraps_the_source_at_4_gib(void **state)
{
	struct guest *g = *state;
	uint64_t *pdpt = (uint64_t *)(g->ram + 0x2000), *pd = (uint64_t *)(g->ram + 0x3000);

	/* The last and the first page below 4 GiB; the segment begins in the one. */
	pdpt[3] = 0x3000 | P | W | U | A;
	pd[511] = PT | P | W | U | A;
	*pte(g, 0xfffff000) = 0xa000 | P | A;
	*pte(g, 0) = 0xb000 | P | A;
	memset(g->ram + 0xafe0, 0x11, 32);
	memset(g->ram + 0xb000, 0x22, 32);
	g->sregs.cs.l = 0;
	g->sregs.cs.db = 1;
	g->sregs.ds.base = 0xffffffe0;
	g->regs.rcx = 0;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.data[31], 0x11);
	assert_int_equal(g->portal.data[32], 0x22);
}

static void other_bytes_are_not_ours_and_bad_forms_are_faults(void **state)
{
	static const uint8_t mov[] = { 0x48, 0x89, 0x01 };
	static const uint8_t lock[] = { 0xf0, 0x66, 0x0f, 0x38, 0xf8, 0x01 };
	static const uint8_t reg[] = { 0x66, 0x0f, 0x38, 0xf8, 0xc1 };
	uint8_t endless[64];
	struct guest *g = *state;

	memset(endless, 0x66, sizeof(endless));
	assert_int_equal(RUN(g, mov), DIRECT_STORE_NOT_OURS);
	assert_int_equal(run(g, movdir64b, 0), DIRECT_STORE_NOT_OURS);
	assert_int_equal(run(g, movdir64b, 4), DIRECT_STORE_NOT_OURS);
	assert_injected(g, RUN(g, lock), VECTOR_UD, 0, 0);
	assert_injected(g, RUN(g, reg), VECTOR_UD, 0, 0);
	assert_injected(g, RUN(g, endless), VECTOR_GP, 0, 0);
}

static void *race_tables(void *arg)
{
	struct guest *g = arg;
	uint64_t *source = pte(g, SOURCE), *portal = pte(g, PORTAL);

	while (!__atomic_load_n(&g->stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(source, 0, __ATOMIC_RELAXED);
		__atomic_store_n(portal, PORTAL | P | U, __ATOMIC_RELAXED);
		__atomic_store_n(source, SOURCE | P | U, __ATOMIC_RELAXED);
		__atomic_store_n(portal, PORTAL | P | W, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What one store may end in while its tables are written: all of it, or nothing and a reason. */
static bool whole_or_nothing(const struct guest *g, enum direct_store_result result)
{
	if (result == DIRECT_STORE_DONE && g->regs.rip == RIP + sizeof(movdir64b))
		return g->portal.calls == 1 && !memcmp(g->portal.data, g->ram + SOURCE, 64);
	if (g->regs.rip != RIP || g->portal.calls)
		return false;
	if (result == DIRECT_STORE_INJECTED)
		return g->fault.vector == VECTOR_PF &&
		       (g->fault.cr2 == SOURCE || g->fault.cr2 == PORTAL);
	return result == DIRECT_STORE_DONE;
}

static void racing_tables_end_in_a_store_a_fault_or_a_retry(void **state)
{
	struct guest *g = *state;
	unsigned int wrong = 0;

	*pte(g, SOURCE) = SOURCE | P | U;
	assert_int_equal(pthread_create(&g->racer, NULL, race_tables, g), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		g->regs.rip = RIP;
		g->portal.calls = 0;
		if (!whole_or_nothing(g, RUN(g, movdir64b)))
			wrong++;
	}
	__atomic_store_n(&g->stop, true, __ATOMIC_RELAXED);
	pthread_join(g->racer, NULL);
	assert_int_equal(wrong, 0);

	g->regs.rip = RIP;
	g->portal.calls = 0;
	*pte(g, SOURCE) = SOURCE | P | U;
	*pte(g, PORTAL) = PORTAL | P | W;
	assert_int_equal(RUN(g, movdir64b), DIRECT_STORE_DONE);
	assert_int_equal(g->portal.calls, 1);
}

#define GUEST_TEST(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUEST_TEST(movdir64b_reaches_the_portal),
		GUEST_TEST(movdir64b_ignores_the_answer),
		GUEST_TEST(movdir64b_works_in_user_mode),
		GUEST_TEST(enqcmds_tells_acceptance_in_zf),
		GUEST_TEST(enqcmds_keeps_the_privilege_bit_and_refuses_reserved_ones),
		GUEST_TEST(enqcmd_of_the_kernel_is_cut_to_the_pasid),
		GUEST_TEST(enqueueing_above_ring_0_is_gp),
		GUEST_TEST(privilege_comes_before_page_faults),
		GUEST_TEST(unaligned_destination_comes_before_page_faults),
		GUEST_TEST(source_fault_comes_before_destination_fault),
		GUEST_TEST(reserved_command_bits_come_before_destination_fault),
		GUEST_TEST(user_cannot_use_the_kernels_pages),
		GUEST_TEST(smap_and_keys_apply),
		GUEST_TEST(source_may_cross_into_a_page_elsewhere),
		GUEST_TEST(second_page_absent_faults_at_its_start),
		GUEST_TEST(the_bytes_are_read_once_and_then_private),
		GUEST_TEST(checks_are_on_the_copy),
		GUEST_TEST(a_lost_race_lets_the_guest_try_again),
		GUEST_TEST(accessed_and_dirty_are_set_as_by_the_processor),
		GUEST_TEST(other_destinations_are_not_ours),
		GUEST_TEST(a_source_outside_memory_is_not_ours),
		GUEST_TEST(tables_outside_memory_are_not_ours),
		GUEST_TEST(other_paging_modes_are_not_ours),
		GUEST_TEST(thirty_two_bit_code_works_without_paging),
		GUEST_TEST(compatibility_mode_wraps_the_source_at_4_gib),
		GUEST_TEST(other_bytes_are_not_ours_and_bad_forms_are_faults),
		GUEST_TEST(racing_tables_end_in_a_store_a_fault_or_a_retry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

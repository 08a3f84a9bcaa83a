/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The five coherency policies over all facts, alone and in pairs, against a table written by hand;
 * and the error paths of kvm-vfio on the KVM that is here.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kvm-glue/coherency.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

enum verdict {
	NO,   /* refused */
	TOLD, /* KVM is told, No Snoop Enable masked */
	FREE, /* KVM is told, No Snoop Enable reaches the device */
	HUSH  /* KVM is not told, No Snoop Enable masked */
};

/* By policy, and whether the IOMMU is lax, enforces, or is not there. */
static const enum verdict safe[COHERENCY_POLICIES][3] = {
	[COHERENCY_POLICY_AUTO] = { FREE, FREE, FREE },
	[COHERENCY_POLICY_ENFORCE] = { NO, TOLD, NO },
	[COHERENCY_POLICY_ALLOW] = { FREE, NO, FREE },
	[COHERENCY_POLICY_DENY] = { NO, HUSH, NO },
	[COHERENCY_POLICY_GUEST_PAT] = { FREE, FREE, FREE },
};

static const struct coherency_host amd = { .kvm_vfio = true, .pat_always = true };
static const struct coherency_host intel_new = { .kvm_vfio = true, .pat_quirk = true };
static const struct coherency_host intel_old = { .kvm_vfio = true };
static const struct coherency_host bare = { .pat_quirk = true };
/* Before Linux 6.2. */
static const struct coherency_host old_kernel = { .kvm_vfio = true, .by_container = true };
static const struct coherency_host *const hosts[] = { &amd, &intel_new, &intel_old, &bare };

static enum verdict expect(const struct coherency_host *host, const struct coherency_device *d)
{
	enum verdict v = safe[d->policy][d->iommu];

	if (d->policy == COHERENCY_POLICY_DENY && d->unsafe_stale_reads)
		v = HUSH;
	if (d->policy == COHERENCY_POLICY_GUEST_PAT && host == &intel_old)
		v = NO;
	if (v != HUSH && host == &bare)
		v = NO;
	return v;
}

static bool turns_wbinvd_on(const struct coherency_device *d, enum verdict v)
{
	return (v == TOLD || v == FREE) && d->iommu != COHERENCY_IOMMU_ENFORCES;
}

/* Device number i of all that there can be; false past the last. */
static bool device(unsigned int i, struct coherency_device *out)
{
	*out = (struct coherency_device){
		.name = "dev",
		.policy = (enum coherency_policy)(i % 5),
		.iommu = (enum coherency_iommu)(i / 5 % 3),
		.unsafe_stale_reads = i / 15 & 1,
		.group = -1,
	};
	return i < 30;
}

static void every_policy_alone_does_what_the_table_says(void **state)
{
	struct coherency_device d;

	for (unsigned int h = 0; h < ARRAY_SIZE(hosts); h++) {
		for (unsigned int i = 0; device(i, &d); i++) {
			enum verdict v = expect(hosts[h], &d);
			struct coherency_choice choice;
			struct coherency_state vm;
			struct err err = { 0 };
			int ret = coherency_decide(hosts[h], &d, 1, &choice, &vm, &err);

			if (v == NO) {
				assert_int_equal(ret, -EOPNOTSUPP);
				assert_non_null(strstr(err.text, "dev: coherency '"));
				assert_non_null(strstr(err.text, coherency_policy_name(d.policy)));
				continue;
			}
			assert_ok(ret, &err);
			assert_int_equal(choice.tell_kvm, v != HUSH);
			assert_int_equal(choice.no_snoop, v == FREE);
			assert_int_equal(vm.wbinvd, turns_wbinvd_on(&d, v));
			assert_int_equal(vm.drop_pat_quirk,
					 d.policy == COHERENCY_POLICY_GUEST_PAT &&
						 hosts[h] == &intel_new);
			assert_int_equal(vm.guest_pat,
					 hosts[h] == &amd || vm.wbinvd || vm.drop_pat_quirk);
		}
	}
}

/* A container of mdevs has nothing in it that would not enforce snooping, says an old kernel. */
static void an_mdev_by_its_group_is_coherent_to_an_old_kernel(void **state)
{
	for (int group = -1; group <= 7; group += 8) {
		for (unsigned int iommu = 0; iommu < 3; iommu++) {
			const struct coherency_device d = {
				.name = "dev",
				.iommu = (enum coherency_iommu)iommu,
				.group = group,
			};
			struct coherency_choice choice;
			struct coherency_state vm;
			struct err err = { 0 };

			assert_ok(coherency_decide(&old_kernel, &d, 1, &choice, &vm, &err), &err);
			assert_int_equal(vm.wbinvd,
					 d.iommu == COHERENCY_IOMMU_LAX ||
						 (d.iommu == COHERENCY_IOMMU_NONE && group < 0));
		}
	}
}

static bool strict(const struct coherency_device *d)
{
	return d->policy == COHERENCY_POLICY_ENFORCE || d->policy == COHERENCY_POLICY_DENY;
}

static void every_pair_goes_together_or_is_refused_by_both_names(void **state)
{
	struct coherency_device pair[2];

	for (unsigned int h = 0; h < ARRAY_SIZE(hosts); h++) {
		for (unsigned int i = 0; device(i, &pair[0]); i++) {
			for (unsigned int j = 0; device(j, &pair[1]); j++) {
				enum verdict a = expect(hosts[h], &pair[0]);
				enum verdict b = expect(hosts[h], &pair[1]);
				bool clash = (turns_wbinvd_on(&pair[0], a) && strict(&pair[1])) ||
					     (turns_wbinvd_on(&pair[1], b) && strict(&pair[0]));
				struct coherency_choice choices[2];
				struct coherency_state vm;
				struct err err = { 0 };
				int ret;

				pair[0].name = "first";
				pair[1].name = "second";
				ret = coherency_decide(hosts[h], pair, 2, choices, &vm, &err);
				if (a == NO || b == NO || clash) {
					assert_int_equal(ret, -EOPNOTSUPP);
				} else {
					assert_ok(ret, &err);
					assert_int_equal(vm.wbinvd,
							 turns_wbinvd_on(&pair[0], a) ||
								 turns_wbinvd_on(&pair[1], b));
				}
				if (a != NO && b != NO && clash) {
					assert_non_null(strstr(err.text, "first"));
					assert_non_null(strstr(err.text, "second"));
				}
			}
		}
	}
}

static void members_of_an_opened_group_share_one_policy(void **state)
{
	struct coherency_device pair[2] = {
		{ .name = "first", .iommu = COHERENCY_IOMMU_ENFORCES, .group = 7 },
		{ .name = "second",
		  .policy = COHERENCY_POLICY_ENFORCE,
		  .iommu = COHERENCY_IOMMU_ENFORCES,
		  .group = 7 },
	};
	struct coherency_choice choices[2];
	struct coherency_state vm;
	struct err err = { 0 };

	assert_int_equal(coherency_decide(&amd, pair, 2, choices, &vm, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "group 7"));
	pair[1].group = 8;
	assert_ok(coherency_decide(&amd, pair, 2, choices, &vm, &err), &err);
	pair[0].group = pair[1].group = -1;
	assert_ok(coherency_decide(&amd, pair, 2, choices, &vm, &err), &err);
}

static void no_device_needs_nothing(void **state)
{
	struct coherency_state vm;
	struct err err = { 0 };

	assert_ok(coherency_decide(&bare, NULL, 0, NULL, &vm, &err), &err);
	assert_false(vm.wbinvd || vm.guest_pat || vm.drop_pat_quirk);
}

/* --- on this host's KVM ---------------------------------------------------------------------- */

static struct vm *vm_or_skip(void)
{
	const struct vm_options options = { .kvm_fd = -1 };
	struct err err = { 0 };
	struct vm *vm;

	if (vm_create(&vm, &options, &err))
		skip_because("%s", err.text);
	return vm;
}

static void kvm_vfio_refuses_what_is_no_vfio_descriptor(void **state)
{
	struct vm *vm = vm_or_skip();
	struct coherency_host host;
	struct coherency *c, *again;
	struct err err = { 0 };
	int fd;

	coherency_host_probe(vm, &host);
	if (!host.kvm_vfio) {
		assert_int_equal(coherency_open(&c, vm, &err), -ENOTSUP);
		vm_destroy(vm);
		skip_because("this KVM has no kvm-vfio device");
	}
	assert_ok(coherency_open(&c, vm, &err), &err);
	assert_int_equal(coherency_open(&again, vm, &err), -EBUSY);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(coherency_tell(c, fd, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no VFIO"));
	assert_int_equal(coherency_tell(c, -1, &err), -EBADF);
	assert_int_equal(coherency_forget(c, fd, &err), -ENOENT);
	close(fd);
	coherency_close(c);
	coherency_close(NULL);
	vm_destroy(vm);
}

static void the_pat_quirk_goes_where_kvm_offers_it(void **state)
{
	struct vm *vm = vm_or_skip();
	struct coherency_host host;
	struct err err = { 0 };

	coherency_host_probe(vm, &host);
	if (host.pat_quirk) {
		assert_ok(coherency_honour_pat(vm, &err), &err);
	} else {
		assert_int_not_equal(coherency_honour_pat(vm, &err), 0);
		assert_non_null(strstr(err.text, "QUIRK_IGNORE_GUEST_PAT"));
	}
	vm_destroy(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_policy_alone_does_what_the_table_says),
		cmocka_unit_test(an_mdev_by_its_group_is_coherent_to_an_old_kernel),
		cmocka_unit_test(every_pair_goes_together_or_is_refused_by_both_names),
		cmocka_unit_test(members_of_an_opened_group_share_one_policy),
		cmocka_unit_test(no_device_needs_nothing),
		cmocka_unit_test(kvm_vfio_refuses_what_is_no_vfio_descriptor),
		cmocka_unit_test(the_pat_quirk_goes_where_kvm_offers_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

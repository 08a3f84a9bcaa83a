/* SPDX-License-Identifier: Apache-2.0 */
/* adit doctor: what this host can and cannot do for VMs, and the command that mends each. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "keeper/host.h"
#include "keeper/journal.h"
#include "kvm-glue/caps.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"
#include "util/landlock.h"
#include "util/loop.h"
#include "util/sandbox.h"
#include "vmm/command.h"

#define CLASS_DISPLAY 0x03

enum verdict {
	GOOD,
	NOTE,
	BAD
};

/* One line of the report. Text is owned by the list's JSON object. */
struct report {
	struct json_object *items; /* [{"name", "verdict", "text"}] */
	bool bad;
};

static const char *const verdicts[] = { "ok", "note", "missing" };

static void add(struct report *report, enum verdict verdict, const char *name, const char *text)
{
	struct json_object *item = json_object_new_object();

	json_object_object_add(item, "name", json_object_new_string(name));
	json_object_object_add(item, "verdict", json_object_new_string(verdicts[verdict]));
	json_object_object_add(item, "text", json_object_new_string(text));
	json_object_array_add(report->items, item);
	report->bad |= verdict == BAD;
}

static void look_at_caps(struct report *report, int kvm_fd)
{
	size_t count;
	const struct kvm_cap_row *rows = kvm_caps(&count);

	for (size_t i = 0; i < count; i++) {
		int value = kvm_cap_value(kvm_fd, rows[i].number);
		char name[64], text[160];

		snprintf(name, sizeof(name), "KVM_CAP_%s", rows[i].name);
		if (value)
			snprintf(text, sizeof(text), "%s (%d)", rows[i].use, value);
		else
			snprintf(text, sizeof(text), "%s: %s", rows[i].use,
				 rows[i].required ? "needed; a newer host kernel has it"
						  : "not on this host; adit does without it");
		add(report, value ? GOOD : rows[i].required ? BAD : NOTE, name, text);
	}
}

/* The PVM back end answers the whole API but runs no Linux guests: users should know. */
static void look_at_backend(struct report *report)
{
	static const struct {
		const char *module, *text;
		enum verdict verdict;
	} rows[] = {
		{ "kvm_intel", "VMX: guests run on hardware", GOOD },
		{ "kvm_amd", "SVM: guests run on hardware", GOOD },
		{ "kvm_pvm",
		  "PVM: guest kernel code is emulated; flat payloads run, Linux does not boot",
		  NOTE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/module/%s", rows[i].module);
		if (!access(path, F_OK))
			add(report, rows[i].verdict, rows[i].module, rows[i].text);
	}
}

static void look_at_kvm(struct report *report)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct err err;

	if (fd < 0) {
		kvm_node_error(errno, &err);
		add(report, BAD, "/dev/kvm", err.text);
		return;
	}
	add(report, GOOD, "/dev/kvm", "opens");
	look_at_backend(report);
	look_at_caps(report, fd);
	close(fd);
}

static void look_at_loop(struct report *report)
{
	struct loop *loop;
	struct err err;

	if (loop_create(&loop, &err)) {
		add(report, BAD, "io_uring", err.text);
		return;
	}
	loop_destroy(loop);
	add(report, GOOD, "io_uring", "the event loop can be made");
}

static void look_at_sandbox(struct report *report)
{
	struct err err;

	if (!sandbox_is_built())
		add(report, NOTE, "seccomp", "this is a build with a sanitizer: it has no filters");
	else if (sandbox_check(&err))
		add(report, BAD, "seccomp", err.text);
	else
		add(report, GOOD, "seccomp", "each thread can have its filter");
	if (landlock_abi(&err))
		add(report, GOOD, "landlock", "--landlock can keep a VM to its files");
	else
		add(report, NOTE, "landlock", err.text);
}

/* By trying, in a child: several sysctls and security modules have a word in it. */
static void look_at_namespaces(struct report *report)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		add(report, GOOD, "namespaces", "--namespaces can give a VM its own");
	else if (geteuid())
		add(report, NOTE, "namespaces",
		    "--namespaces needs user namespaces for who is not root: sysctl "
		    "user.max_user_namespaces above 0, and kernel.unprivileged_userns_clone=1 or "
		    "kernel.apparmor_restrict_unprivileged_userns=0 where these are there");
	else
		add(report, NOTE, "namespaces",
		    "--namespaces needs CAP_SYS_ADMIN, which this root has not: start adit outside "
		    "of this container");
}

/* Guest RAM is a memfd: whether it may have transparent huge pages is the host's setting. */
static void look_at_huge_pages(struct report *report)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char text[128] = "";
	FILE *file = fopen(path, "re");
	bool never = file && fgets(text, sizeof(text), file) && strstr(text, "[never]");

	if (file)
		fclose(file);
	if (!file || never)
		add(report, NOTE, "huge pages for shared memory",
		    "guest RAM comes in pages of 4 KiB, which costs start-up time and TLB misses: "
		    "'echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled', or "
		    "\"hugepages\" or \"shared\": false in the configuration");
	else
		add(report, GOOD, "huge pages for shared memory", "guest RAM gets them by itself");
}

/* How many entries a directory has, the first of which goes to `first`. */
static unsigned int entries(const char *path, char *first, size_t size)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	unsigned int n = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (!n++)
			snprintf(first, size, "%.*s", (int)size - 1, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return n;
}

static void look_at_iommu(struct report *report)
{
	unsigned int iommus, groups;
	char name[64] = "", group[64];
	char text[200];

	iommus = entries("/sys/class/iommu", name, sizeof(name));
	groups = entries("/sys/kernel/iommu_groups", group, sizeof(group));
	if (!groups) {
		add(report, NOTE, "IOMMU",
		    "none in use, so no device of this host can be assigned: enable VT-d or AMD-Vi in "
		    "the firmware, and 'intel_iommu=on' on the kernel's command line");
		return;
	}
	snprintf(text, sizeof(text), "%u in use (%s), devices in %u groups", iommus, name, groups);
	add(report, GOOD, "IOMMU", text);
}

/* What a provider that answers can do, or why it does not. */
static struct ioasid_ctx *look_at_provider(struct report *report, enum ioasid_provider_id id,
					   const char *name, const char *node)
{
	struct ioasid_ctx *ctx = NULL;
	struct ioasid_caps caps;
	struct err err;
	char text[300];

	if (ioasid_ctx_open(&ctx, id, NULL, &err)) {
		add(report, NOTE, name, err.text);
		return NULL;
	}
	ioasid_ctx_caps(ctx, &caps);
	snprintf(text, sizeof(text), "answers on %s: %s%s%s%s", node,
		 caps.pasids ? "PASIDs" : "no PASIDs",
		 caps.atomic_replace ? ", moves between spaces without a pause"
				     : ", a device that moves between spaces is blocked in between",
		 caps.spaces_share_memory ? ", memory pinned once"
					  : ", memory pinned once for each IOMMU group",
		 caps.faults == IOASID_FAULTS_NONE ? ", no faults reported" : ", page requests");
	add(report, GOOD, name, text);
	return ctx;
}

static void look_at_locked_memory(struct report *report, struct ioasid_ctx *ctx)
{
	struct ioasid_memory memory;
	char text[240];

	ioasid_memory(ctx, &memory);
	if (memory.limit == UINT64_MAX) {
		add(report, GOOD, "locked memory", "no limit: guests of any size can be pinned");
		return;
	}
	snprintf(text, sizeof(text),
		 "%llu MiB of the limit of %llu MiB are left, and guests with assigned devices are "
		 "pinned whole: raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=infinity)",
		 (unsigned long long)(memory.left / MIB), (unsigned long long)(memory.limit / MIB));
	add(report, NOTE, "locked memory", text);
}

static void look_at_vfio(struct report *report)
{
	char name[64] = "", text[200];
	unsigned int n = entries("/dev/vfio/devices", name, sizeof(name));

	if (!n && access("/dev/vfio", F_OK))
		snprintf(text, sizeof(text),
			 "not there: 'modprobe vfio-pci' on a host with an IOMMU makes it");
	else if (!n)
		snprintf(
			text, sizeof(text),
			"no device is bound to VFIO: 'driverctl set-override BDF vfio-pci' gives one");
	else
		snprintf(text, sizeof(text), "%u devices are bound to VFIO (%s)", n, name);
	add(report, n ? GOOD : NOTE, "/dev/vfio", text);
}

static void look_at_passthrough(struct report *report)
{
	struct ioasid_ctx *iommufd, *type1;

	look_at_iommu(report);
	iommufd =
		look_at_provider(report, IOASID_PROVIDER_IOMMUFD, "provider iommufd", "/dev/iommu");
	type1 = look_at_provider(report, IOASID_PROVIDER_TYPE1, "provider type1", "/dev/vfio/vfio");
	add(report, GOOD, "provider soft",
	    "in this process, for ADIs that are composed of software");
	look_at_vfio(report);
	if (iommufd || type1)
		look_at_locked_memory(report, iommufd ? iommufd : type1);
	ioasid_ctx_close(iommufd);
	ioasid_ctx_close(type1);
}

/* What dead keepers left: their VMs' devices are still away from the host. */
static void look_at_journals(struct report *report, const char *run_dir)
{
	unsigned int stale, count = journal_count(run_dir, &stale);
	char text[128];

	if (stale) {
		snprintf(text, sizeof(text),
			 "%u of %u keepers died without giving their devices back: "
			 "'adit doctor --clean'",
			 stale, count);
		add(report, NOTE, "keepers", text);
		return;
	}
	snprintf(text, sizeof(text), "%u running, nothing left behind", count);
	add(report, GOOD, "keepers", text);
}

static void look_at_switches(struct report *report)
{
	const struct host host = { .root = "" };
	const char *module = host_unsafe_interrupts(&host);
	char text[160];

	if (host_noiommu_mode(&host))
		add(report, NOTE, "VFIO's no-IOMMU mode",
		    "is on, in which a device reaches all memory; adit assigns nothing: 'echo N > "
		    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode'");
	if (module) {
		snprintf(text, sizeof(text),
			 "%s's is on, so a device may forge interrupts; adit assigns nothing: "
			 "'echo N > /sys/module/%s/parameters/allow_unsafe_interrupts'",
			 module, module);
		add(report, NOTE, "allow_unsafe_interrupts", text);
	}
}

/* Displays are the class of device that commonly relies on no-snoop DMA: advice, never applied. */
static void look_at_displays(struct report *report)
{
	const struct host host = { .root = "" };
	struct host_inventory all;
	char text[256];

	if (host_scan(&host, &all))
		return;
	for (size_t i = 0; i < all.n_functions; i++) {
		const struct host_function *function = &all.functions[i];

		if (function->class >> 16 != CLASS_DISPLAY || function->group == HOST_NO_GROUP)
			continue;
		snprintf(text, sizeof(text),
			 "a display, whose drivers commonly use no-snoop DMA; IOMMU enforces "
			 "snooping: %s. \"coherency\": \"auto\" lets the kernel decide, "
			 "\"guest-pat\" is what its driver in the guest may need",
			 host_snoop_word(function->snoop));
		add(report, NOTE, function->bdf, text);
	}
	host_inventory_free(&all);
}

static void print(const struct report *report)
{
	for (size_t i = 0; i < json_object_array_length(report->items); i++) {
		struct json_object *item = json_object_array_get_idx(report->items, i);

		printf("%-8s %-34s %s\n",
		       json_object_get_string(json_object_object_get(item, "verdict")),
		       json_object_get_string(json_object_object_get(item, "name")),
		       json_object_get_string(json_object_object_get(item, "text")));
	}
}

static int clean_up(const char *run_dir)
{
	const struct host host = { .root = "" };
	unsigned int done, failed;
	struct err err;

	if (journal_clean(&host, run_dir, stdout, &done, &failed, &err)) {
		fprintf(stderr, "adit doctor: %s\n", err.text);
		return EXIT_FAILED;
	}
	printf("%u cleaned, %u could not be\n", done, failed);
	return failed ? EXIT_FAILED : EXIT_OK;
}

static int usage(FILE *to)
{
	fprintf(to, "usage: adit doctor [--json] [--run-dir DIR]\n"
		    "       adit doctor --clean [--run-dir DIR]\n");
	return to == stdout ? EXIT_OK : EXIT_CONFIG;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "clean", no_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *run_dir = JOURNAL_DIR;
	struct report report = { 0 };
	bool json = false, clean = false, bad = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		json |= c == 'j';
		clean |= c == 'c';
		bad |= c == '?';
		if (c == 'r')
			run_dir = optarg;
	}
	if (bad || optind != argc || (clean && json))
		return usage(stderr);
	if (clean)
		return clean_up(run_dir);
	report.items = json_object_new_array();
	look_at_kvm(&report);
	look_at_loop(&report);
	look_at_sandbox(&report);
	look_at_namespaces(&report);
	look_at_huge_pages(&report);
	look_at_passthrough(&report);
	look_at_switches(&report);
	look_at_displays(&report);
	look_at_journals(&report, run_dir);
	if (json)
		printf("%s\n",
		       json_object_to_json_string_ext(report.items, JSON_C_TO_STRING_PRETTY));
	else
		print(&report);
	json_object_put(report.items);
	return report.bad ? EXIT_FAILED : EXIT_OK;
}

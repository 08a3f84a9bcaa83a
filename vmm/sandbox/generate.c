/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run while adit is built: `generate header` writes the filters as bytes, `generate document` the
 * list of docs/sandbox.md. So adit itself has neither libseccomp nor its work at start.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>

#include "util/bits.h"
#include "vmm/sandbox/table.h"

#define MAX_INSTRUCTIONS 4096u /* BPF_MAXINSNS */
#define CALLS_NAMED	 512
#define NAME_BYTES	 28
/* Stands for the process's own number, which shows at run time: no process has one as high. */
#define SELF 0x5e1f5e1fu

static const struct {
	const char *name, *what;
	unsigned int children; /* threads that it starts, which inherit its filter */
	unsigned int wider;    /* a role whose rows are its own as well */
} roles[SANDBOX_ROLES] = {
	[SANDBOX_LIFE] = { "life",
			   "The process's first thread: makes a machine, waits while it runs, ends "
			   "it, and makes the next one where the guest resets itself.",
			   LOOP | VSOCK | VCPU | ENGINE | RECEIVER | MEMORY },
	[SANDBOX_LOOP] = { "loop", "Serves a machine's devices: disks, networks, sockets, the "
				   "serial line." },
	[SANDBOX_VSOCK] = { "loop+vsock",
			    "The loop of a machine with a vsock: as the guest asks, it connects to "
			    "sockets of the host.",
			    0, LOOP },
	[SANDBOX_VCPU] = { "vcpu", "Runs the guest and answers its accesses; one for each vCPU.",
			   ENGINE },
	[SANDBOX_ENGINE] = { "engine", "Carries out the descriptors of an ADI." },
	[SANDBOX_RECEIVER] = { "vfio-user", "Reads what the server of a vfio-user device sends." },
	[SANDBOX_API] = { "api", "Serves the API's clients." },
	[SANDBOX_MEMORY] = { "memory",
			     "Makes pages of guest memory for devices; plugs and unplugs it as the "
			     "guest's driver asks, where a configuration has `hotplug_size`." },
	[SANDBOX_SERVER] = { "server", "`adit adi-serve`: waits for a signal, then ends it." },
	[SANDBOX_SEAT] = { "seat",
			   "`adit adi-serve`: serves the clients of one socket, other VMMs.",
			   ENGINE },
	[SANDBOX_OWNER] = { "owner",
			    "`adit adi-serve` with a `/function`: waits for a signal, then ends it "
			    "and gives the function back.",
			    0, SERVER },
	[SANDBOX_TENANT] = { "tenant",
			     "`adit adi-serve` with a `/function`: serves the clients of one "
			     "socket, whose memory the function's IOMMU is shown.",
			     FUNCTION, SEAT },
	[SANDBOX_FUNCTION] = { "function", "`adit adi-serve` with a `/function`: carries out "
					   "descriptors on one of its queues, waits for its "
					   "interrupt, or tells one tenant of its loss." },
	[SANDBOX_STARTER] = { "starter",
			      "Another process, of one thread: starts the helpers of host work "
			      "queues when it is asked.",
			      QUEUE },
	[SANDBOX_QUEUE] = { "queue", "Such a helper, from when its queue is open: hands "
				     "descriptors to it and waits for their records." },
};

static void fail(const char *what, const char *name, int ret)
{
	fprintf(stderr, "sandbox: %s %s: %s\n", what, name, strerror(-ret));
	exit(1);
}

static bool has(enum sandbox_role role, const struct sandbox_row *row)
{
	unsigned int of = 1u << role | roles[role].wider;

	/* What a child may do it must be able to; what it is refused is the child's own affair. */
	return row->roles & (of | (row->error ? 0 : roles[role].children));
}

/* Two rows that say the same of a call are one to libseccomp, which is what EEXIST says. */
static void add(scmp_filter_ctx filter, const struct sandbox_row *row)
{
	const struct scmp_arg_cmp compare[] = {
		{ row->argument, SCMP_CMP_MASKED_EQ, row->mask, row->value },
		{ 0, SCMP_CMP_MASKED_EQ, WORD, SELF },
	};
	unsigned int n = row->own ? 2 : row->mask ? 1 : 0;
	uint32_t action = row->error ? SCMP_ACT_ERRNO((uint32_t)row->error) : SCMP_ACT_ALLOW;
	int ret = seccomp_rule_add_exact_array(filter, action, row->call, n, compare);

	if (ret && ret != -EEXIST)
		fail("row", row->name, ret);
}

/* Does the role have the call whatever its arguments are? Then conditions of other rows are moot.
 */
static bool is_free(enum sandbox_role role, int call)
{
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_rows); i++) {
		const struct sandbox_row *row = &sandbox_rows[i];

		if (row->call == call && !row->mask && has(role, row))
			return true;
	}
	return false;
}

static size_t export(scmp_filter_ctx filter, struct sock_filter *code)
{
	FILE *file = tmpfile();
	size_t n;
	int ret;

	if (!file)
		fail("a temporary file", "", -errno);
	ret = seccomp_export_bpf(filter, fileno(file));
	if (ret)
		fail("exporting", "", ret);
	rewind(file);
	n = fread(code, sizeof(*code), MAX_INSTRUCTIONS + 1, file);
	fclose(file);
	if (!n || n > MAX_INSTRUCTIONS)
		fail("a filter's length", "", -E2BIG);
	return n;
}

/*
 * Calls of other architectures, whose numbers mean something else, end the process at once; that
 * is libseccomp's rule where nothing else is said.
 */
static size_t make(enum sandbox_role role, struct sock_filter *code)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	size_t n;
	int ret;

	if (!filter)
		fail("no filter for", roles[role].name, -ENOMEM);
	/* A tree over the numbers of calls, so that none waits for the others. */
	ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (ret)
		fail("optimising", roles[role].name, ret);
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_rows); i++) {
		const struct sandbox_row *row = &sandbox_rows[i];

		if (has(role, row) && (!row->mask || !is_free(role, row->call)))
			add(filter, row);
	}
	n = export(filter, code);
	seccomp_release(filter);
	return n;
}

static void write_calls(void)
{
	/* Rows of bytes, not pointers: nothing to relocate at start. */
	printf("static const char sandbox_calls[%d][%d] = {\n", CALLS_NAMED, NAME_BYTES);
	for (int i = 0; i < CALLS_NAMED; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, i);

		if (name && strlen(name) < NAME_BYTES)
			printf("[%d] = \"%s\",\n", i, name);
		free(name);
	}
	printf("};\n");
}

static void write_header(void)
{
	static struct sock_filter code[MAX_INSTRUCTIONS + 1];
	size_t first[SANDBOX_ROLES], len[SANDBOX_ROLES], at = 0, longest = 0;

	printf("/* Made by vmm/sandbox/generate.c. */\n"
	       "struct sandbox_filter { unsigned short first, len; };\n"
	       "static const struct sock_filter sandbox_code[] = {\n");
	for (int role = 0; role < SANDBOX_ROLES; role++) {
		first[role] = at;
		len[role] = make((enum sandbox_role)role, code);
		at += len[role];
		longest = MAX(longest, len[role]);
		for (size_t i = 0; i < len[role]; i++)
			printf("{ %#x, %u, %u, %#x },\n", code[i].code, code[i].jt, code[i].jf,
			       code[i].k);
	}
	printf("};\nstatic const struct sandbox_filter sandbox_filters[] = {\n");
	for (int role = 0; role < SANDBOX_ROLES; role++)
		printf("{ %zu, %zu },\n", first[role], len[role]);
	printf("};\n#define SANDBOX_LONGEST %zu\n#define SANDBOX_SELF %#xu\n", longest, SELF);
	write_calls();
}

static void write_children(unsigned int children)
{
	const char *before = "and those that it starts may: ";

	for (int role = 0; role < SANDBOX_ROLES; role++) {
		if (!(children & 1u << role))
			continue;
		printf("%s%s", before, roles[role].name);
		before = ", ";
	}
}

static void write_role(enum sandbox_role role)
{
	printf("\n### %s\n\n%s", roles[role].name, roles[role].what);
	for (int other = 0; other < SANDBOX_ROLES; other++) {
		if (roles[role].wider & 1u << other)
			printf(" It may do all that %s may.", roles[other].name);
	}
	if (roles[role].children) {
		printf(" It may do what is listed here ");
		write_children(roles[role].children);
		printf(".");
	}
	printf("\n\n| call | where | why |\n|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_rows); i++) {
		const struct sandbox_row *row = &sandbox_rows[i];

		if (row->roles != ALL && row->roles & 1u << role)
			printf("| `%s` | %s | %s |\n", row->name,
			       row->condition ? row->condition : "-", row->reason);
	}
}

static void write_document(void)
{
	printf("### every thread\n\n| call | where | why |\n|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_rows); i++) {
		const struct sandbox_row *row = &sandbox_rows[i];

		if (row->roles == ALL)
			printf("| `%s` | %s | %s |\n", row->name,
			       row->condition ? row->condition : "-", row->reason);
	}
	for (int role = 0; role < SANDBOX_ROLES; role++)
		write_role((enum sandbox_role)role);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "header"))
		write_header();
	else if (argc == 2 && !strcmp(argv[1], "document"))
		write_document();
	else
		return 2;
	return fflush(stdout) ? 1 : 0;
}

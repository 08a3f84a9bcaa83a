/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order-generate MAP ADIT CONFIG...: the linker script that puts what a VM executes between its
 * start and its end into one piece of adit's file (vmm/order/adit.ld). Runs each configuration one
 * instruction after the other, asks the linker's map MAP what each belongs to, and prints the
 * names.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/bits.h"

#define MAX_SECTIONS 16384u
#define SECONDS	     30u /* a guest that does not end by itself is ended here */

/* Of the map: what one object file brought. */
struct section {
	uint64_t start, size;
	char name[128];
	char file[64]; /* "*libc.a:malloc.o" of a library, empty for adit's own */
	bool seen;
};

struct order {
	struct section *section;
	size_t n;
};

static void die(const char *what)
{
	fprintf(stderr, "order-generate: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- the map --------------------------------------------------------------------------------- */

/* ".../libc.a(malloc.o)" is a library's; adit's own archives are named without folders above. */
static void name_file(struct section *section, const char *path)
{
	const char *slash = strrchr(path, '/'), *member = strchr(path, '(');
	char text[64];

	if (*path != '/' || !slash || !member || member < slash)
		return;
	if (snprintf(text, sizeof(text), "*%.*s:%.*s", (int)(member - slash - 1), slash + 1,
		     (int)(strcspn(member + 1, ")")), member + 1) < (int)sizeof(text))
		memcpy(section->file, text, sizeof(text));
}

static bool is_code(const char *name)
{
	return !strncmp(name, ".text", 5);
}

/* " .text.name  0xADDRESS  0xSIZE FILE"; a long name has a line of its own before the rest. */
static void read_map(struct order *order, const char *path)
{
	FILE *from = fopen(path, "re");
	char line[4096], name[128] = "", file[PATH_MAX];

	if (!from)
		die(path);
	while (fgets(line, sizeof(line), from)) {
		struct section one = { 0 };

		if (line[0] != ' ')
			continue;
		if (line[1] == '.' && sscanf(line, " %127s", name) != 1)
			continue;
		if (sscanf(line + (line[1] == '.' ? 1 + strlen(name) : 0), " 0x%lx 0x%lx %4095s",
			   &one.start, &one.size, file) != 3)
			continue;
		if (is_code(name) && one.start && one.size && order->n < MAX_SECTIONS) {
			memcpy(one.name, name, sizeof(name));
			name_file(&one, file);
			order->section[order->n++] = one;
		}
		name[0] = 0;
	}
	fclose(from);
}

static int by_start(const void *a, const void *b)
{
	const struct section *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void mark(struct order *order, uint64_t at)
{
	size_t low = 0, high = order->n;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (order->section[middle].start <= at)
			low = middle;
		else
			high = middle;
	}
	if (order->n && at - order->section[low].start < order->section[low].size)
		order->section[low].seen = true;
}

/* --- one instruction after the other -----------------------------------------------------------
 */

static pid_t start(char **argv)
{
	pid_t pid = fork();
	int null;

	if (pid)
		return pid;
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	personality(ADDR_NO_RANDOMIZE);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	execv(argv[0], argv);
	_exit(127);
}

/* Where the program's first byte is. */
static uint64_t base_of(pid_t pid, const char *program)
{
	char path[64], real[PATH_MAX], line[PATH_MAX + 128];
	uint64_t base = 0;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	from = fopen(path, "re");
	if (!from || !realpath(program, real))
		die(program);
	while (!base && fgets(line, sizeof(line), from)) {
		if (strstr(line, real))
			base = strtoull(line, NULL, 16);
	}
	fclose(from);
	return base;
}

/* So that waiting for its next step ends. */
static void on_alarm(int signal)
{
}

static void trace(struct order *order, char **argv)
{
	/* Again each second after the first: one could come while nobody waits. */
	const struct itimerval patience = { { 1, 0 }, { SECONDS, 0 } }, none = { 0 };
	pid_t pid = start(argv), thread;
	uint64_t base;
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die(argv[0]);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	base = base_of(pid, argv[0]);
	ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
	setitimer(ITIMER_REAL, &patience, NULL);
	while ((thread = waitpid(-1, &status, __WALL)) > 0) {
		struct user_regs_struct regs;
		int signal;

		if (!WIFSTOPPED(status))
			continue;
		if (!ptrace(PTRACE_GETREGS, thread, NULL, &regs))
			mark(order, regs.rip - base);
		signal = WSTOPSIG(status);
		if (signal == SIGTRAP || signal == SIGSTOP)
			signal = 0;
		ptrace(PTRACE_SINGLESTEP, thread, NULL, (long)signal);
	}
	setitimer(ITIMER_REAL, &none, NULL);
	kill(pid, SIGKILL);
	while (waitpid(-1, &status, __WALL) > 0 || errno != ECHILD)
		;
}

/* --- the script --------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
	const struct section *x = a, *y = b;
	int file = strcmp(x->file, y->file);

	return file ? file : strcmp(x->name, y->name);
}

/* Compilers cut functions into parts, and name them name.part.0, name.isra.0, name.cold. */
static void print_own(const char *name)
{
	const char *function = name + strlen(".text.");
	int n = (int)strcspn(function, ".");

	if (!strncmp(function, "startup.", 8) || !strncmp(function, "unlikely.", 9))
		printf("\t\t*(%s)\n", name);
	else
		printf("\t\t*(.text.%.*s .text.%.*s.*)\n", n, function, n, function);
}

static void print(struct order *order)
{
	/* What is marked HOT calls them, on each exit. */
	static const char *const with_hot[] = { "ioctl.o", "pthread_mutex_lock.o",
						"pthread_mutex_unlock.o" };

	puts("/* SPDX-License-Identifier: Apache-2.0 */\n"
	     "/*\n"
	     " * What a VM executes between its start and its end, in one piece of adit's file: the kernel maps a\n"
	     " * file's pages sixteen at a time, so that elsewhere nearly all of it was in every VM's memory.\n"
	     " * Written by `make order`; what is named here and is not there any more does no harm.\n"
	     " */\n"
	     "SECTIONS\n{\n\t.text.first :\n\t{\n"
	     "\t\t*(.text.hot .text.hot.*)");
	for (size_t i = 0; i < ARRAY_SIZE(with_hot); i++)
		printf("\t\t*libc.a:%s(.text)\n", with_hot[i]);
	putchar('\n');
	qsort(order->section, order->n, sizeof(order->section[0]), by_name);
	for (size_t i = 0; i < order->n; i++) {
		const struct section *one = &order->section[i];

		if (!one->seen)
			continue;
		if (*one->file)
			printf("\t\t%s(%s)\n", one->file, one->name);
		else if (one->name[strlen(".text")])
			print_own(one->name);
	}
	puts("\t}\n}\nINSERT BEFORE .text;");
}

int main(int argc, char **argv)
{
	struct order order = { .section = NULL };

	if (argc < 4) {
		fputs("usage: order-generate MAP ADIT CONFIG...\n", stderr);
		return 1;
	}
	order.section = calloc(MAX_SECTIONS, sizeof(struct section));
	if (!order.section)
		die("no memory for the map");
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	read_map(&order, argv[1]);
	qsort(order.section, order.n, sizeof(order.section[0]), by_start);
	for (int i = 3; i < argc; i++)
		trace(&order, (char *[]){ argv[2], (char *)"run", argv[i], NULL });
	print(&order);
	free(order.section);
	return fflush(stdout) ? 1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/io-guest.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/child.h"

/* A boot of the guest. */
struct boot {
	const struct io_guest *guest;
	struct turn *turn;
	double cpu_begin;
	unsigned int ended; /* rows */
	char complaint[160];
};

/* As adit names them, and QEMU. */
static bool is_vcpu(const char *name)
{
	return !strncmp(name, "vcpu", 4) || !strncmp(name, "CPU ", 4);
}

/* On the CPU so far, in us: all threads of the process but its vCPUs. */
static double monitor_us(int pid)
{
	char path[PATH_MAX], name[32];
	const struct dirent *entry;
	double sum = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		unsigned long long ns = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (!fgets(name, sizeof(name), file))
			name[0] = 0;
		fclose(file);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		file = is_vcpu(name) ? NULL : fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%llu", &ns) == 1)
			sum += (double)ns / 1000;
		fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return sum;
}

static bool names_row(const struct boot *boot, char name, unsigned int *row)
{
	*row = (unsigned int)(name - 'a');
	return name >= 'a' && *row < boot->guest->rows;
}

static void on_end(struct boot *boot, int pid, unsigned int row, double done, double cycles)
{
	const struct io_guest *guest = boot->guest;
	double cpu = monitor_us(pid) - boot->cpu_begin;

	boot->ended++;
	guest->put(boot->turn, row,
		   &(struct io_result){ .rate = done * guest->cycles_second / cycles,
					/* It has ended, and its threads with it. */
					.cpu_us = cpu > 0 ? cpu / done : NAN });
	if (guest->during)
		guest->during(boot->turn, row, false);
}

static void on_line(void *arg, int pid, char *text)
{
	struct boot *boot = arg;
	unsigned long done, cycles;
	unsigned int row;
	char name;

	if (sscanf(text, "begin %c", &name) == 1 && names_row(boot, name, &row)) {
		if (boot->guest->during)
			boot->guest->during(boot->turn, row, true);
		boot->cpu_begin = monitor_us(pid);
	} else if (sscanf(text, "end %c %lu %lu", &name, &done, &cycles) == 3 &&
		   names_row(boot, name, &row) && done && cycles) {
		on_end(boot, pid, row, (double)done, (double)cycles);
	} else if (!strncmp(text, "not ok", 6)) {
		snprintf(boot->complaint, sizeof(boot->complaint), "; the guest says: %.120s",
			 text);
	}
}

int io_guest_run(struct turn *turn, char *const argv[], int good, const struct io_guest *guest,
		 struct err *err)
{
	struct boot boot = { .guest = guest, .turn = turn };
	int status = 0, ret = child_lines(turn, argv, on_line, &boot, &status);

	if (!ret &&
	    (!WIFEXITED(status) || WEXITSTATUS(status) != good || boot.ended != guest->rows))
		ret = -EIO;
	return ret ? err_set(err, -ret, "the guest ended with status %#x after %u rows of %u%s",
			     (unsigned int)status, boot.ended, guest->rows, boot.complaint)
		   : 0;
}

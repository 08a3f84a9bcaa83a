/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer: every file of the corpora given as arguments, then random
 * mutations of them that depend on nothing but the seed and the run's number. The target runs in a
 * child, so that a run that crashes or hangs can be named and its input kept.
 *
 *   ADIT_FUZZ_RUNS  mutations, default 20000, or what the target says (replay.h)
 *   ADIT_FUZZ_SEED  default 1
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/replay.h"

#define RUN_SECONDS 60 /* a single input that takes longer hangs */
#define GROWTH	    4096
#define INPUT_MAX   (1 << 20)

__attribute__((weak)) unsigned int replay_runs(void)
{
	return 20000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	char *name;
	uint8_t *bytes;
	size_t size;
};

struct corpus {
	struct input *inputs;
	size_t n;
	size_t longest;
};

static void die(const char *what, const char *name)
{
	fprintf(stderr, "replay: %s %s: %s\n", what, name, strerror(errno));
	exit(2);
}

static void *allocate(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		die("no memory for", "an input");
	return p;
}

static void corpus_add(struct corpus *corpus, const char *path, const struct stat *st)
{
	struct input *inputs = realloc(corpus->inputs, (corpus->n + 1) * sizeof(*inputs));
	FILE *file = fopen(path, "rb");
	struct input *input;

	if (!inputs || !file)
		die("cannot read", path);
	corpus->inputs = inputs;
	input = &inputs[corpus->n++];
	input->name = strdup(path);
	if (st->st_size > INPUT_MAX) {
		errno = EFBIG;
		die("cannot use", path);
	}
	input->size = st->st_size;
	input->bytes = allocate(input->size);
	if (!input->name || fread(input->bytes, 1, input->size, file) != input->size)
		die("cannot read", path);
	fclose(file);
	if (input->size > corpus->longest)
		corpus->longest = input->size;
}

static void corpus_add_path(struct corpus *corpus, const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n;

	if (stat(path, &st))
		die("cannot read", path);
	if (!S_ISDIR(st.st_mode)) {
		corpus_add(corpus, path, &st);
		return;
	}
	/* Sorted: the mutations depend on the order. */
	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
		die("cannot list", path);
	for (int i = 0; i < n; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (stat(name, &st))
			die("cannot read", name);
		if (S_ISREG(st.st_mode))
			corpus_add(corpus, name, &st);
		free(entries[i]);
	}
	free(entries);
}

static void corpus_free(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->n; i++) {
		free(corpus->inputs[i].name);
		free(corpus->inputs[i].bytes);
	}
	free(corpus->inputs);
}

/* SplitMix64 */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(uint64_t *seed, size_t n)
{
	return n ? draw(seed) % n : 0;
}

static uint64_t interesting(uint64_t *seed)
{
	const uint64_t power = 1ULL << draw(seed) % 64;

	switch (draw(seed) % 6) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return power;
	case 3:
		return power - 1;
	case 4:
		return -power;
	default:
		return draw(seed) >> draw(seed) % 64;
	}
}

static void close_hole(struct input *input, size_t at, size_t len)
{
	uint8_t *p = input->bytes + at;

	memmove(p, p + len, input->size - at - len);
	input->size -= len;
}

static void insert(struct input *input, const struct input *from, uint64_t *seed, size_t max)
{
	size_t at = below(seed, input->size + 1), start = below(seed, from->size);
	size_t len = below(seed, from->size - start + 1);

	if (len > max - input->size)
		len = max - input->size;
	if (!len)
		return;
	memmove(input->bytes + at + len, input->bytes + at, input->size - at);
	input->size += len;
	memcpy(input->bytes + at, from->bytes + start, len);
}

static void overwrite(struct input *input, const struct input *from, uint64_t *seed)
{
	size_t at = below(seed, input->size), start = below(seed, from->size);
	size_t len = below(seed, from->size - start + 1);

	if (len > input->size - at)
		len = input->size - at;
	memcpy(input->bytes + at, from->bytes + start, len);
}

/* One step; the buffer of *input has room for max bytes. */
static void mutate(struct input *input, const struct corpus *corpus, uint64_t *seed, size_t max)
{
	const struct input *other = &corpus->inputs[below(seed, corpus->n)];
	size_t at = below(seed, input->size), len;
	uint64_t value = interesting(seed);

	switch (draw(seed) % 8) {
	case 0:
		if (input->size)
			input->bytes[at] ^= 1 << draw(seed) % 8;
		break;
	case 1:
		if (input->size)
			input->bytes[at] = value;
		break;
	case 2:
	case 3: /* fields are aligned more often than not */
		len = 2ULL << draw(seed) % 3;
		at -= draw(seed) % 4 ? at % len : 0;
		if (len <= input->size - at)
			memcpy(input->bytes + at, &value, len);
		break;
	case 4:
		len = below(seed, input->size - at + 1);
		close_hole(input, at, len);
		break;
	case 5:
		if (draw(seed) % 4 == 0)
			input->size = at;
		break;
	case 6:
		insert(input, other, seed, max);
		break;
	default:
		overwrite(input, other, seed);
	}
}

/* Input number `run`: a file of the corpus, or a mutation. Its buffer is exact, for sanitizers. */
static struct input make_input(const struct corpus *corpus, uint64_t seed, size_t run)
{
	const size_t max = corpus->longest + GROWTH;
	struct input input = { 0 }, exact = { 0 };
	const struct input *from;

	if (run < corpus->n) {
		from = &corpus->inputs[run];
		exact.bytes = allocate(from->size);
		exact.size = from->size;
		memcpy(exact.bytes, from->bytes, from->size);
		return exact;
	}
	seed = seed * 0x100000001b3 + run;
	from = &corpus->inputs[below(&seed, corpus->n)];
	input.bytes = allocate(max);
	input.size = from->size;
	memcpy(input.bytes, from->bytes, from->size);
	for (size_t steps = 1 + below(&seed, 6); steps; steps--)
		mutate(&input, corpus, &seed, max);
	exact.bytes = allocate(input.size);
	exact.size = input.size;
	memcpy(exact.bytes, input.bytes, input.size);
	free(input.bytes);
	return exact;
}

static void run_all(const struct corpus *corpus, uint64_t seed, size_t total,
		    volatile size_t *progress)
{
	for (size_t run = 0; run < total; run++) {
		struct input input = make_input(corpus, seed, run);

		*progress = run;
		alarm(RUN_SECONDS);
		LLVMFuzzerTestOneInput(input.bytes, input.size);
		free(input.bytes);
	}
	*progress = total;
}

static void keep_input(const struct input *input, uint64_t seed, size_t run)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "crash-%d-%zu", getpid(), run);
	file = fopen(path, "wb");
	if (!file)
		die("cannot write", path);
	fwrite(input->bytes, 1, input->size, file);
	if (fclose(file))
		die("cannot write", path);
	fprintf(stderr, " in run %zu of seed %llu: input kept as %s\n", run,
		(unsigned long long)seed, path);
}

static void report_failure(const struct corpus *corpus, uint64_t seed, size_t run, int status)
{
	struct input input = make_input(corpus, seed, run);

	if (WIFSIGNALED(status))
		fprintf(stderr, "replay: signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "replay: exit status %d", WEXITSTATUS(status));
	if (run < corpus->n)
		fprintf(stderr, " in %s\n", corpus->inputs[run].name);
	else
		keep_input(&input, seed, run);
	free(input.bytes);
}

static uint64_t number_from_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);
	char *end;
	uint64_t value;

	if (!text || !*text)
		return fallback;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (*end && !errno)
		errno = EINVAL;
	if (errno)
		die(name, text);
	return value;
}

int main(int argc, char **argv)
{
	const uint64_t seed = number_from_env("ADIT_FUZZ_SEED", 1);
	struct corpus corpus = { 0 };
	size_t *progress, total, passed;
	int status;
	pid_t pid;

	for (int i = 1; i < argc; i++)
		corpus_add_path(&corpus, argv[i]);
	if (!corpus.n) {
		fprintf(stderr, "usage: %s CORPUS... (files, or directories with files)\n",
			argv[0]);
		return 2;
	}
	total = corpus.n + number_from_env("ADIT_FUZZ_RUNS", replay_runs());
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (progress == MAP_FAILED)
		die("no memory for", "the counter");

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("cannot", "fork");
	if (!pid) {
		run_all(&corpus, seed, total, progress);
		corpus_free(&corpus);
		exit(0); /* through the leak checker */
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	passed = *progress;
	if (passed < total)
		report_failure(&corpus, seed, passed, status);
	else if (status)
		fprintf(stderr, "replay: status %#x after the last run: a leak?\n", status);
	/* One test for each file of the corpus, and one for all mutations. */
	printf("%zu passed, %d failed, 0 skipped\n",
	       passed < corpus.n ? passed : corpus.n + !status, status ? 1 : 0);
	corpus_free(&corpus);
	munmap(progress, sizeof(*progress));
	return status ? 1 : 0;
}

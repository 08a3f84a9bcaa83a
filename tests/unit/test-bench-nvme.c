/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench dma's NVMe driver against a controller of our own making: another process that shares
 * registers and memory with it and does by the letter what the queues say. Each page that is read
 * is filled with its number on the disk, so a wrong address shows.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/dma-device.h"
#include "tests/unit/check.h"
#include "util/bits.h"

#define BASE	  (8 * GIB) /* as the device addresses memory */
#define DATA	  MIB
#define REGISTERS (2 * DMA_PAGE)
#define BLOCK	  512u
#define BLOCKS	  4096u
#define MDTS	  5u /* 128 KiB */
#define STRIDE	  1u /* CAP.DSTRD: 8 bytes from doorbell to doorbell */
#define QUEUES	  4u /* that it gives, whatever is asked for */

struct controller {
	uint8_t *registers, *memory;
	bool stalls, fails; /* reads and writes, not what brings it up */
	bool dead;	    /* never becomes ready */
	pid_t pid;
};

struct queue {
	uint64_t commands, completions; /* their addresses */
	uint32_t entries, head, tail;	/* of commands; of completions */
	uint16_t phase;
};

static uint32_t reg(const struct controller *c, uint32_t at)
{
	return __atomic_load_n((uint32_t *)(c->registers + at), __ATOMIC_ACQUIRE);
}

static void set_reg(const struct controller *c, uint32_t at, uint32_t value)
{
	__atomic_store_n((uint32_t *)(c->registers + at), value, __ATOMIC_RELEASE);
}

static void *at(const struct controller *c, uint64_t address)
{
	if (address < BASE || address - BASE >= DMA_OWN + DATA)
		_exit(1); /* the device reached past its memory */
	return c->memory + (address - BASE);
}

/* Section 4.3 by the letter: page after page, the list after the first where there are over two. */
static void fill(const struct controller *c, const uint64_t *command, uint32_t blocks)
{
	uint32_t pages = (blocks * BLOCK + DMA_PAGE - 1) / DMA_PAGE;
	uint32_t page = (uint32_t)command[5] / (DMA_PAGE / BLOCK);

	for (uint32_t i = 0; i < pages; i++) {
		uint64_t address = i == 0      ? command[3]
				   : pages > 2 ? ((uint64_t *)at(c, command[4]))[i - 1]
					       : command[4];
		uint32_t *to = at(c, address);

		for (uint32_t word = 0; word < MIN(blocks * BLOCK, DMA_PAGE) / 4; word++)
			to[word] = page + i;
	}
}

static void identify(const struct controller *c, const uint64_t *command)
{
	uint8_t *answer = at(c, command[3]);

	memset(answer, 0, DMA_PAGE);
	if (command[5] & 1) {
		answer[77] = MDTS;
		return;
	}
	*(uint64_t *)answer = BLOCKS;
	answer[26] = 1;		      /* the second format */
	answer[128 + 4 * 1 + 2] = 9;  /* of 512 bytes */
	answer[128 + 4 * 0 + 2] = 12; /* the first would be of 4096 */
}

static uint16_t admin(struct queue *io, const struct controller *c, const uint64_t *command,
		      uint32_t *result)
{
	uint32_t number = (uint32_t)(command[5] & 0xffff) - 1;

	switch (command[0] & 0xff) {
	case 0x06:
		identify(c, command);
		return 0;
	case 0x09: /* Set Features: of the number of queues, of which there may be fewer */
		if ((command[5] & 0xff) != 7)
			return 1;
		*result = (QUEUES - 1) << 16 | (QUEUES - 1);
		return 0;
	case 0x05:
		if (number >= QUEUES)
			return 1;
		io[number].completions = command[3];
		io[number].entries = (uint32_t)(command[5] >> 16 & 0xffff) + 1;
		return 0;
	case 0x01:
		if (number >= QUEUES || command[5] >> 48 != number + 1) /* its completion queue */
			return 1;
		io[number].commands = command[3];
		return 0;
	}
	return 1;
}

static uint16_t work(const struct controller *c, const uint64_t *command)
{
	uint32_t blocks = (uint32_t)(command[6] & 0xffff) + 1;

	if (c->fails || command[5] + blocks > BLOCKS || (uint32_t)(command[0] >> 32) != 1)
		return 0x80; /* LBA out of range */
	if ((command[0] & 0xff) == 0x02)
		fill(c, command, blocks);
	return 0;
}

static void complete(const struct controller *c, struct queue *q, uint16_t id, uint16_t status,
		     uint32_t result)
{
	uint16_t *entry = (uint16_t *)((uint8_t *)at(c, q->completions) + q->tail * 16);

	*(uint32_t *)entry = result;
	entry[6] = id;
	__atomic_store_n(&entry[7], (uint16_t)(status << 1 | q->phase), __ATOMIC_RELEASE);
	if (++q->tail == q->entries) {
		q->tail = 0;
		q->phase ^= 1;
	}
}

static void serve(const struct controller *c, struct queue *q, unsigned int number,
		  struct queue *io)
{
	uint32_t tail = reg(c, 0x1000 + 2 * number * (4u << STRIDE));

	while (q->commands && q->head != tail) {
		const uint64_t *command =
			(const uint64_t *)((uint8_t *)at(c, q->commands) + q->head * 64);
		uint32_t result = 0;
		uint16_t status = number ? work(c, command) : admin(io, c, command, &result);

		q->head = (q->head + 1) % q->entries;
		if (number && c->stalls)
			continue;
		complete(c, q, (uint16_t)(command[0] >> 16), status, result);
	}
}

static void controller_main(const struct controller *c)
{
	struct queue admins = { .phase = 1 }, io[QUEUES] = { 0 };
	bool on = false;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		bool enable = reg(c, 0x14) & 1;

		if (enable && !on) {
			admins =
				(struct queue){ .phase = 1, .entries = (reg(c, 0x24) & 0xfff) + 1 };
			for (unsigned int i = 0; i < QUEUES; i++)
				io[i] = (struct queue){ .phase = 1 };
			memcpy(&admins.commands, c->registers + 0x28, 8);
			memcpy(&admins.completions, c->registers + 0x30, 8);
			memset(c->registers + 0x1000, 0, 64);
		}
		on = enable;
		if (!c->dead)
			set_reg(c, 0x1c, on);
		if (on) {
			serve(c, &admins, 0, io);
			for (unsigned int i = 0; i < QUEUES; i++)
				serve(c, &io[i], i + 1, io);
		}
		sched_yield();
	}
}

/* --- the driver's side ----------------------------------------------------------------------- */

struct fixture {
	struct controller controller;
	struct dma_device device;
	struct dma_result result;
};

static struct fixture *start(bool dead, bool stalls, bool fails)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct controller *c = &f->controller;
	int flags = MAP_SHARED | MAP_ANONYMOUS;

	c->registers = mmap(NULL, REGISTERS, PROT_READ | PROT_WRITE, flags, -1, 0);
	c->memory = mmap(NULL, DMA_OWN + DATA, PROT_READ | PROT_WRITE, flags, -1, 0);
	c->dead = dead;
	c->stalls = stalls;
	c->fails = fails;
	*(uint64_t *)c->registers = (uint64_t)STRIDE << 32 | 31; /* CAP: queues of 32 */
	c->pid = fork();
	if (!c->pid)
		controller_main(c);
	f->device = (struct dma_device){
		.driver = &dma_nvme_driver,
		.registers = c->registers,
		.memory = c->memory,
		.address = BASE,
		.size = DMA_OWN + DATA,
		.patience = dead || stalls ? 300000000u : 60000000000u,
	};
	return f;
}

static void end(struct fixture *f)
{
	int status;

	kill(f->controller.pid, SIGKILL);
	waitpid(f->controller.pid, &status, 0);
	assert_true(WIFSIGNALED(status)); /* and not by itself: it stayed in its memory */
	munmap(f->controller.registers, REGISTERS);
	munmap(f->controller.memory, DMA_OWN + DATA);
	free(f);
}

static void the_controller_comes_up_with_its_limits(void **state)
{
	struct fixture *f = start(false, false, false);

	(void)state;
	assert_true(f->device.driver->start(&f->device));
	assert_int_equal(f->device.lanes, 31);
	assert_int_equal(f->device.bytes_max, DMA_PAGE << MDTS);
	assert_int_equal(f->device.bytes_step, BLOCK);
	assert_int_equal(f->device.nvme.blocks, BLOCKS);
	end(f);
}

static bool run(struct fixture *f, uint32_t bytes, unsigned int depth, unsigned int writes)
{
	const struct dma_load load = {
		.bytes = bytes,
		.batch = 1,
		.depth = depth,
		.writes = writes,
		.size = DATA,
		.ticks = 1,
		.least = (unsigned int)(DATA / bytes),
	};

	return dma_run(&f->device, &load, &f->result);
}

/* Every page of memory has the number of the one of the disk that belongs there. */
static void reads_arrive_where_they_should_whatever_their_size(void **state)
{
	static const uint32_t sizes[] = { DMA_PAGE, 2 * DMA_PAGE, 3 * DMA_PAGE, 32 * DMA_PAGE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fixture *f = start(false, false, false);
		const uint32_t *data = (const uint32_t *)(f->controller.memory + DMA_OWN);
		uint32_t pages = (uint32_t)(DATA / sizes[i] * sizes[i] / DMA_PAGE);

		assert_true(f->device.driver->start(&f->device));
		assert_true(run(f, sizes[i], 1, 0));
		/* The first place was read into once more before the load ended. */
		for (uint32_t page = sizes[i] / DMA_PAGE; page < pages; page++) {
			if (data[(page + 1) * 1024 - 1] != page)
				fail_msg("%u bytes: page %u holds %u", sizes[i], page,
					 data[(page + 1) * 1024 - 1]);
		}
		f->device.driver->stop(&f->device);
		end(f);
	}
}

static void a_deep_queue_goes_round_and_round(void **state)
{
	struct fixture *f = start(false, false, false);

	(void)state;
	assert_true(f->device.driver->start(&f->device));
	assert_true(run(f, BLOCK, f->device.lanes, 0));
	/* The last look may find a whole queue done, and as many are under way again by then. */
	assert_in_range(f->result.done, DATA / BLOCK, DATA / BLOCK - 1 + 2 * f->device.lanes);
	/* And once more with half of them writes, and after a stop. */
	assert_true(run(f, BLOCK, f->device.lanes, 50));
	f->device.driver->stop(&f->device);
	assert_true(f->device.driver->start(&f->device));
	assert_true(run(f, BLOCK, 3, 0));
	end(f);
}

/* Of commands: how many of them were submitted, modulo its entries. */
static uint32_t doorbell(const struct fixture *f, unsigned int queue)
{
	return reg(&f->controller, 0x1000 + 2 * (queue + 1) * (4u << STRIDE));
}

static void lanes_of_several_queues_stay_in_theirs(void **state)
{
	struct fixture *f = start(false, false, false);
	/* 3 under way in each: once round, each queue has had as many. */
	const struct dma_load load = {
		.bytes = DMA_PAGE,
		.batch = 1,
		.depth = 3 * QUEUES,
		.size = DATA,
		.queues = QUEUES,
		.own_lanes = true,
		.ticks = 0,
		.least = 1,
	};

	(void)state;
	f->device.wanted.count = QUEUES;
	assert_true(f->device.driver->start(&f->device));
	assert_int_equal(f->device.lanes, 31);
	assert_true(dma_prove(&f->device, &load));
	for (unsigned int i = 0; i < QUEUES; i++)
		assert_int_equal(doorbell(f, i), 2 * 3); /* two patterns */
	assert_true(dma_run(&f->device, &load, &f->result));
	assert_true(f->result.done >= 3 * QUEUES);
	f->device.driver->stop(&f->device);
	end(f);
}

static void more_queues_than_it_gives_are_refused(void **state)
{
	struct fixture *f = start(false, false, false);

	(void)state;
	f->device.wanted.count = QUEUES + 1;
	assert_false(f->device.driver->start(&f->device));
	assert_non_null(strstr(f->device.at, "too few"));
	end(f);
}

/* As fio's randread: one after the other, 40 reads would not get to the namespace's second half. */
static void random_reads_are_random_on_the_namespace(void **state)
{
	struct fixture *f = start(false, false, false);
	const uint32_t *data = (const uint32_t *)(f->controller.memory + DMA_OWN);
	const struct dma_load load = {
		.bytes = DMA_PAGE,
		.batch = 1,
		.depth = 1,
		.random = true,
		.size = DATA,
		.ticks = 0,
		.least = 40,
	};
	unsigned int beyond = 0;

	(void)state;
	assert_true(f->device.driver->start(&f->device));
	assert_true(dma_prove(&f->device, &load));
	assert_true(dma_run(&f->device, &load, &f->result));
	for (uint32_t page = 0; page < DATA / DMA_PAGE; page++) {
		assert_true(data[page * 1024] < BLOCKS * BLOCK / DMA_PAGE);
		beyond += data[page * 1024] >= BLOCKS * BLOCK / DMA_PAGE / 2;
	}
	assert_in_range(beyond, 8, 35);
	end(f);
}

static void a_command_that_fails_ends_the_load_with_its_status(void **state)
{
	struct fixture *f = start(false, false, true);

	(void)state;
	assert_true(f->device.driver->start(&f->device));
	assert_false(run(f, DMA_PAGE, 1, 0));
	assert_int_equal(f->device.failed, 1);
	assert_int_equal(f->device.error, 0x80);
	end(f);
}

static void a_controller_that_stalls_is_not_waited_for(void **state)
{
	struct fixture *f = start(false, true, false);
	uint32_t value = 0;

	(void)state;
	/* What it takes to come up has to fit into the patience of this one. */
	f->device.patience = 60000000000u;
	assert_true(f->device.driver->start(&f->device));
	f->device.patience = 300000000u;
	assert_false(run(f, DMA_PAGE, 4, 0));
	assert_int_equal(f->device.failed, 0);
	assert_string_equal(f->device.driver->describe(&f->device, &value), "CSTS");
	assert_int_equal(value, 1);
	assert_string_equal(f->device.at, "a load");
	end(f);
}

static void a_controller_that_never_is_ready_says_so(void **state)
{
	struct fixture *f = start(true, false, false);

	(void)state;
	assert_false(f->device.driver->start(&f->device));
	assert_string_equal(f->device.at, "to become ready");
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_controller_comes_up_with_its_limits),
		cmocka_unit_test(reads_arrive_where_they_should_whatever_their_size),
		cmocka_unit_test(a_deep_queue_goes_round_and_round),
		cmocka_unit_test(lanes_of_several_queues_stay_in_theirs),
		cmocka_unit_test(more_queues_than_it_gives_are_refused),
		cmocka_unit_test(random_reads_are_random_on_the_namespace),
		cmocka_unit_test(a_command_that_fails_ends_the_load_with_its_status),
		cmocka_unit_test(a_controller_that_stalls_is_not_waited_for),
		cmocka_unit_test(a_controller_that_never_is_ready_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

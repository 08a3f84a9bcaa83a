/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a hostile child: each input is a series of messages (a length byte, then that
 * many). The keeper answers each one, opens and changes only what its plan names, and in the end
 * everything is as before. Anything else aborts.
 */
#include <stddef.h>
#include <stdint.h>

#include "../unit/fake-kernel.h"
#include "keeper/keeper.h"
#include "util/bits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OTHER "0000:00:04.0" /* in the host, not in the plan */

static struct fake_host *machine;

static void leave(void)
{
	fake_close(machine);
	free(machine);
}

static int guarded_write(void *arg, const char *path, const char *text)
{
	fake_must(!strstr(path, OTHER) && !strstr(text, OTHER) && !strstr(path, ".."));
	fake_must(strstr(path, NIC) || !strcmp(text, NIC) || strstr(path, UUID) ||
		  !strcmp(text, UUID));
	return fake_write(arg, path, text);
}

static int guarded_open(void *arg, const char *path)
{
	fake_must(!strcmp(path, "/dev/vfio/devices/vfio0") ||
		  !strcmp(path, "/dev/vfio/devices/vfio2") || !strcmp(path, "/dev/vfio/5") ||
		  !strcmp(path, "/dev/iommu") || !strcmp(path, "/dev/vfio/vfio"));
	return fake_open_node(arg, path);
}

static void make_machine(void)
{
	machine = calloc(1, sizeof(*machine));
	fake_must(machine);
	fake_machine(machine);
	machine->host.write = guarded_write;
	machine->host.open = guarded_open;
	atexit(leave);
}

static void must_be_as_before(void)
{
	struct host_function function;
	struct host_mdev mdev;

	fake_must(!host_function_read(&machine->host, NIC, &function));
	fake_must(!strcmp(function.driver, "e1000e") && !*function.override);
	fake_must(host_mdev_read(&machine->host, UUID, &mdev) == -ENODEV);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keeper_plan plan = {
		.devices = { { .kind = KEEPER_FUNCTION, .name = NIC, .managed = true },
			     { .kind = KEEPER_NEW_MDEV,
			       .name = UUID,
			       .parent = "mtty",
			       .type = "mtty-2" } },
		.n = 2,
	};
	struct keeper_state state = { 0 };
	struct keeper_reply reply;

	if (!machine)
		make_machine();
	plan.host = machine->host;
	while (size) {
		size_t n = MIN((size_t)data[0], size - 1);
		int fd;

		keeper_answer(&plan, &state, data + 1, n, &reply, &fd);
		fake_must(reply.code <= 0 && (fd < 0 || !reply.code));
		fake_must(memchr(reply.text, 0, sizeof(reply.text)));
		fake_must(!reply.code == !reply.text[0]);
		if (fd >= 0)
			close(fd);
		data += n + 1;
		size -= n + 1;
	}
	fake_must(!keeper_undo(&plan, &state, NULL));
	must_be_as_before();
	return 0;
}

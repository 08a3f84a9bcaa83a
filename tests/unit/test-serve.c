/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What adit adi-serve puts together: ADIs on sockets of their own, without and with a function that
 * does the work of all. What a client sees is in test-vfio-export.c and test-dsa-tenants.c.
 */
#include "tests/unit/test-vfio-dsa.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/un.h>

#include "vmm/serve-config.h"
#include "vmm/serve.h"

#define CLIENTS	   2u
#define RAM	   (1 * MIB)
#define RAM_AT	   0x40000000ULL
#define SOURCE	   (RAM_AT + 0x10000)
#define TARGET	   (RAM_AT + 0x20000)
#define RECORD	   (RAM_AT + 0x30000)
#define ALL_RIGHTS (VFU_DMA_READABLE | VFU_DMA_WRITABLE)

#define ADIS                                                                             \
	"\"adis\": [{ \"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{ \"size\": 16 }] },"  \
	"           { \"id\": \"b\", \"type\": \"dsa\", \"wqs\": [{ \"size\": 16 }] }]," \
	"\"pasids\": [{ \"adi\": \"a\", \"guest\": \"none\" },"                          \
	"             { \"adi\": \"b\", \"guest\": \"none\", \"host\": 1 }]"
#define APART	 "{ " ADIS " }"
#define TOGETHER "{ " ADIS ", \"function\": { \"queues\": 2 } }"

struct client {
	struct peer peer;
	unsigned int asked; /* requests of the server's */
	int interrupt, fd;
	uint8_t *ram;
};

struct scene {
	char dir[32], file[64], path[CLIENTS][64];
	struct serve_config config;
	struct serve *serve;
	pthread_t thread;
	struct client client[CLIENTS];
};

static void *run(void *arg)
{
	const struct scene *s = arg;
	struct err err;

	serve_run(s->serve, &err);
	return NULL;
}

static void note(void *arg)
{
	struct client *c = arg;

	c->asked++;
}

/* Whoever is not answered within a minute never is. */
static void meet(struct client *c, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval minute = { .tv_sec = 60 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute)), 0);
	c->peer = (struct peer){ .socket = fd, .asked = note, .arg = c };
	c->interrupt = eventfd(0, EFD_CLOEXEC);
	c->fd = memfd_create("ram", MFD_CLOEXEC);
	assert_int_equal(ftruncate(c->fd, RAM), 0);
	c->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	assert_ptr_not_equal(c->ram, MAP_FAILED);
	assert_int_equal(peer_version(&c->peer, NULL), 0);
}

static void scene_start(struct scene *s, const char *json)
{
	char *paths[CLIENTS];
	struct err err;
	FILE *file;
	int ret;

	*s = (struct scene){ .dir = "/tmp/adit-serve-XXXXXX" };
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->file, sizeof(s->file), "%s/config", s->dir);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		snprintf(s->path[i], sizeof(s->path[i]), "%s/%u", s->dir, i);
		paths[i] = s->path[i];
	}
	file = fopen(s->file, "w");
	assert_non_null(file);
	fputs(json, file);
	fclose(file);
	ret = serve_config_load(&s->config, s->file, &err);
	unlink(s->file);
	if (ret)
		rmdir(s->dir);
	assert_ok(ret, &err);
	assert_ok(serve_create(&s->serve, paths, &s->config, NULL, NULL, &err), &err);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
	for (unsigned int i = 0; i < CLIENTS; i++)
		meet(&s->client[i], s->path[i]);
}

static void scene_end(struct scene *s)
{
	serve_stop(s->serve);
	pthread_join(s->thread, NULL);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		struct client *c = &s->client[i];

		peer_close(&c->peer);
		munmap(c->ram, RAM);
		close(c->fd);
		close(c->interrupt);
	}
	serve_destroy(s->serve);
	serve_config_free(&s->config);
	assert_int_equal(rmdir(s->dir), 0);
}

static void share(struct client *c)
{
	assert_int_equal(peer_map(&c->peer, RAM_AT, RAM, ALL_RIGHTS, c->fd, 0), 0);
	peer_enable(&c->peer, c->interrupt);
}

static void move_and_check(struct client *c, uint8_t byte)
{
	struct pollfd done = { c->interrupt, POLLIN, 0 };
	uint8_t *from = c->ram + (SOURCE - RAM_AT), *to = c->ram + (TARGET - RAM_AT);
	uint64_t n;

	memset(from, byte, 4096);
	peer_move(&c->peer, SOURCE, TARGET, 4096, RECORD);
	assert_int_equal(poll(&done, 1, 60000), 1);
	assert_int_equal(read(c->interrupt, &n, sizeof(n)), sizeof(n));
	assert_int_equal(c->ram[RECORD - RAM_AT], DSA_STATUS_OK);
	assert_memory_equal(from, to, 4096);
}

/* What the server asks it for, it leaves unanswered. */
static void fall_silent(struct client *c)
{
	assert_int_equal(peer_map(&c->peer, RAM_AT, RAM, ALL_RIGHTS, -1, 0), 0);
	peer_enable(&c->peer, c->interrupt);
	peer_move(&c->peer, SOURCE, TARGET, 4096, RECORD);
	if (!c->asked)
		assert_int_equal(vfu_receive(c->peer.socket, &c->peer.reply), 1);
}

static void each_client_s_own_memory_is_moved(const char *json)
{
	struct scene s;

	scene_start(&s, json);
	for (unsigned int i = 0; i < CLIENTS; i++)
		share(&s.client[i]);
	for (unsigned int i = 0; i < CLIENTS; i++)
		move_and_check(&s.client[i], (uint8_t)(i + 1));
	assert_int_equal(s.client[0].ram[TARGET - RAM_AT], 1);
	scene_end(&s);
}

static void nobody_waits_for_a_silent_client(const char *json)
{
	struct scene s;
	struct client *a = &s.client[0];

	scene_start(&s, json);
	share(a);
	fall_silent(&s.client[1]);
	assert_int_equal(peer_unmap(&a->peer, RAM_AT, RAM), 0);
	assert_int_equal(peer_map(&a->peer, RAM_AT, RAM, ALL_RIGHTS, a->fd, 0), 0);
	move_and_check(a, 7);
	scene_end(&s);
}

/* --- capabilities ---------------------------------------------------------------------------- */

enum choice {
	ATS,
	PRI,
	PASID,
	EXEC,
	PRIV,
	CHOICES
};

/* The register behind the header of an extended capability; UINT32_MAX: there is none. */
static uint32_t extended(const uint8_t *config, uint16_t id)
{
	for (uint32_t at = 0x100; at;) {
		uint32_t head = (uint32_t)load_le(config + at, 4);

		if ((head & 0xffff) == id)
			return (uint32_t)load_le(config + at + 4, 4);
		at = head >> 20;
	}
	return UINT32_MAX;
}

/* End-End TLP prefixes carry PASIDs: Device Capabilities 2 says whether the function knows them. */
static bool takes_prefixes(const uint8_t *config)
{
	uint32_t at = config[PCI_CAPABILITY_LIST];

	while (config[at] != PCI_CAP_ID_EXP)
		at = config[at + 1];
	return load_le(config + at + PCI_EXP_DEVCAP2, 4) & PCI_EXP_DEVCAP2_EE_PREFIX;
}

static void check_capabilities(struct client *c, unsigned int chosen, unsigned int width)
{
	const bool pasid = chosen & 1u << PASID;
	const uint8_t *config;
	uint32_t has;

	assert_int_equal(peer_read(&c->peer, VFU_REGION_CONFIG, 0, 4096), 0);
	config = peer_data(&c->peer);
	assert_int_equal(extended(config, PCI_EXT_CAP_ID_ATS) != UINT32_MAX, chosen >> ATS & 1);
	assert_int_equal(extended(config, PCI_EXT_CAP_ID_PRI) != UINT32_MAX, chosen >> PRI & 1);
	has = extended(config, PCI_EXT_CAP_ID_PASID);
	assert_int_equal(has != UINT32_MAX, pasid);
	assert_int_equal(takes_prefixes(config), pasid);
	if (!pasid)
		return;
	assert_int_equal(has >> 8 & 0x1f, width);
	assert_int_equal(!!(has & PCI_PASID_CAP_EXEC), chosen >> EXEC & 1);
	assert_int_equal(!!(has & PCI_PASID_CAP_PRIV), chosen >> PRIV & 1);
}

static void capabilities_are_those_of_the_configuration(void **state)
{
	static const char *const keys[CHOICES] = { "ats", "pri", "pasid", "pasid_exec",
						   "pasid_priv" };

	for (unsigned int chosen = 0; chosen < 1u << CHOICES; chosen++) {
		char json[1024];
		struct scene s;
		int at = snprintf(json, sizeof(json),
				  "{ \"adis\": [{ \"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{}],"
				  "\"pasid\": { \"allow\": true, \"width\": 9 } },"
				  "{ \"id\": \"b\", \"type\": \"dsa\", \"wqs\": [{}],"
				  "\"pasid\": { \"allow\": true, \"width\": 20 } }],"
				  "\"capabilities\": {");

		for (unsigned int i = 0; i < CHOICES; i++)
			at += snprintf(json + at, sizeof(json) - (size_t)at, "%s\"%s\": %s",
				       i ? ", " : "", keys[i], chosen >> i & 1 ? "true" : "false");
		snprintf(json + at, sizeof(json) - (size_t)at, "} }");
		scene_start(&s, json);
		check_capabilities(&s.client[0], chosen, 9);
		check_capabilities(&s.client[1], chosen, 20);
		scene_end(&s);
	}
}

/* --- tests ----------------------------------------------------------------------------------- */

static void apart_each_client_s_own_memory_is_moved(void **state)
{
	each_client_s_own_memory_is_moved(APART);
}

static void apart_nobody_waits_for_a_silent_client(void **state)
{
	nobody_waits_for_a_silent_client(APART);
}

static void together_each_client_s_own_memory_is_moved(void **state)
{
	each_client_s_own_memory_is_moved(TOGETHER);
}

static void together_nobody_waits_for_a_silent_client(void **state)
{
	nobody_waits_for_a_silent_client(TOGETHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities_are_those_of_the_configuration),
		cmocka_unit_test(apart_each_client_s_own_memory_is_moved),
		cmocka_unit_test(apart_nobody_waits_for_a_silent_client),
		cmocka_unit_test(together_each_client_s_own_memory_is_moved),
		cmocka_unit_test(together_nobody_waits_for_a_silent_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

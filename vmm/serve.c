/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serve.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/sandbox.h"
#include "vmm/serve-config.h"
#include "vmm/serve-function.h"
#include "vmm/serve-seat.h"

struct served {
	struct serve *serve;
	struct serve_seat *seat;
	pthread_t thread;
	int ret;
	struct err err;
};

struct serve {
	struct serve_function *function;
	const struct sandbox *sandbox;
	size_t n;
	struct served served[];
};

/* One that fails ends the others, so that the process ends and is noticed. */
static void *run(void *arg)
{
	struct served *served = arg;

	served->ret = serve_seat_run(served->seat, &served->err);
	if (served->ret)
		serve_stop(served->serve);
	return NULL;
}

int serve_run(struct serve *serve, struct err *err)
{
	size_t started = 0;
	int ret = 0;

	while (started < serve->n && !ret) {
		struct served *served = &serve->served[started];

		ret = pthread_create(&served->thread, NULL, run, served);
		started += !ret;
	}
	if (ret) {
		ret = err_set(err, ret, "no thread for a socket: %s", strerror(ret));
		serve_stop(serve);
	}
	sandbox_enter(serve->sandbox, SANDBOX_SERVER);
	for (size_t i = 0; i < started; i++) {
		struct served *served = &serve->served[i];

		pthread_join(served->thread, NULL);
		if (!ret && served->ret)
			ret = err_set(err, -served->ret, "%s", served->err.text);
	}
	return ret;
}

void serve_stop(struct serve *serve)
{
	for (size_t i = 0; i < serve->n; i++)
		serve_seat_stop(serve->served[i].seat);
}

int serve_create(struct serve **out, char *const *paths, const struct serve_config *config,
		 const struct log *log, const struct sandbox *sandbox, struct err *err)
{
	size_t n = config->config.n_adis;
	struct serve *serve = calloc(1, sizeof(*serve) + n * sizeof(serve->served[0]));
	int ret;

	if (!serve)
		return err_set(err, ENOMEM, "no memory for a server");
	serve->sandbox = sandbox;
	ret = serve_function_create(&serve->function, config, log, sandbox, err);
	while (!ret && serve->n < n) {
		struct served *served = &serve->served[serve->n];

		served->serve = serve;
		ret = serve_seat_create(&served->seat, config, serve->n, paths[serve->n],
					serve->function, log, sandbox, err);
		serve->n += !ret;
	}
	if (ret) {
		serve_destroy(serve);
		return ret;
	}
	*out = serve;
	return 0;
}

void serve_destroy(struct serve *serve)
{
	if (!serve)
		return;
	for (size_t i = 0; i < serve->n; i++)
		serve_seat_destroy(serve->served[i].seat);
	serve_function_destroy(serve->function);
	free(serve);
}

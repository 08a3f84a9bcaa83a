/* SPDX-License-Identifier: Apache-2.0 */
/* adit adi-serve: composed ADIs for other VMMs, in the foreground until a signal. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"
#include "util/sandbox.h"
#include "vmm/command.h"
#include "vmm/serve-config.h"
#include "vmm/serve.h"

struct job {
	struct serve *serve;
	const struct log *log;
	int status;
};

/* Signals are the other thread's; a server that ends by itself ends that one too. */
static void *run(void *arg)
{
	struct job *job = arg;
	struct err err = { 0 };

	if (serve_run(job->serve, &err)) {
		log_line(job->log, LOG_ERROR, "adi-serve", "%s", err.text);
		job->status = EXIT_FAILED;
		kill(getpid(), SIGTERM);
	}
	return NULL;
}

static int serve_until_signal(struct serve *serve, const struct serve_config *config,
			      const struct log *log, const struct sandbox *sandbox)
{
	struct job job = { .serve = serve, .log = log };
	pthread_t thread;
	sigset_t set;
	int signal_number, ret;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = pthread_create(&thread, NULL, run, &job);
	if (ret) {
		log_line(log, LOG_ERROR, "adi-serve", "no thread: %s", strerror(ret));
		return EXIT_FAILED;
	}
	puts("ready");
	fflush(stdout);
	sandbox_enter(sandbox, config->function.present ? SANDBOX_OWNER : SANDBOX_SERVER);
	sigwait(&set, &signal_number);
	serve_stop(serve);
	pthread_join(thread, NULL);
	return job.status;
}

/* paths: n sockets. */
static int serve(char *const *paths, size_t n, const char *config_path, const struct log *log,
		 const struct sandbox *sandbox)
{
	struct serve_config config;
	struct serve *server;
	struct err err;
	int status;

	if (serve_config_load(&config, config_path, &err)) {
		log_line(log, LOG_ERROR, "config", "%s", err.text);
		return EXIT_CONFIG;
	}
	if (config.config.n_adis != n) {
		log_line(log, LOG_ERROR, "config",
			 "%s: /adis: has %zu entries, and there are %zu sockets: name one for each",
			 config_path, config.config.n_adis, n);
		serve_config_free(&config);
		return EXIT_CONFIG;
	}
	if (!sandbox)
		log_line(log, LOG_WARN, "sandbox", "off, as --sandbox=off says");
	if (sandbox_start(sandbox, &err) ||
	    serve_create(&server, paths, &config, log, sandbox, &err)) {
		log_line(log, LOG_ERROR, "adi-serve", "%s", err.text);
		serve_config_free(&config);
		return EXIT_FAILED;
	}
	status = serve_until_signal(server, &config, log, sandbox);
	serve_destroy(server);
	serve_config_free(&config);
	return status;
}

static int usage(FILE *to)
{
	fprintf(to,
		"usage: adit adi-serve SOCKET... CONFIG [--log-json] [--log-level "
		"error|warn|info|debug] [--sandbox=on|off]\n\n"
		"Offers each ADI of CONFIG as a PCI function over vfio-user on a SOCKET of its own, to "
		"one client\nafter another, until SIGTERM or SIGINT. It says \"ready\" on standard "
		"output when it listens.\nmanual: man adit-adi-serve\n");
	return to == stdout ? EXIT_OK : EXIT_CONFIG;
}

int cmd_adi_serve(int argc, char **argv)
{
	static const struct option options[] = {
		{ "log-json", no_argument, NULL, 'j' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "sandbox", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct log log = { .fd = log_descriptor(STDERR_FILENO), .level = LOG_INFO };
	const struct sandbox sandbox = { .log = &log };
	bool unconfined = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			log.json = true;
			break;
		case 'l':
			if (!log_level_parse(optarg, &log.level))
				break;
			fprintf(stderr,
				"adit adi-serve: --log-level %s: error, warn, info or debug\n",
				optarg);
			return EXIT_CONFIG;
		case 's':
			unconfined = !strcmp(optarg, "off");
			if (unconfined || !strcmp(optarg, "on"))
				break;
			fprintf(stderr, "adit adi-serve: --sandbox=%s: on or off\n", optarg);
			return EXIT_CONFIG;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind > argc - 2)
		return usage(stderr);
	return serve(argv + optind, (size_t)(argc - 1 - optind), argv[argc - 1], &log,
		     unconfined ? NULL : &sandbox);
}

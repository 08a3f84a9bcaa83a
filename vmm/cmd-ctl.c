/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit ctl: a client of the API and nothing more. The verbs are the API's table, so that none can
 * be missing here.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/api/http.h"
#include "vmm/api/verbs.h"
#include "vmm/command.h"
#include "vmm/config-draft.h"
#include "vmm/config.h"
#include "vmm/ctl-request.h"
#include "vmm/ctl-top.h"

struct ctl {
	struct verb_info verb;
	struct ctl_request request;
	char *body; /* of it; NULL: none */
	int fd;
	struct http *http;
};

/* "vm.pasid-bind adi guest [space] [host]" */
static void describe(const struct verb_info *verb, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "%s", verb->name);

	for (unsigned int i = 0; i < VERB_KEYS && verb->keys[i] && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, i < verb->required ? " %s" : " [%s]",
				      verb->keys[i]);
}

static int usage(FILE *to)
{
	struct verb_info verb;

	fprintf(to, "usage: adit ctl SOCKET VERB [VALUE...]\n\n");
	for (size_t i = 0; verbs_info(i, &verb); i++) {
		char left[64];

		describe(&verb, left, sizeof(left));
		fprintf(to, "  %-38s %s\n", left, verb.summary);
	}
	fprintf(to,
		"\n\"vm.\" may be left out; a VALUE may be named (resize desired_ram=2G), and one "
		"that begins with { is the whole body.\n"
		"fd:N is sent as descriptor N of the caller.\n"
		"\"top [-n COUNT]\" shows once a second what the VM does.\n");
	return to == stdout ? EXIT_OK : EXIT_CONFIG;
}

static bool find_verb(struct verb_info *verb, const char *word)
{
	for (size_t i = 0; verbs_info(i, verb); i++) {
		if (!strcmp(verb->name, word) ||
		    (!strncmp(verb->name, "vm.", 3) && !strcmp(verb->name + 3, word)))
			return true;
	}
	return false;
}

/* --- the request ----------------------------------------------------------------------------- */

static int keep_text(void *out, const char *text, size_t len, struct err *err)
{
	struct ctl *ctl = out;

	ctl->body = strndup(text, len);
	ctl->request.len = len;
	return ctl->body ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* What looks like a number or a truth is one. */
static struct json_object *value_of(const char *text)
{
	bool digit = *text >= '0' && *text <= '9';
	long long number;
	double real;
	char *end;

	if (!strcmp(text, "true") || !strcmp(text, "false"))
		return json_object_new_boolean(*text == 't');
	errno = 0;
	number = strtoll(text, &end, 10);
	if (*text && !*end && !errno)
		return json_object_new_int64(number);
	real = strtod(text, &end);
	return digit && !*end ? json_object_new_double(real) : json_object_new_string(text);
}

/* "KEY=VALUE" with one of the verb's keys names its place; *value is what is behind it. */
static const char *key_of(const struct ctl *ctl, unsigned int place, const char **value)
{
	for (unsigned int i = 0; i < VERB_KEYS && ctl->verb.keys[i]; i++) {
		size_t n = strlen(ctl->verb.keys[i]);

		if (!strncmp(*value, ctl->verb.keys[i], n) && (*value)[n] == '=') {
			*value += n + 1;
			return ctl->verb.keys[i];
		}
	}
	return ctl->verb.keys[place];
}

/* "fd:3": the descriptor itself is sent, instead of the value. */
static bool take_fd(struct ctl *ctl, const char *text)
{
	char *end;
	long fd;

	if (strncmp(text, "fd:", 3) != 0)
		return false;
	fd = strtol(text + 3, &end, 10);
	if (!text[3] || *end || fd < 0 || fd > INT_MAX)
		return false;
	ctl->request.fds[ctl->request.n_fds++] = (int)fd;
	return true;
}

/* {"KEY": VALUE, ...} in the order of the verb's keys; an empty value is left out. */
static int make_body(struct ctl *ctl, char **values, unsigned int n)
{
	struct json_object *object = json_object_new_object();
	const char *text;

	for (unsigned int i = 0; i < n; i++) {
		const char *value = values[i], *key = key_of(ctl, i, &value);

		if (*value && !take_fd(ctl, value))
			json_object_object_add(object, key, value_of(value));
	}
	text = json_object_to_json_string(object);
	ctl->body = text ? strdup(text) : NULL;
	ctl->request.len = ctl->body ? strlen(ctl->body) : 0;
	json_object_put(object);
	return ctl->body ? 0 : -ENOMEM;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void print_error(const struct ctl *ctl, const char *body)
{
	struct json_object *object = json_tokener_parse(body), *error;
	const char *text = NULL;

	if (json_object_object_get_ex(object, "error", &error))
		text = json_object_get_string(error);
	fprintf(stderr, "adit ctl: %s: %s\n", ctl->verb.name, text ? text : body);
	json_object_put(object);
}

static int print_answer(const struct ctl *ctl)
{
	unsigned int status = http_status(ctl->http);
	size_t len;
	const char *body = http_body(ctl->http, &len);

	if (status >= 200 && status < 300) {
		fwrite(body, 1, len, stdout);
		return EXIT_OK;
	}
	print_error(ctl, len ? body : http_reason(status));
	return EXIT_FAILED;
}

static int receive(struct ctl *ctl, const char *begun, size_t len)
{
	if (!ctl_receive(ctl->fd, ctl->http, begun, len))
		return print_answer(ctl);
	fprintf(stderr, "adit ctl: %s: no whole answer came\n", ctl->verb.name);
	return EXIT_FAILED;
}

/* Events have no end: behind the head of a 200 they are passed on as they come. */
static int pass_on(struct ctl *ctl)
{
	char bytes[HTTP_MAX_HEAD + 1], *end = NULL;
	size_t have = 0, head;
	ssize_t n = 0;

	while (!end && have < HTTP_MAX_HEAD &&
	       (n = recv(ctl->fd, bytes + have, HTTP_MAX_HEAD - have, 0)) > 0) {
		have += (size_t)n;
		bytes[have] = '\0';
		end = strstr(bytes, "\r\n\r\n");
	}
	if (!end || strncmp(bytes, "HTTP/1.1 200 ", 13) != 0)
		return receive(ctl, bytes, have);
	head = (size_t)(end + 4 - bytes);
	fwrite(bytes + head, 1, have - head, stdout);
	while (!fflush(stdout) && (n = recv(ctl->fd, bytes, HTTP_MAX_HEAD, 0)) > 0)
		fwrite(bytes, 1, (size_t)n, stdout);
	return n < 0 ? EXIT_FAILED : EXIT_OK;
}

static int prepare(struct ctl *ctl, int argc, char **argv)
{
	unsigned int n, may = 0;
	struct err err;
	int ret;

	if (argc < 3 || argv[1][0] == '-')
		return -EINVAL;
	ctl->request.socket = argv[1];
	if (!find_verb(&ctl->verb, argv[2])) {
		fprintf(stderr, "adit ctl: there is no verb '%s'\n", argv[2]);
		return -EINVAL;
	}
	n = (unsigned int)argc - 3;
	while (may < VERB_KEYS && ctl->verb.keys[may])
		may++;
	if (n < ctl->verb.required || n > may)
		return -EINVAL;
	if (!n)
		return 0;
	if (n == 1 && *argv[3] == '{')
		return keep_text(ctl, argv[3], strlen(argv[3]), &err);
	if (!ctl->verb.whole)
		return make_body(ctl, argv + 3, n);
	ret = config_load_with(argv[3], keep_text, ctl, &err);
	if (ret)
		fprintf(stderr, "adit ctl: %s\n", err.text);
	return ret;
}

static int ask(struct ctl *ctl)
{
	ctl->request.method = ctl->verb.method;
	ctl->request.verb = ctl->verb.name;
	ctl->request.body = ctl->body;
	ctl->fd = ctl_send(&ctl->request);
	return MIN(ctl->fd, 0);
}

int cmd_ctl(int argc, char **argv)
{
	struct ctl ctl = { .fd = -1 };
	int status = EXIT_FAILED, ret;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (argc > 2 && argv[1][0] != '-' && !strcmp(argv[2], "top"))
		return ctl_top(argv[1], argc - 2, argv + 2);
	ret = prepare(&ctl, argc, argv);
	if (ret) {
		status = ret == -EINVAL ? usage(stderr) : EXIT_CONFIG;
	} else if (!(ret = http_create(&ctl.http, HTTP_RESPONSES, CTL_ANSWER_MAX)) &&
		   !(ret = ask(&ctl))) {
		status = strcmp(ctl.verb.name, "events") != 0 ? receive(&ctl, NULL, 0)
							      : pass_on(&ctl);
	} else {
		fprintf(stderr, "adit ctl: %s: %s\n", ctl.request.socket, strerror(-ret));
	}
	http_destroy(ctl.http);
	free(ctl.body);
	if (ctl.fd >= 0)
		close(ctl.fd);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For L1, whose busybox connects to no UNIX socket: a client of a guest's port, in the convention
 * of Firecracker and Cloud Hypervisor. It says a line to who listens there, and prints the answer.
 *
 *   vsock-connect SOCKET PORT LINE
 *
 * Status 1: nobody listens there, or nobody answers.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int main(int argc, char **argv)
{
	char line[512];
	FILE *stream;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: vsock-connect SOCKET PORT LINE\n");
		return 2;
	}
	fd = dial(argv[1]);
	stream = fd < 0 ? NULL : fdopen(fd, "r");
	if (!stream) {
		perror(argv[1]);
		return 1;
	}
	/* What is read takes no more than its line. */
	setvbuf(stream, NULL, _IONBF, 0);
	dprintf(fd, "CONNECT %s\n", argv[2]);
	if (!fgets(line, sizeof(line), stream) || strncmp(line, "OK ", 3) != 0) {
		fprintf(stderr, "%s: nobody listens on port %s\n", argv[1], argv[2]);
		return 1;
	}
	dprintf(fd, "%s\n", argv[3]);
	if (!fgets(line, sizeof(line), stream)) {
		fprintf(stderr, "%s: nobody answers on port %s\n", argv[1], argv[2]);
		return 1;
	}
	fputs(line, stdout);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/microvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

#define BIOS_BYTES (64 * KIB)

/*
 * A real-mode BIOS: '!' to the serial port, then out of QEMU by isa-debug-exit, or a stay. The
 * reset vector is 16 bytes before the end of the image, which is mapped to end at 4 GiB.
 */
int microvm_bios(const char *path, enum microvm_then then)
{
	static const uint8_t hello[] = {
		0xba, 0xf8, 0x03, /* mov $0x3f8, %dx */
		0xb0, '!',	  /* mov $'!', %al */
		0xee,		  /* out %al, %dx */
		0xba, 0xf4, 0x00, /* mov $0xf4, %dx */
	};
	static const uint8_t ends[][3] = {
		[MICROVM_LEAVE] = { 0xee, 0xeb, 0xfe }, /* out %al, %dx; jmp . */
		[MICROVM_SPIN] = { 0xeb, 0xfe },	/* jmp . */
		[MICROVM_HALT] = { 0xfa, 0xf4 },	/* cli; hlt */
	};
	static const uint8_t reset[] = { 0xe9, 0x0d,
					 0x00 }; /* jmp 0x10000 - BIOS start, wraps to 0 */
	uint8_t *image = calloc(1, BIOS_BYTES);
	int fd, ret = 0;

	if (!image)
		return -ENOMEM;
	memcpy(image, hello, sizeof(hello));
	memcpy(image + sizeof(hello), ends[then], sizeof(ends[then]));
	memcpy(image + BIOS_BYTES - 16, reset, sizeof(reset));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		ret = -errno;
	else if (write(fd, image, BIOS_BYTES) != (ssize_t)BIOS_BYTES)
		ret = -EIO;
	if (fd >= 0)
		close(fd);
	free(image);
	return ret;
}

void microvm_line(char **argv, const char *bios, const char *memory)
{
	const char *const words[] = {
		MICROVM_PROGRAM,
		"-M",
		"microvm,accel=kvm,rtc=off,pit=off,pic=off",
		"-m",
		memory,
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-serial",
		"stdio",
		"-device",
		"isa-debug-exit,iobase=0xf4,iosize=0x4",
		"-bios",
		bios,
		NULL,
	};
	_Static_assert(ARRAY_SIZE(words) <= MICROVM_WORDS, "room for the line");

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		argv[i] = (char *)words[i];
}

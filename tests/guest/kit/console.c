/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a payload says to the outside: text on the serial port, the lines that host drivers
 * count, and how the machine ends. A line is formatted first and sent by one rep outsb. The
 * transmitter is not polled: every UART this meets is emulated and takes a byte at once.
 */
#include <stdarg.h>

#include "kit.h"

#define LINE_MAX 512

static struct {
	struct spinlock lock;
	unsigned int failures;
} console;

static void send(const char *text, size_t n)
{
	/* An exception may report while this CPU holds the lock: CPL0 does not wait for it. */
	uint16_t cs;
	bool locked;

	__asm__("mov %%cs, %0" : "=r"(cs));
	locked = cs & 3;
	if (locked)
		spin_lock(&console.lock);
	__asm__ volatile("rep outsb" : "+S"(text), "+c"(n) : "d"(PORT_SERIAL) : "memory");
	if (locked)
		spin_unlock(&console.lock);
}

struct line {
	char text[LINE_MAX];
	size_t len;
};

static void put(struct line *line, char c)
{
	if (line->len < sizeof(line->text))
		line->text[line->len++] = c;
}

static void put_number(struct line *line, uint64_t value, unsigned int base, unsigned int width,
		       char fill)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > n; width--)
		put(line, fill);
	while (n)
		put(line, digits[--n]);
}

static void put_string(struct line *line, const char *s, unsigned int width)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		put(line, s[i]);
	for (; width > n; width--)
		put(line, ' ');
}

static uint64_t take_unsigned(va_list *ap, bool is_long)
{
	return is_long ? va_arg(*ap, uint64_t) : va_arg(*ap, uint32_t);
}

static void put_signed(struct line *line, int64_t value, unsigned int width, char fill)
{
	if (value < 0) {
		put(line, '-');
		put_number(line, -(uint64_t)value, 10, width ? width - 1 : 0, fill);
	} else {
		put_number(line, (uint64_t)value, 10, width, fill);
	}
}

/* Formats one conversion; returns what follows it. */
static const char *convert(struct line *line, const char *fmt, va_list *ap)
{
	unsigned int width = 0;
	bool is_long = false;
	char fill = ' ';

	if (*fmt == '-')
		fmt++; /* strings are always left-justified */
	if (*fmt == '0')
		fill = *fmt++;
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		width = width * 10 + (unsigned int)(*fmt - '0');
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		is_long = true;
	switch (*fmt) {
	case 's':
		put_string(line, va_arg(*ap, const char *), width);
		break;
	case 'c':
		put(line, (char)va_arg(*ap, int));
		break;
	case 'd':
		put_signed(line, is_long ? va_arg(*ap, int64_t) : va_arg(*ap, int32_t), width,
			   fill);
		break;
	case 'u':
		put_number(line, take_unsigned(ap, is_long), 10, width, fill);
		break;
	case 'p':
		put_string(line, "0x", 0);
		put_number(line, (uintptr_t)va_arg(*ap, void *), 16, width, fill);
		break;
	case 'x':
		put_number(line, take_unsigned(ap, is_long), 16, width, fill);
		break;
	case 0:
		return fmt;
	default:
		put(line, *fmt);
		break;
	}
	return fmt + 1;
}

static void format(struct line *line, const char *fmt, va_list *ap)
{
	while (*fmt) {
		if (*fmt == '%')
			fmt = convert(line, fmt + 1, ap);
		else
			put(line, *fmt++);
	}
}

void kprintf(const char *fmt, ...)
{
	struct line line;
	va_list ap;

	line.len = 0;
	va_start(ap, fmt);
	format(&line, fmt, &ap);
	va_end(ap);
	send(line.text, line.len);
}

void test_ok(const char *name)
{
	kprintf("ok %s\n", name);
}

static void report(const char *verdict, const char *name, const char *fmt, va_list *ap)
{
	struct line line;

	line.len = 0;
	put_string(&line, verdict, 0);
	put_string(&line, name, 0);
	put_string(&line, ": ", 0);
	format(&line, fmt, ap);
	put(&line, '\n');
	send(line.text, line.len);
}

void test_fail(const char *name, const char *fmt, ...)
{
	va_list ap;

	__atomic_add_fetch(&console.failures, 1, __ATOMIC_RELAXED);
	va_start(ap, fmt);
	report("not ok ", name, fmt, &ap);
	va_end(ap);
}

void test_skip(const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report("skip ", name, fmt, &ap);
	va_end(ap);
}

unsigned int test_failures(void)
{
	return __atomic_load_n(&console.failures, __ATOMIC_RELAXED);
}

static uint64_t halt_forever(uint64_t a, uint64_t b, uint64_t c)
{
	for (;;)
		__asm__ volatile("cli; hlt");
	return 0;
}

static _Noreturn void rest(void)
{
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	if (cs & 3)
		cpl0(halt_forever, 0, 0, 0);
	halt_forever(0, 0, 0);
	__builtin_unreachable();
}

_Noreturn void exit_machine(uint32_t value)
{
	outl(PORT_DEBUG_EXIT, value);
	poweroff_machine();
}

_Noreturn void poweroff_machine(void)
{
	/* ACPI 6.4 section 4.8.3.7: SLP_TYP in bits 4:2, SLP_EN bit 5 */
	outb(PORT_SLEEP_CONTROL, SLEEP_TYPE_S5 << 2 | 1 << 5);
	rest();
}

_Noreturn void reset_machine(void)
{
	outb(PORT_RESET, RESET_VALUE);
	rest();
}

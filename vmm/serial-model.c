/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A registers. Apart from the device that owns it so that tests and the fuzzer reach every
 * state without a VM.
 */
#include "vmm/serial-model.h"

#include <stddef.h>

#include "util/bits.h"

enum {
	REG_DATA = 0, /* RBR, THR, DLL */
	REG_IER = 1,  /* or DLM */
	REG_IIR = 2,  /* read; FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7
};

#define IER_RX	  0x01
#define IER_THRE  0x02
#define IER_LINE  0x04
#define IER_MODEM 0x08
#define IER_BITS  0x0f

#define IIR_NONE    0x01
#define IIR_MODEM   0x00
#define IIR_THRE    0x02
#define IIR_RX	    0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_LOOP 0x10
#define MCR_BITS 0x1f

#define LSR_READY   0x01
#define LSR_OVERRUN 0x02
#define LSR_THRE    0x20
#define LSR_TEMT    0x40

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI	0x40
#define MSR_DCD 0x80

/* Power-on values; 8N1 and 9600 baud, though no clock divides anything here. */
void serial_model_init(struct serial_model *model, const struct serial_model_ops *ops, void *opaque)
{
	*model = (struct serial_model){
		.ops = ops,
		.opaque = opaque,
		.lcr = 0x03,
		.dll = 12,
		.rx_trigger = 1,
	};
}

/* Data sheet table IV: the highest priority that is enabled and pending. */
static HOT uint8_t identify(const struct serial_model *m)
{
	if ((m->ier & IER_LINE) && m->overrun)
		return IIR_LINE;
	if ((m->ier & IER_RX) && m->rx_count)
		return !m->fifo || m->rx_count >= m->rx_trigger ? IIR_RX : IIR_TIMEOUT;
	if ((m->ier & IER_THRE) && m->thre_pending)
		return IIR_THRE;
	if ((m->ier & IER_MODEM) && m->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC OUT2 gates this output; small guests forget it, so it does not here. */
static HOT void update_irq(struct serial_model *m)
{
	bool asserted = identify(m) != IIR_NONE;

	if (asserted == m->asserted)
		return;
	m->asserted = asserted;
	m->ops->irq(m->opaque, asserted);
}

static unsigned int capacity(const struct serial_model *m)
{
	return m->fifo ? SERIAL_FIFO : 1;
}

static void rx_clear(struct serial_model *m)
{
	m->rx_head = 0;
	m->rx_count = 0;
}

static void rx_push(struct serial_model *m, uint8_t byte)
{
	if (m->rx_count >= capacity(m)) {
		m->overrun = true;
		/* Without the FIFO the new byte replaces the old, with it the new one is lost. */
		if (!m->fifo)
			m->rx[m->rx_head] = byte;
		return;
	}
	m->rx[(m->rx_head + m->rx_count) % SERIAL_FIFO] = byte;
	m->rx_count++;
}

static uint8_t rx_pop(struct serial_model *m)
{
	uint8_t byte;

	if (!m->rx_count)
		return 0;
	byte = m->rx[m->rx_head];
	m->rx_head = (m->rx_head + 1) % SERIAL_FIFO;
	m->rx_count--;
	return byte;
}

/* MSR bits 4 to 7: a peer that is always there, or MCR's own outputs in loopback mode. */
static uint8_t modem_lines(const struct serial_model *m)
{
	if (!(m->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (m->mcr & 0x02 ? MSR_CTS : 0) | (m->mcr & 0x01 ? MSR_DSR : 0) |
	       (m->mcr & 0x04 ? MSR_RI : 0) | (m->mcr & 0x08 ? MSR_DCD : 0);
}

/* The interrupt falls and rises again: an edge-triggered pin has to see each byte. */
static HOT void write_thr(struct serial_model *m, uint8_t byte)
{
	m->thre_pending = false;
	update_irq(m);
	if (m->mcr & MCR_LOOP)
		rx_push(m, byte);
	else if (!m->ops->send(m->opaque, byte))
		m->tx_full = true;
	m->thre_pending = !m->tx_full;
}

static void write_ier(struct serial_model *m, uint8_t value)
{
	/* Enabling it while THR is empty raises it: drivers probe for that. */
	if (!(m->ier & IER_THRE) && (value & IER_THRE) && !m->tx_full)
		m->thre_pending = true;
	m->ier = value & IER_BITS;
}

static void write_fcr(struct serial_model *m, uint8_t value)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };
	bool enable = value & FCR_ENABLE;

	if (enable != m->fifo || (enable && (value & FCR_CLEAR_RX)))
		rx_clear(m);
	m->fifo = enable;
	/* The other bits are not programmed without bit 0. */
	if (enable)
		m->rx_trigger = trigger[value >> 6];
}

static void write_mcr(struct serial_model *m, uint8_t value)
{
	uint8_t before = modem_lines(m), changed;

	m->mcr = value & MCR_BITS;
	changed = before ^ modem_lines(m);
	/* RI counts at its trailing edge only. */
	if (!(before & MSR_RI))
		changed &= (uint8_t)~MSR_RI;
	m->msr_delta |= (changed & MSR_CTS ? 0x01 : 0) | (changed & MSR_DSR ? 0x02 : 0) |
			(changed & MSR_RI ? 0x04 : 0) | (changed & MSR_DCD ? 0x08 : 0);
}

HOT void serial_model_write(struct serial_model *m, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case REG_DATA:
		if (m->lcr & LCR_DLAB)
			m->dll = value;
		else
			write_thr(m, value);
		break;
	case REG_IER:
		if (m->lcr & LCR_DLAB)
			m->dlm = value;
		else
			write_ier(m, value);
		break;
	case REG_IIR:
		write_fcr(m, value);
		break;
	case REG_LCR:
		m->lcr = value;
		break;
	case REG_MCR:
		write_mcr(m, value);
		break;
	case REG_SCR:
		m->scr = value;
		break;
	default: /* LSR and MSR: writing them is for the factory only */
		break;
	}
	update_irq(m);
}

static uint8_t read_iir(struct serial_model *m)
{
	uint8_t id = identify(m);

	if (id == IIR_THRE)
		m->thre_pending = false;
	return id | (m->fifo ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial_model *m)
{
	uint8_t value = (m->rx_count ? LSR_READY : 0) | (m->overrun ? LSR_OVERRUN : 0) |
			(m->tx_full ? 0 : LSR_THRE | LSR_TEMT);

	m->overrun = false;
	return value;
}

static uint8_t read_msr(struct serial_model *m)
{
	uint8_t value = modem_lines(m) | m->msr_delta;

	m->msr_delta = 0;
	return value;
}

static HOT uint8_t read_register(struct serial_model *m, unsigned int reg)
{
	bool dlab = m->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? m->dll : rx_pop(m);
	case REG_IER:
		return dlab ? m->dlm : m->ier;
	case REG_IIR:
		return read_iir(m);
	case REG_LCR:
		return m->lcr;
	case REG_MCR:
		return m->mcr;
	case REG_LSR:
		return read_lsr(m);
	case REG_MSR:
		return read_msr(m);
	default:
		return m->scr;
	}
}

HOT uint8_t serial_model_read(struct serial_model *m, unsigned int reg)
{
	uint8_t value = read_register(m, reg);

	update_irq(m);
	return value;
}

unsigned int serial_model_room(const struct serial_model *m)
{
	return m->mcr & MCR_LOOP ? 0 : capacity(m) - MIN(m->rx_count, capacity(m));
}

void serial_model_receive(struct serial_model *m, const uint8_t *data, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		rx_push(m, data[i]);
	update_irq(m);
}

void serial_model_sent(struct serial_model *m)
{
	if (!m->tx_full)
		return;
	m->tx_full = false;
	m->thre_pending = true;
	update_irq(m);
}

void serial_model_save(const struct serial_model *m, struct state_out *out)
{
	const uint8_t registers[] = { m->ier, m->lcr, m->mcr, m->scr, m->dll, m->dlm };

	state_put_bytes(out, registers, sizeof(registers));
	state_put_bytes(out, m->rx, sizeof(m->rx));
	state_put(out, m->rx_head);
	state_put(out, m->rx_count);
	state_put(out, m->rx_trigger);
	state_put(out, m->fifo);
	state_put(out, m->overrun);
	state_put(out, m->tx_full);
	state_put(out, m->thre_pending);
	state_put(out, m->msr_delta);
	state_put(out, m->asserted);
}

int serial_model_load(struct serial_model *m, struct state_in *in)
{
	struct serial_model then = { .ops = m->ops, .opaque = m->opaque };
	uint8_t registers[6];
	int ret;

	state_take_bytes(in, registers, sizeof(registers));
	state_take_bytes(in, then.rx, sizeof(then.rx));
	then.rx_head = (uint8_t)state_take(in, SERIAL_FIFO - 1);
	then.rx_count = (uint8_t)state_take(in, SERIAL_FIFO);
	then.rx_trigger = (uint8_t)state_take(in, SERIAL_FIFO);
	then.fifo = state_take_bool(in);
	then.overrun = state_take_bool(in);
	then.tx_full = state_take_bool(in);
	then.thre_pending = state_take_bool(in);
	then.msr_delta = (uint8_t)state_take(in, 0x0f);
	then.asserted = state_take_bool(in);
	ret = state_leave(in);
	if (ret)
		return ret;
	then.ier = registers[0] & IER_BITS;
	then.lcr = registers[1];
	then.mcr = registers[2] & MCR_BITS;
	then.scr = registers[3];
	then.dll = registers[4];
	then.dlm = registers[5];
	*m = then;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X: the capability, the table and the pending bits inside BARs, and the rule that turns a
 * device's event into exactly one message.
 *
 * An event is sent at once, or pends, or is lost: lost while messages are off (MSI-X disabled, or
 * no bus master: PCI Express Base 6.0 section 7.5.1.1.3 disables messages with it), pending while
 * the vector or the function is masked. Pending events of one vector are one message, sent at the
 * moment when the last thing that held it goes. Everything happens under one mutex, the sending
 * too, so that a mask that was written holds from then on.
 *
 * Source: PCI Local Bus 3.0 section 6.8.2; PCI Express Base 6.0 sections 6.1.4, 7.7.2.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define MSIX_CAP_SIZE 12u
#define PENDING_BITS  64u
#define STORE64_BYTES 64u
#define PBA_WORD      8u /* table and pending bits begin and end on such a border */

/* --- delivery: all with the lock held -------------------------------------------------------- */

static void deliver_to_kvm(void *arg, const struct msi_message *message)
{
	/* Nothing to do where KVM refuses: an address that is no APIC's is the guest's business. */
	(void)msi_send(arg, message);
}

static uint8_t *entry_of(const struct pci_msix *msix, unsigned int vector)
{
	return msix->table + (size_t)vector * PCI_MSIX_ENTRY_SIZE;
}

static bool held_back(const struct pci_msix *msix, unsigned int vector)
{
	return msix->masked ||
	       (entry_of(msix, vector)[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static struct msi_message message_of(const struct pci_msix *msix, unsigned int vector)
{
	const uint8_t *entry = entry_of(msix, vector);

	return (struct msi_message){
		.address = load_le(entry + PCI_MSIX_ENTRY_LOWER_ADDR, 8),
		.data = (uint32_t)load_le(entry + PCI_MSIX_ENTRY_DATA, 4),
	};
}

/* --- a source behind the vectors: all with the lock held ------------------------------------- */

static bool is_open(const struct pci_msix *msix, unsigned int vector)
{
	return msix->open[vector / PENDING_BITS] >> vector % PENDING_BITS & 1;
}

static void close_vector(struct pci_msix *msix, unsigned int vector)
{
	msix->source->close(msix->source_opaque, vector);
	msix->open[vector / PENDING_BITS] &= ~BIT_U64(vector % PENDING_BITS);
}

/* `changed`: the entry holds another message than before. */
static void follow_vector(struct pci_msix *msix, unsigned int vector, bool changed)
{
	bool wanted = msix->on && !held_back(msix, vector), open = is_open(msix, vector);
	struct msi_message message;

	if (open && !wanted)
		close_vector(msix, vector);
	if (!wanted || (open && !changed))
		return;
	message = message_of(msix, vector);
	msix->open[vector / PENDING_BITS] |= BIT_U64(vector % PENDING_BITS);
	msix->source->open(msix->source_opaque, vector, &message);
}

static void close_all(struct pci_msix *msix)
{
	for (unsigned int first = 0; first < msix->vectors; first += PENDING_BITS) {
		uint64_t left = msix->open[first / PENDING_BITS];

		for (; left; left &= left - 1)
			close_vector(msix, first + (unsigned int)__builtin_ctzll(left));
	}
}

/* Messages as a whole: `enabled` is the capability's bit; without bus master all are closed. */
static void follow_source(struct pci_msix *msix, bool enabled)
{
	if (!msix->source)
		return;
	if (!msix->on || msix->masked)
		close_all(msix);
	if (enabled != msix->announced && enabled)
		msix->source->enable(msix->source_opaque, msix->vectors);
	else if (enabled != msix->announced)
		msix->source->disable(msix->source_opaque);
	msix->announced = enabled;
	if (!msix->on || msix->masked)
		return;
	for (unsigned int v = 0; v < msix->vectors; v++)
		follow_vector(msix, v, false);
}

/* Pending bits of the 64 vectors from `first`, as the source knows them. */
static void ask_source(struct pci_msix *msix, unsigned int first)
{
	unsigned int end = MIN(first + PENDING_BITS, msix->vectors);
	uint64_t bits = 0;

	for (unsigned int v = first; v < end; v++) {
		if (!is_open(msix, v) && msix->source->pending(msix->source_opaque, v))
			bits |= BIT_U64(v - first);
	}
	msix->pending[first / PENDING_BITS] = bits;
}

/* Closing a vector waits for what is on its way to KVM. */
void pci_msix_settle(struct pci_msix *msix)
{
	for (unsigned int first = 0; msix->source && first < msix->vectors; first += PENDING_BITS) {
		uint64_t open = msix->open[first / PENDING_BITS];

		for (uint64_t left = open; left; left &= left - 1)
			close_vector(msix, first + (unsigned int)__builtin_ctzll(left));
		ask_source(msix, first);
		for (uint64_t left = open; left; left &= left - 1)
			follow_vector(msix, first + (unsigned int)__builtin_ctzll(left), true);
	}
}

void pci_msix_post(struct pci_msix *msix)
{
	for (unsigned int first = 0; msix->source && first < msix->vectors; first += PENDING_BITS) {
		uint64_t left = msix->announced ? msix->pending[first / PENDING_BITS] : 0;

		for (; left; left &= left - 1)
			msix->source->post(msix->source_opaque,
					   first + (unsigned int)__builtin_ctzll(left));
	}
}

/* --- vectors that are fired here: all with the lock held ------------------------------------- */

static void send(struct pci_msix *msix, unsigned int vector)
{
	const struct msi_message message = message_of(msix, vector);

	__atomic_fetch_add(&msix->sent, 1, __ATOMIC_RELAXED);
	msix->deliver(msix->deliver_arg, &message);
}

static void send_pending(struct pci_msix *msix, unsigned int vector)
{
	uint64_t *word = &msix->pending[vector / PENDING_BITS];
	uint64_t bit = BIT_U64(vector % PENDING_BITS);

	if (!(*word & bit) || !msix->on || held_back(msix, vector))
		return;
	*word &= ~bit;
	send(msix, vector);
}

static void send_all_pending(struct pci_msix *msix)
{
	for (unsigned int first = 0; first < msix->vectors; first += PENDING_BITS) {
		uint64_t left = msix->pending[first / PENDING_BITS];

		for (; left; left &= left - 1)
			send_pending(msix, first + (unsigned int)__builtin_ctzll(left));
	}
}

void pci_function_msix_fire(struct pci_function *function, unsigned int vector)
{
	struct pci_msix *msix = function->msix;

	if (!msix || msix->source || vector >= msix->vectors)
		return;
	if (function->exported) {
		/* Whoever holds it has the table, and masks for itself. */
		if (pci_function_bus_master(function))
			function->exported->fire(function->exported_opaque, vector);
		return;
	}
	pthread_mutex_lock(&msix->lock);
	if (msix->on && held_back(msix, vector))
		msix->pending[vector / PENDING_BITS] |= BIT_U64(vector % PENDING_BITS);
	else if (msix->on)
		send(msix, vector);
	pthread_mutex_unlock(&msix->lock);
}

uint64_t pci_function_interrupts(const struct pci_function *function)
{
	return function->msix ? __atomic_load_n(&function->msix->sent, __ATOMIC_RELAXED) : 0;
}

/* --- registers ------------------------------------------------------------------------------- */

void pci_msix_apply(struct pci_function *function)
{
	struct pci_msix *msix = function->msix;
	uint16_t control;

	if (!msix)
		return;
	control = (uint16_t)load_le(function->config + msix->capability + PCI_MSIX_FLAGS, 2);
	pthread_mutex_lock(&msix->lock);
	msix->on = (control & PCI_MSIX_FLAGS_ENABLE) && (function->command & PCI_COMMAND_MASTER);
	msix->masked = control & PCI_MSIX_FLAGS_MASKALL;
	follow_source(msix, control & PCI_MSIX_FLAGS_ENABLE);
	if (!msix->source && msix->on && !msix->masked)
		send_all_pending(msix);
	pthread_mutex_unlock(&msix->lock);
}

static void clear_table(struct pci_msix *msix)
{
	for (unsigned int v = 0; v < msix->vectors; v++) {
		uint8_t *entry = entry_of(msix, v);

		memset(entry, 0, PCI_MSIX_ENTRY_SIZE);
		entry[PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
	memset(msix->pending, 0, msix->pba_span.size);
	msix->on = msix->masked = false;
	follow_source(msix, false);
}

void pci_msix_reset(struct pci_function *function)
{
	struct pci_msix *msix = function->msix;

	if (!msix)
		return;
	pthread_mutex_lock(&msix->lock);
	clear_table(msix);
	pthread_mutex_unlock(&msix->lock);
}

void pci_msix_silence(struct pci_function *function)
{
	if (!function->msix)
		return;
	pthread_mutex_lock(&function->msix->lock);
	function->msix->on = false;
	follow_source(function->msix, false);
	pthread_mutex_unlock(&function->msix->lock);
}

/* --- the table and the pending bits as the guest reaches them -------------------------------- */

enum part {
	PART_DEVICE,
	PART_TABLE,
	PART_PBA
};

static bool span_has(const struct pci_span *span, uint64_t offset)
{
	return offset - span->start < span->size;
}

static enum part part_of(const struct pci_bar *bar, uint64_t offset)
{
	const struct pci_msix *msix = bar->function->msix;
	unsigned int index = (unsigned int)(bar - bar->function->bars);

	if (index == msix->table_bar && span_has(&msix->table_span, offset))
		return PART_TABLE;
	return index == msix->pba_bar && span_has(&msix->pba_span, offset) ? PART_PBA : PART_DEVICE;
}

/* The low two address bits are zero in every message; of vector control only the mask exists. */
static uint8_t entry_mask(unsigned int byte)
{
	if (byte == PCI_MSIX_ENTRY_LOWER_ADDR)
		return 0xfc;
	if (byte == PCI_MSIX_ENTRY_VECTOR_CTRL)
		return PCI_MSIX_ENTRY_CTRL_MASKBIT;
	return byte < PCI_MSIX_ENTRY_VECTOR_CTRL ? 0xff : 0;
}

static uint64_t own_read(struct pci_msix *msix, enum part part, uint64_t offset, unsigned int size)
{
	const uint64_t at =
		offset - (part == PART_TABLE ? &msix->table_span : &msix->pba_span)->start;
	uint64_t value;

	pthread_mutex_lock(&msix->lock);
	for (uint64_t i = at / 8; part == PART_PBA && msix->source && i <= (at + size - 1) / 8; i++)
		ask_source(msix, (unsigned int)i * PENDING_BITS);
	value = load_le(part == PART_TABLE ? msix->table + at : (uint8_t *)msix->pending + at,
			size);
	pthread_mutex_unlock(&msix->lock);
	return value;
}

/* The whole access first, then its effect: an address may come together with an unmask. */
static void table_write(struct pci_msix *msix, uint64_t offset, uint64_t value, unsigned int size)
{
	uint64_t at = offset - msix->table_span.start;
	bool message = false;

	pthread_mutex_lock(&msix->lock);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = entry_mask((at + i) % PCI_MSIX_ENTRY_SIZE);
		uint8_t old = msix->table[at + i], new = (uint8_t)(value >> (8 * i));

		msix->table[at + i] = (uint8_t)((old & ~mask) | (new &mask));
		message |= (at + i) % PCI_MSIX_ENTRY_SIZE < PCI_MSIX_ENTRY_VECTOR_CTRL &&
			   msix->table[at + i] != old;
	}
	for (uint64_t v = at / PCI_MSIX_ENTRY_SIZE; v <= (at + size - 1) / PCI_MSIX_ENTRY_SIZE;
	     v++) {
		if (msix->source)
			follow_vector(msix, (unsigned int)v, message);
		else
			send_pending(msix, (unsigned int)v);
	}
	pthread_mutex_unlock(&msix->lock);
}

/* [offset, offset + size) lies in one part. */
static uint64_t part_read(struct pci_bar *bar, enum part part, uint64_t offset, unsigned int size)
{
	if (part != PART_DEVICE)
		return own_read(bar->function->msix, part, offset, size);
	if (!bar->ops || !bar->ops->read)
		return ~0ULL;
	return bar->ops->read(bar->opaque, offset, size);
}

static void part_write(struct pci_bar *bar, enum part part, uint64_t offset, uint64_t value,
		       unsigned int size)
{
	if (part == PART_TABLE)
		table_write(bar->function->msix, offset, value, size);
	else if (part == PART_DEVICE && bar->ops && bar->ops->write)
		bar->ops->write(bar->opaque, offset, value, size);
}

/*
 * Parts are at least 8 bytes long and 8-byte aligned, so an access that begins and ends in one
 * part is wholly in it; the others go byte by byte, as at any border between regions.
 */
static uint64_t bar_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_bar *bar = opaque;
	enum part part = part_of(bar, offset);
	uint64_t value = 0;

	if (part == part_of(bar, offset + size - 1))
		return part_read(bar, part, offset, size);
	for (unsigned int i = 0; i < size; i++)
		value |= (part_read(bar, part_of(bar, offset + i), offset + i, 1) & 0xff)
			 << (8 * i);
	return value;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_bar *bar = opaque;
	enum part part = part_of(bar, offset);

	if (part == part_of(bar, offset + size - 1)) {
		part_write(bar, part, offset, value, size);
		return;
	}
	for (unsigned int i = 0; i < size; i++)
		part_write(bar, part_of(bar, offset + i), offset + i, (value >> (8 * i)) & 0xff, 1);
}

static int bar_store64(void *opaque, uint64_t offset, enum store64_kind kind, const void *data)
{
	struct pci_bar *bar = opaque;

	for (uint64_t at = 0; at < STORE64_BYTES; at += PBA_WORD) {
		if (part_of(bar, offset + at) != PART_DEVICE)
			return -EAGAIN;
	}
	return bar->ops->store64(bar->opaque, offset, kind, data);
}

const struct io_ops pci_msix_bar_ops = { .read = bar_read, .write = bar_write };
const struct io_ops pci_msix_portal_ops = { .read = bar_read,
					    .write = bar_write,
					    .store64 = bar_store64 };

void pci_msix_load(struct pci_msix *msix, struct state_in *in)
{
	state_take_bytes(in, msix->table, msix->table_span.size);
	state_take_bytes(in, msix->pending, msix->pba_span.size);
	for (size_t i = 0; i < msix->table_span.size; i++)
		msix->table[i] &= entry_mask(i % PCI_MSIX_ENTRY_SIZE);
	if (msix->vectors % PENDING_BITS)
		msix->pending[msix->vectors / PENDING_BITS] &=
			BIT_U64(msix->vectors % PENDING_BITS) - 1;
}

/* --- construction ---------------------------------------------------------------------------- */

static int check_span(const struct pci_function *function, const char *what, unsigned int index,
		      const struct pci_span *span, struct err *err)
{
	const struct pci_bar *bar = &function->bars[index < PCI_BARS ? index : 0];

	if (index >= PCI_BARS || !bar->function || pci_bar_is_io(bar))
		return err_set(err, EINVAL, "%s: MSI-X needs a memory BAR and BAR %u is none",
			       function->name, index);
	if (!is_aligned(span->start, PBA_WORD) ||
	    !range_inside(span->start, span->size, 0, bar->size))
		return err_set(err, EINVAL,
			       "%s: the MSI-X %s (0x%llx + 0x%llx) must be 8-byte aligned and "
			       "inside BAR %u (0x%llx)",
			       function->name, what, (unsigned long long)span->start,
			       (unsigned long long)span->size, index,
			       (unsigned long long)bar->size);
	return 0;
}

static int check_place(const struct pci_function *function, const struct pci_msix *msix,
		       struct err *err)
{
	const struct pci_span *table = &msix->table_span, *pba = &msix->pba_span;
	int ret;

	if (function->msix)
		return err_set(err, EEXIST, "%s has MSI-X already", function->name);
	if (!msix->vectors || msix->vectors > PCI_MSIX_MAX)
		return err_set(err, EINVAL, "%s: %u MSI-X vectors: 1 to %u are possible",
			       function->name, msix->vectors, PCI_MSIX_MAX);
	ret = check_span(function, "table", msix->table_bar, table, err);
	if (!ret)
		ret = check_span(function, "pending bits", msix->pba_bar, pba, err);
	if (ret)
		return ret;
	if (msix->table_bar == msix->pba_bar &&
	    range_overlaps(table->start, table->size, pba->start, pba->size))
		return err_set(err, EINVAL,
			       "%s: the MSI-X table (0x%llx + 0x%llx) and pending bits (0x%llx) "
			       "of BAR %u overlap",
			       function->name, (unsigned long long)table->start,
			       (unsigned long long)table->size, (unsigned long long)pba->start,
			       msix->table_bar);
	return 0;
}

void pci_msix_free(struct pci_msix *msix)
{
	if (!msix)
		return;
	pthread_mutex_destroy(&msix->lock);
	free(msix->open);
	free(msix->pending);
	free(msix->table);
	free(msix);
}

void pci_function_msix_source(struct pci_function *function, const struct pci_vector_ops *ops,
			      void *opaque)
{
	function->msix->source = ops;
	function->msix->source_opaque = opaque;
}

static struct pci_msix *msix_new(const struct pci_msix *place)
{
	struct pci_msix *msix = calloc(1, sizeof(*msix));

	if (!msix)
		return NULL;
	*msix = *place;
	pthread_mutex_init(&msix->lock, NULL);
	msix->deliver = deliver_to_kvm;
	msix->table = malloc(msix->table_span.size);
	msix->pending = malloc(msix->pba_span.size);
	msix->open = calloc(1, msix->pba_span.size);
	if (!msix->table || !msix->pending || !msix->open) {
		pci_msix_free(msix);
		return NULL;
	}
	clear_table(msix);
	return msix;
}

int pci_function_msix(struct pci_function *function, unsigned int vectors, unsigned int bar,
		      uint32_t table_offset, uint32_t pba_offset, struct err *err)
{
	if (bar >= PCI_BARS || !is_aligned(table_offset | pba_offset, PBA_WORD))
		return err_set(err, EINVAL,
			       "%s: MSI-X needs a memory BAR (BAR %u) and 8-byte aligned offsets "
			       "(0x%x, 0x%x)",
			       function->name, bar, table_offset, pba_offset);
	return pci_function_msix_at(function, vectors, table_offset | bar, pba_offset | bar, 0,
				    err);
}

int pci_function_msix_at(struct pci_function *function, unsigned int vectors, uint32_t table,
			 uint32_t pba, uint32_t offset, struct err *err)
{
	const struct pci_msix place = {
		.vectors = vectors,
		.table_bar = table & PCI_MSIX_TABLE_BIR,
		.pba_bar = pba & PCI_MSIX_PBA_BIR,
		.table_span = { table & PCI_MSIX_TABLE_OFFSET,
				(uint64_t)vectors * PCI_MSIX_ENTRY_SIZE },
		.pba_span = { pba & PCI_MSIX_PBA_OFFSET, align_up(vectors, PENDING_BITS) / 8 },
		.capability = offset,
	};
	struct pci_msix *msix = NULL;
	uint8_t *capability;
	int ret;

	ret = pci_function_check_unplugged(function, err);
	if (!ret)
		ret = check_place(function, &place, err);
	if (ret)
		return ret;
	msix = msix_new(&place);
	if (!msix)
		return err_set(err, ENOMEM, "%s: no memory for %u MSI-X vectors", function->name,
			       vectors);
	if (offset)
		ret = pci_function_capability_at(function, PCI_CAP_ID_MSIX, offset, MSIX_CAP_SIZE,
						 err);
	else
		ret = pci_function_capability(function, PCI_CAP_ID_MSIX, MSIX_CAP_SIZE,
					      &msix->capability, err);
	if (ret) {
		pci_msix_free(msix);
		return ret;
	}
	capability = function->config + msix->capability;
	store_le(capability + PCI_MSIX_FLAGS, vectors - 1, 2);
	store_le(capability + PCI_MSIX_TABLE, table, 4);
	store_le(capability + PCI_MSIX_PBA, pba, 4);
	store_le(function->writable + msix->capability + PCI_MSIX_FLAGS,
		 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	function->msix = msix;
	return 0;
}

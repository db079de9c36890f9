#include "vmm/fw/shadow.h"

#include <string.h>

#define PIECES	    13
#define PIECE_SIZE  0x4000 /* of all but the last, which has 64 KiB */
#define STATE_READ  1
#define STATE_WRITE 2
#define STATE_UNSET 0xff
#define ATTRIBUTES  3

static gpa_t shadow_start(unsigned i)
{
	return SHADOW_START + i * PIECE_SIZE;
}

static uint64_t shadow_size(unsigned i)
{
	return i == PIECES - 1 ? SHADOW_END - shadow_start(i) : PIECE_SIZE;
}

/* What the bus holds there: ROM, or NULL. */
static uint8_t *shadow_rom(const struct shadow *s, gpa_t gpa)
{
	uint64_t below = SHADOW_END - gpa;

	if (gpa < SHADOW_ROM || below > s->rom_size)
		return NULL;
	return s->rom + s->rom_size - below;
}

/*
 * Reads without an exit; writes that do not reach what is read exit, and
 * shadow_write() sees to them.
 */
static int shadow_map(struct shadow *s, unsigned i, uint8_t state)
{
	gpa_t gpa = shadow_start(i);
	uint64_t size = shadow_size(i);
	uint8_t *hva = ram_ptr(s->ram, gpa, size);

	s->state[i] = state;
	if (!(state & STATE_READ))
		hva = shadow_rom(s, gpa);
	return slots_set(s->slots, SLOT_SHADOW + i, gpa, hva ? size : 0, hva,
			 state == (STATE_READ | STATE_WRITE) ? SLOT_WRITABLE
							     : SLOT_READONLY);
}

static unsigned shadow_piece(gpa_t gpa)
{
	unsigned i = (gpa - SHADOW_START) / PIECE_SIZE;

	return i < PIECES ? i : PIECES - 1;
}

static void shadow_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct shadow *s = dev;
	gpa_t gpa = SHADOW_START + offset;

	if (s->state[shadow_piece(gpa)] & STATE_WRITE)
		ram_write(s->ram, gpa, &val, len);
}

/* A vCPU may get here while another one changes the slot. */
static uint64_t shadow_read(void *dev, uint64_t offset, unsigned len)
{
	struct shadow *s = dev;
	gpa_t gpa = SHADOW_START + offset;
	uint64_t val = ~0ull;
	const uint8_t *p;

	if (s->state[shadow_piece(gpa)] & STATE_READ)
		p = ram_ptr(s->ram, gpa, len);
	else
		p = shadow_rom(s, gpa);
	if (p)
		memcpy(&val, p, len);
	return val;
}

static const struct bus_ops shadow_ops = {
	.name = "shadow memory",
	.read = shadow_read,
	.write = shadow_write,
	.max_len = 8,
};

int shadow_init(struct shadow *s, struct slots *slots, const struct ram *ram,
		struct bus *mmio, uint8_t *rom, uint64_t rom_size)
{
	static const uint8_t off[SHADOW_REGS];

	s->slots = slots;
	s->ram = ram;
	s->rom = rom;
	s->rom_size = rom_size;
	memset(s->state, STATE_UNSET, sizeof(s->state));
	shadow_set(s, off);
	return bus_add(mmio, SHADOW_START, SHADOW_END - SHADOW_START,
		       &shadow_ops, s);
}

/*
 * PAM0's upper half has the last piece, the others two pieces each ("PAM:
 * Programmable Attribute Map Registers").
 */
void shadow_set(struct shadow *s, const uint8_t regs[SHADOW_REGS])
{
	for (unsigned i = 0; i < PIECES; i++) {
		unsigned half = i == PIECES - 1 ? 1 : i + 2;
		uint8_t state = regs[half / 2] >> 4 * (half % 2) & ATTRIBUTES;

		if (state != s->state[i])
			shadow_map(s, i, state);
	}
}

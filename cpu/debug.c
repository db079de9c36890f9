#include "cpu/debug.h"

#define DR6_VOLATILE	0xe00full
#define DR7_VOLATILE	0xffff23ffull
#define DR6_BREAKPOINTS 0xfull

/* Bits 17:16 + 4n of DR7. */
enum { RW_CODE, RW_WRITE, RW_IO, RW_ACCESS };

static unsigned int dr7_rw(uint64_t dr7, unsigned int n)
{
	return (dr7 >> (16 + 4 * n)) & 3;
}

/* Bytes watched: 1, 2, 8, 4. */
static unsigned int dr7_len(uint64_t dr7, unsigned int n)
{
	static const uint8_t len[] = { 1, 2, 8, 4 };

	return len[(dr7 >> (18 + 4 * n)) & 3];
}

static bool dr7_enabled(uint64_t dr7, unsigned int n)
{
	return (dr7 >> (2 * n)) & 3;
}

uint64_t debug_dr6(uint64_t v)
{
	return (v & DR6_VOLATILE) | DR6_FIXED;
}

uint64_t debug_dr7(uint64_t v)
{
	return (v & DR7_VOLATILE) | DR7_FIXED;
}

/* A debugger outside of the guest takes the guest's breakpoints away. */
static uint64_t armed_dr7(const struct cpu *c)
{
	return c->host_dr7 ? c->host_dr7 : c->dr7;
}

/* Breakpoint @n, whose length aligns its address, overlaps the access. */
static bool overlaps(const struct cpu *c, unsigned int n, uint64_t at,
		     unsigned int size)
{
	unsigned int len = dr7_len(armed_dr7(c), n);
	uint64_t dr = c->host_dr7 ? c->host_dr[n] : c->dr[n];
	uint64_t watched = dr & ~(uint64_t)(len - 1);

	return at - watched < len || watched - at < size;
}

static uint64_t match(const struct cpu *c, unsigned int kinds, uint64_t at,
		      unsigned int size)
{
	uint64_t bits = 0, dr7 = armed_dr7(c);

	for (unsigned int n = 0; n < 4; n++)
		if (dr7_enabled(dr7, n) && (kinds & BIT(dr7_rw(dr7, n))) &&
		    overlaps(c, n, at, size))
			bits |= BIT(n);
	return bits;
}

uint64_t debug_match_code(const struct cpu *c, gva_t gva)
{
	if (c->rflags & RFLAGS_RF)
		return 0;
	return match(c, BIT(RW_CODE), gva, 1);
}

uint64_t debug_match_data(const struct cpu *c, gva_t gva, unsigned int size,
			  bool write)
{
	return match(c, BIT(RW_ACCESS) | (write ? BIT(RW_WRITE) : 0), gva,
		     size);
}

uint64_t debug_match_io(const struct cpu *c, uint16_t port, unsigned int size)
{
	if (!(c->cr4 & CR4_DE))
		return 0;
	return match(c, BIT(RW_IO), port, size);
}

/* B0 to B3 tell of this exception; BD, BS and BT stay until cleared. */
uint64_t debug_dr6_merge(const struct cpu *c, uint64_t bits)
{
	return debug_dr6((c->dr6 & ~DR6_BREAKPOINTS) | bits);
}

#pragma once

#include "cpu/cpu.h"

/*
 * Descriptors as they stand in GDT, LDT and IDT.
 * Source: SDM 3A "Segment Descriptors", "Gate Descriptors", "Segment
 * Descriptor Tables in IA-32e Mode".
 */

/* Types of system descriptors (S = 0). */
#define SYS_TSS16      1
#define SYS_LDT	       2
#define SYS_TSS16_BUSY 3
#define SYS_CALL16     4
#define SYS_TASK_GATE  5
#define SYS_INT16      6
#define SYS_TRAP16     7
#define SYS_TSS	       9
#define SYS_TSS_BUSY   11
#define SYS_CALL       12
#define SYS_INT	       14
#define SYS_TRAP       15
#define SYS_BUSY       2 /* in a TSS type */

/* A gate whose type has this bit is a 32-bit (long mode: 64-bit) one. */
#define SYS_GATE32 8

struct desc {
	uint64_t lo;
	uint64_t hi; /* upper half of a 16-byte descriptor, else 0 */
	gva_t gva;   /* where it was read from */
	uint32_t ar; /* AR_* of lo */
	uint16_t sel;
};

static inline bool sel_null(uint16_t sel)
{
	return !(sel & ~3);
}

static inline unsigned int sel_rpl(uint16_t sel)
{
	return sel & 3;
}

/* sel_error - the selector as an exception's error code. */
static inline uint32_t sel_error(uint16_t sel)
{
	return sel & ~3u;
}

static inline uint64_t desc_base(const struct desc *d)
{
	return ((d->lo >> 16) & 0xffffff) | ((d->lo >> 56) << 24) |
	       (d->hi << 32);
}

/* desc_limit - in bytes, scaled by G. */
static inline uint32_t desc_limit(const struct desc *d)
{
	uint32_t limit = (d->lo & 0xffff) | ((d->lo >> 32) & 0xf0000);

	return d->ar & AR_G ? limit << 12 | 0xfff : limit;
}

static inline unsigned int desc_dpl(const struct desc *d)
{
	return AR_DPL(d->ar);
}

static inline bool desc_is_code(const struct desc *d)
{
	return (d->ar & (AR_S | AR_CODE)) == (AR_S | AR_CODE);
}

static inline bool desc_conforming(const struct desc *d)
{
	return d->ar & AR_DC;
}

/* desc_is_stack - writable data, as SS wants it. */
static inline bool desc_is_stack(const struct desc *d)
{
	return (d->ar & (AR_S | AR_CODE | AR_RW)) == (AR_S | AR_RW);
}

/* desc_is_readable - data or readable code. */
static inline bool desc_is_readable(const struct desc *d)
{
	return (d->ar & AR_S) && (!(d->ar & AR_CODE) || (d->ar & AR_RW));
}

static inline unsigned int desc_sys_type(const struct desc *d)
{
	return AR_TYPE(d->ar);
}

static inline bool desc_is_sys(const struct desc *d, unsigned int type)
{
	return !(d->ar & AR_S) && AR_TYPE(d->ar) == type;
}

static inline uint16_t gate_sel(const struct desc *d)
{
	return d->lo >> 16;
}

static inline uint64_t gate_off(const struct desc *d)
{
	return (d->lo & 0xffff) | ((d->lo >> 32) & 0xffff0000) | (d->hi << 32);
}

/* desc_set - fills @d from the 8 bytes @raw of selector @sel. */
void desc_set(struct desc *d, uint16_t sel, gva_t gva, uint64_t raw);

/*
 * desc_find - linear address of the @len bytes of @sel's descriptor; false if
 * they are not within GDT or LDT.  Null selectors are the caller's matter.
 */
bool desc_find(const struct cpu *c, uint16_t sel, unsigned int len, gva_t *gva);

/* desc_read - reads 8 bytes; @vector(@sel) if they are beyond the table. */
enum cpu_result desc_read(struct cpu *c, uint16_t sel, uint8_t vector,
			  struct desc *d);

/*
 * desc_read_hi - completes @d to a 16-byte descriptor of long mode; #GP(sel)
 * if it is beyond the table or its upper type field is not zero.
 */
enum cpu_result desc_read_hi(struct cpu *c, struct desc *d);

/*
 * desc_touch - sets the accessed bit of a code or data descriptor in memory,
 * and in @d.
 */
enum cpu_result desc_touch(struct cpu *c, struct desc *d);

/* desc_busy - sets or clears a TSS descriptor's busy bit in memory. */
enum cpu_result desc_busy(struct cpu *c, const struct desc *d, bool busy);

/* desc_to_seg - the hidden part of a segment register for @d. */
void desc_to_seg(const struct desc *d, uint16_t sel, struct seg *s);

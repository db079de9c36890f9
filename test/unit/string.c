/*
 * String instructions: random ones against the silicon on a copy of the same
 * memory (overlaps, page crossings, both directions), then what the silicon
 * cannot show here: restart at faults, MMIO, wraps, limits, bounded work.
 */
#include "test/unit/machine.h"

#define PAGES 4
#define SPAN  (PAGES * PAGE_SIZE)

static uint32_t seed = 1;

static uint32_t rnd(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

struct regs {
	uint64_t rax, rcx, rsi, rdi, flags;
};

#define NATIVE(name, insn)                                                     \
	static void name(struct regs *r)                                       \
	{                                                                      \
		__asm__ volatile("sub $128, %%rsp; push %4; popf; " insn       \
				 "; pushf; pop %4; cld; add $128, %%rsp"       \
				 : "+a"(r->rax), "+c"(r->rcx), "+S"(r->rsi),   \
				   "+D"(r->rdi), "+r"(r->flags)                \
				 :                                             \
				 : "memory", "cc");                            \
	}

#define NATIVE_SIZES(op)                                                       \
	NATIVE(op##b_1, #op "b")                                               \
	NATIVE(op##w_1, #op "w")                                               \
	NATIVE(op##l_1, #op "l")                                               \
	NATIVE(op##q_1, #op "q")                                               \
	NATIVE(op##b_3, "rep " #op "b")                                        \
	NATIVE(op##w_3, "rep " #op "w")                                        \
	NATIVE(op##l_3, "rep " #op "l")                                        \
	NATIVE(op##q_3, "rep " #op "q")                                        \
	NATIVE(op##b_2, "repne " #op "b")                                      \
	NATIVE(op##w_2, "repne " #op "w")                                      \
	NATIVE(op##l_2, "repne " #op "l")                                      \
	NATIVE(op##q_2, "repne " #op "q")

NATIVE_SIZES(movs)
NATIVE_SIZES(stos)
NATIVE_SIZES(lods)
NATIVE_SIZES(cmps)
NATIVE_SIZES(scas)

#define ROWS(op, opcode)                                                       \
	{                                                                      \
		opcode,                                                        \
		{                                                              \
			{ op##b_1, op##b_2, op##b_3 },                         \
				{ op##w_1, op##w_2, op##w_3 },                 \
				{ op##l_1, op##l_2, op##l_3 },                 \
			{                                                      \
				op##q_1, op##q_2, op##q_3                      \
			}                                                      \
		}                                                              \
	}

static const struct {
	uint8_t opcode; /* of the byte form */
	void (*native[4][3])(struct regs *r);
} ops[] = { ROWS(movs, 0xa4), ROWS(stos, 0xaa), ROWS(lods, 0xac),
	    ROWS(cmps, 0xa6), ROWS(scas, 0xae) };

static unsigned int encode(uint8_t *b, uint8_t opcode, unsigned int size,
			   unsigned int rep)
{
	unsigned int n = 0;

	if (size == 1)
		b[n++] = 0x66;
	if (rep)
		b[n++] = rep == 1 ? 0xf2 : 0xf3;
	if (size == 3)
		b[n++] = 0x48;
	b[n++] = opcode | (size > 0);
	return n;
}

/* Linear pages of the span lie scattered in physical memory. */
static const unsigned int scatter[PAGES] = { 2, 0, 3, 1 };

static uint8_t *guest(uint64_t off)
{
	return ram + DATA + scatter[off / PAGE_SIZE] * PAGE_SIZE +
	       off % PAGE_SIZE;
}

static void fill(uint8_t *copy)
{
	/* Runs of equal bytes, so that comparisons go far. */
	for (uint64_t off = 0, n = 0; off < SPAN; off++) {
		static uint8_t v;

		if (!n--) {
			v = rnd() & 3;
			n = rnd() % 300;
		}
		copy[off] = v;
		*guest(off) = v;
	}
}

static uint64_t place(unsigned int size, uint64_t count, bool down)
{
	uint64_t bytes = count << size, room = SPAN - bytes;
	uint64_t low = room ? rnd() % room : 0;

	return down ? low + bytes - (1u << size) : low;
}

static void compare_memory(const uint8_t *copy, unsigned int k)
{
	for (uint64_t off = 0; off < SPAN; off++) {
		if (copy[off] == *guest(off))
			continue;
		printf("case %u: byte %#lx is %#x, expected %#x\n", k, off,
		       *guest(off), copy[off]);
		test_failed++;
		return;
	}
	test_passed++;
}

static void random_case(uint8_t *copy, unsigned int k)
{
	unsigned int op = rnd() % ARRAY_SIZE(ops), size = rnd() & 3;
	unsigned int rep = rnd() % 3, len, turns = 0;
	bool down = rnd() & 1;
	uint64_t count = rep ? rnd() % (rnd() & 1 ? 20 : SPAN >> size) : 1;
	uint64_t src = place(size, count, down), dst = place(size, count, down);
	struct regs r = { .rax = rnd() & 0x03030303,
			  .rcx = rep ? count : 0x55,
			  .flags = (down ? RFLAGS_DF : 0) | (rnd() & 0x8d5) |
				   RFLAGS_FIXED | RFLAGS_IF };
	uint8_t b[8];

	if (rnd() & 1)
		r.rax = copy[dst] * 0x0101010101010101;
	len = encode(b, ops[op].opcode, size, rep);
	c->gpr[RAX] = r.rax;
	c->gpr[RCX] = r.rcx;
	c->gpr[RSI] = DATA + src;
	c->gpr[RDI] = DATA + dst;
	c->rip = CODE;
	cpu_set_rflags(c, r.flags);
	r.rsi = (uint64_t)copy + src;
	r.rdi = (uint64_t)copy + dst;
	ops[op].native[size][rep](&r);
	do {
		CHECK_OK(exec(b, len));
	} while (c->rip == CODE && ++turns < 100);
	compare_memory(copy, k);
	CHECK_EQ(c->rip, CODE + len);
	CHECK_EQ(c->gpr[RAX], r.rax);
	CHECK_EQ(c->gpr[RCX], r.rcx);
	CHECK_EQ(c->gpr[RSI] - DATA, r.rsi - (uint64_t)copy);
	CHECK_EQ(c->gpr[RDI] - DATA, r.rdi - (uint64_t)copy);
	CHECK_EQ(c->rflags, r.flags);
}

static void test_random(void)
{
	static uint8_t copy[SPAN];

	start64(0);
	for (unsigned int n = 0; n < PAGES; n++)
		*pte(DATA + n * PAGE_SIZE) =
			(DATA + scatter[n] * PAGE_SIZE) | 7;
	fill(copy);
	for (unsigned int k = 0; k < 4000; k++) {
		if (k % 16 == 0)
			fill(copy);
		random_case(copy, k);
	}
}

static void test_faults(void)
{
	start64(3);
	memset(ram + DATA, 0x11, 0x1000);
	*pte(DATA + 0x3000) = 0;
	c->gpr[RSI] = DATA;
	c->gpr[RDI] = DATA + 0x2ff0;
	c->gpr[RCX] = 100;
	CHECK_FAULT(EXEC(0xf3, 0xa5), VEC_PF);
	CHECK_EQ(c->fault.address, DATA + 0x3000);
	CHECK_EQ(c->fault.error, PFEC_W | PFEC_U);
	CHECK_EQ(c->gpr[RCX], 96);
	CHECK_EQ(c->gpr[RSI], DATA + 16);
	CHECK_EQ(c->gpr[RDI], DATA + 0x3000);
	CHECK_EQ(ram[DATA + 0x2fff], 0x11);
	CHECK_EQ(c->rip, CODE);
	/* The element that crosses into the missing page is not begun. */
	c->gpr[RDI] = DATA + 0x2ffe;
	CHECK_FAULT(EXEC(0xf3, 0xab), VEC_PF);
	CHECK_EQ(c->gpr[RCX], 96);
	CHECK_EQ(c->fault.address, DATA + 0x3000);
	CHECK_EQ(ram[DATA + 0x2fff], 0x11);
	/* Down. */
	cpu_set_rflags(c, RFLAGS_DF);
	c->gpr[RDI] = DATA + 0x4010;
	c->gpr[RCX] = 100;
	CHECK_FAULT(EXEC(0xf3, 0xab), VEC_PF);
	CHECK_EQ(c->gpr[RCX], 95);
	CHECK_EQ(c->gpr[RDI], DATA + 0x3ffc);
	CHECK_EQ(c->fault.address, DATA + 0x3ffc);
	/* No count: no access. */
	c->gpr[RCX] = 0;
	CHECK_OK(EXEC(0xf3, 0xab));
	CHECK_EQ(c->gpr[RDI], DATA + 0x3ffc);
	c->gpr[RDI] = BIT(63);
	CHECK_FAULT(EXEC(0xaa), VEC_GP);
}

static void test_mmio(void)
{
	start64(0);
	c->gpr[RSI] = MMIO - 4;
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 3;
	CHECK_EXIT(EXEC(0xf3, 0xa5), EXIT_EPT_VIOLATION);
	CHECK_EQ(c->gpr[RCX], 2);
	CHECK_EQ(c->mmio.want.gpa, MMIO);
	CHECK_EQ(c->mmio.want.len, 4);
	c->mmio.rd[0] = c->mmio.want;
	memcpy(c->mmio.rd[0].data, "abcd", 4);
	c->mmio.nr_rd = 1;
	CHECK_OK(EXEC(0xf3, 0xa5));
	CHECK_EQ(c->gpr[RCX], 1);
	CHECK_EQ(c->rip, CODE);
	CHECK(!memcmp(ram + DATA + 4, "abcd", 4));
	c->mmio.nr_rd = 0;
	CHECK_EXIT(EXEC(0xf3, 0xa5), EXIT_EPT_VIOLATION);
	CHECK_EQ(c->mmio.want.gpa, MMIO + 4);

	/* Writes: one element an execution. */
	start64(0);
	c->gpr[RAX] = 0x64636261;
	c->gpr[RDI] = MMIO - 4;
	c->gpr[RCX] = 3;
	CHECK_OK(EXEC(0xf3, 0xab));
	CHECK_EQ(c->gpr[RCX], 1);
	CHECK_EQ(c->mmio.nr_wr, 1);
	CHECK_EQ(c->mmio.wr[0].gpa, MMIO);
	CHECK(!memcmp(c->mmio.wr[0].data, "abcd", 4));
	CHECK_EQ(c->rip, CODE);
	CHECK_OK(EXEC(0xf3, 0xab));
	CHECK_EQ(c->rip, CODE + 2);

	/* Both operands of a comparison, by two answers. */
	start64(0);
	c->gpr[RSI] = MMIO;
	c->gpr[RDI] = MMIO + 64;
	c->gpr[RCX] = 2;
	CHECK_EXIT(EXEC(0xf3, 0xa6), EXIT_EPT_VIOLATION);
	c->mmio.rd[0] = c->mmio.want;
	c->mmio.nr_rd = 1;
	CHECK_EXIT(EXEC(0xf3, 0xa6), EXIT_EPT_VIOLATION);
	CHECK_EQ(c->mmio.want.gpa, MMIO + 64);
	c->mmio.rd[1] = c->mmio.want;
	c->mmio.nr_rd = 2;
	CHECK_OK(EXEC(0xf3, 0xa6));
	CHECK_EQ(c->gpr[RCX], 1);
	/* Flags are those of the last element. */
	CHECK(!(c->rflags & RFLAGS_ZF));
	c->mmio.nr_rd = 0;
	c->gpr[RSI] = c->gpr[RDI] = DATA;
	CHECK_OK(EXEC(0xf3, 0xa6));
	CHECK_EQ(c->gpr[RCX], 0);
	CHECK(c->rflags & RFLAGS_ZF);
}

static void test_wrap_and_limit(void)
{
	/* 16-bit indices wrap; the run stops before. */
	start_real();
	c->seg[SEG_ES].base = DATA;
	memset(ram + DATA, 0, 0x10010);
	c->gpr[RDI] = 0xabcdfffe;
	c->gpr[RCX] = 0x12340004;
	c->gpr[RAX] = 0x55;
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(ram[DATA + 0xffff], 0x55);
	CHECK_EQ(ram[DATA + 0x10000], 0);
	CHECK_EQ(ram[DATA + 1], 0x55);
	CHECK_EQ(ram[DATA + 2], 0);
	CHECK_EQ(c->gpr[RDI], 0xabcd0002);
	CHECK_EQ(c->gpr[RCX], 0x12340000);
	/* A word at the end of the segment. */
	c->gpr[RDI] = 0xffff;
	CHECK_FAULT(EXEC(0xab), VEC_GP);
	/* Limits: exact to the element. */
	start32(0);
	c->seg[SEG_ES].limit = DATA + 0x109;
	c->gpr[RDI] = DATA + 0x100;
	c->gpr[RCX] = 8;
	CHECK_FAULT(EXEC(0xf3, 0xab), VEC_GP);
	CHECK_EQ(c->gpr[RCX], 6);
	CHECK_EQ(c->gpr[RDI], DATA + 0x108);
	/* 32-bit indices in 64-bit mode clear the upper halves. */
	start64(0);
	c->gpr[RSI] = 0xffffffff00000000 | DATA;
	c->gpr[RDI] = 0xffffffff00000000 | (DATA + 64);
	c->gpr[RCX] = 0xffffffff00000002;
	CHECK_OK(EXEC(0x67, 0xf3, 0xa4));
	CHECK_EQ(c->gpr[RSI], DATA + 2);
	CHECK_EQ(c->gpr[RDI], DATA + 66);
	CHECK_EQ(c->gpr[RCX], 0);
	/* Even if there is nothing to do. */
	c->gpr[RSI] = c->gpr[RDI] = ~0ull;
	c->gpr[RCX] = 0xffffffff00000000;
	CHECK_OK(EXEC(0x67, 0xf3, 0xaa));
	CHECK_EQ(c->gpr[RCX], 0);
	CHECK_EQ(c->gpr[RDI], 0xffffffff);
	CHECK_EQ(c->gpr[RSI], ~0ull);
	/* Segments: an override moves the source only. */
	start64(0);
	c->seg[SEG_FS].base = 0x100;
	ram[DATA + 0x100] = 0x77;
	c->gpr[RSI] = DATA;
	c->gpr[RDI] = DATA + 0x800;
	CHECK_OK(EXEC(0x64, 0xa4));
	CHECK_EQ(ram[DATA + 0x800], 0x77);
}

static void test_bounded(void)
{
	unsigned int turns = 0;

	start64(0);
	for (gva_t gva = DATA; gva < MMIO; gva += PAGE_SIZE)
		*pte(gva) = DATA | 7;
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 0xb0000;
	while (c->rip == CODE && turns < 100) {
		uint64_t before = c->gpr[RCX];

		CHECK_OK(EXEC(0xf3, 0xaa));
		CHECK(before - c->gpr[RCX] <= 65536);
		turns++;
	}
	CHECK_EQ(turns, 0xb0000 / 65536);
	/* Asked to leave: a step is done, but not the whole. */
	start64(0);
	c->exit_req = 1;
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 0x3000;
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(c->gpr[RCX], 0x2000);
	CHECK_EQ(c->rip, CODE);
	c->exit_req = 0;
	/* TF: one element. */
	cpu_set_rflags(c, RFLAGS_TF);
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(c->gpr[RCX], 0x1fff);
	CHECK_EQ(c->rip, CODE);
	/* A watched byte: one element at a time, the last one hits. */
	start64(0);
	c->dr[0] = DATA + 1;
	c->dr7 = 0x401 | 1ull << 16;
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 2;
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(c->pending_dbg, 0);
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(c->pending_dbg, 1);
}

static void test_code_page(void)
{
	const struct memslot *s;

	start64(0);
	s = memslot_find(c->mmu.slots, DATA);
	s->page_flags[(DATA + 0x1000) >> 12] |= PGF_CODE;
	cpu_set_rflags(c, RFLAGS_DF);
	c->gpr[RDI] = DATA + 0x1010;
	c->gpr[RCX] = 3;
	code_written = 0;
	CHECK_OK(EXEC(0xf3, 0xaa));
	CHECK_EQ(code_written, DATA + 0x100e);
	s->page_flags[(DATA + 0x1000) >> 12] = 0;
}

int main(void)
{
	machine_create();
	test_random();
	test_faults();
	test_mmio();
	test_wrap_and_limit();
	test_bounded();
	test_code_page();
	return test_done();
}

/*
 * 16- and 32-bit-only instructions.  Where the host's kernel has compatibility
 * mode, decimal arithmetic, ENTER and BOUND are compared with the silicon.
 */
#include <setjmp.h>
#include <signal.h>

#include "test/unit/machine.h"

/* A page of 32-bit code below 4 GiB, a page of data, a page of stack. */
#define LOW	  0x10000000ul
#define LOW_DATA  (LOW + 0x1000)
#define LOW_STACK (LOW + 0x3000)
#define USER32_CS 0x23
#define USER_DS	  0x2b

struct regs32 {
	uint32_t eax, flags;
};

static sigjmp_buf no_compat;

static void on_signal(int sig)
{
	siglongjmp(no_compat, 1);
}

/* Copies @insn between code that loads and stores eax and flags. */
static void native_prepare(const uint8_t *insn, unsigned int len)
{
	const uint8_t before[] = { 0x6a, USER_DS, 0x1f,	  /* push; pop ds */
				   0xff, 0x73,	  0x04,	  /* push [ebx+4] */
				   0x9d, 0x8b,	  0x03 }; /* mov eax, [ebx] */
	const uint8_t after[] = { 0x89, 0x03, 0x9c, 0x8f, 0x43, 0x04, 0xcb };
	const uint8_t enter[] = {
		0x49, 0x89, 0xe4,			  /* mov r12, rsp */
		0xbc, 0x00, 0x30, 0x00, 0x10,		  /* mov esp, .. */
		0xff, 0x1c, 0x25, 0x00, 0x02, 0x00, 0x10, /* lcall [..] */
		0x4c, 0x89, 0xe4, 0xc3,			  /* mov rsp, r12 */
	};
	const struct {
		uint32_t eip;
		uint16_t cs;
	} target = { LOW, USER32_CS };
	uint8_t *p = (uint8_t *)LOW;

	memcpy(p, before, sizeof(before));
	memcpy(p + sizeof(before), insn, len);
	memcpy(p + sizeof(before) + len, after, sizeof(after));
	memcpy(p + 0x100, enter, sizeof(enter));
	memcpy(p + 0x200, &target, 6);
}

static void native_run(struct regs32 *r)
{
	struct regs32 *low = (struct regs32 *)LOW_DATA;

	*low = *r;
	__asm__ volatile("call *%0"
			 :
			 : "r"(LOW + 0x100), "b"(low)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r12", "memory",
			   "cc");
	*r = *low;
}

static bool native_possible(void)
{
	struct regs32 r = { .flags = RFLAGS_FIXED };
	bool ok = false;

	if (mmap((void *)LOW, 0x3000, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != (void *)LOW)
		return false;
	native_prepare((const uint8_t[]){ 0x90 }, 1);
	signal(SIGSEGV, on_signal);
	if (!sigsetjmp(no_compat, 1)) {
		native_run(&r);
		ok = true;
	}
	signal(SIGSEGV, SIG_DFL);
	return ok;
}

static void compare(const uint8_t *insn, unsigned int len, uint16_t ax,
		    uint32_t flags, uint32_t defined)
{
	struct regs32 r = { .eax = 0xabcd0000 | ax,
			    .flags = flags | RFLAGS_FIXED };

	c->gpr[RAX] = r.eax;
	cpu_set_rflags(c, r.flags);
	CHECK_OK(exec(insn, len));
	native_run(&r);
	if (c->gpr[RAX] != r.eax || ((c->rflags ^ r.flags) & defined))
		printf("%02x: ax %04x flags %x: %lx %lx, expected %x %x\n",
		       insn[0], ax, flags, c->gpr[RAX], c->rflags, r.eax,
		       r.flags);
	CHECK_EQ(c->gpr[RAX], r.eax);
	CHECK_EQ(c->rflags & defined, r.flags & defined);
}

static void test_decimal(void)
{
	const uint32_t szp = RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF;
	const uint32_t carries = RFLAGS_CF | RFLAGS_AF;
	const struct {
		uint8_t bytes[2], len;
		uint32_t defined;
	} k[] = {
		{ { 0x27 }, 1, szp | carries }, /* daa */
		{ { 0x2f }, 1, szp | carries }, /* das */
		{ { 0x37 }, 1, carries },	/* aaa */
		{ { 0x3f }, 1, carries },	/* aas */
		{ { 0xd4, 10 }, 2, szp },	/* aam */
		{ { 0xd4, 0xff }, 2, szp },	/* aam */
		{ { 0xd5, 10 }, 2, szp },	/* aad */
		{ { 0xd5, 0x80 }, 2, szp },	/* aad */
		{ { 0xd6 }, 1, RFLAGS_STATUS }, /* salc */
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(k); n++) {
		start32(0);
		native_prepare(k[n].bytes, k[n].len);
		for (unsigned int v = 0; v < 4 * 0x300; v++) {
			uint32_t flags = (v & 1 ? RFLAGS_CF : 0) |
					 (v & 2 ? RFLAGS_AF : 0);
			uint16_t al = v >> 2, ah = al >> 8 ? 0xff : 3;

			compare(k[n].bytes, k[n].len,
				(al & 0xff) | (al > 0x1ff ? 0 : ah) << 8, flags,
				k[n].defined);
		}
	}
}

static void test_stack_frames(void)
{
	const uint32_t want[] = { 7, 6, 5, STACK, 3, 2, 1, 0x80000000 };
	uint32_t got[8];

	start32(3);
	for (unsigned int n = RAX; n <= RDI; n++)
		if (n != RSP)
			c->gpr[n] = n == RAX ? 0x80000000 : n;
	CHECK_OK(EXEC(0x60)); /* pusha */
	CHECK_EQ(c->gpr[RSP], STACK - 32);
	memcpy(got, ram + STACK - 32, 32);
	CHECK(!memcmp(got, want, 32));
	memset(c->gpr, 0xff, 4 * 8);
	CHECK_OK(EXEC(0x61)); /* popa */
	CHECK_EQ(c->gpr[RSP], STACK);
	CHECK_EQ(c->gpr[RAX], 0x80000000);
	CHECK_EQ(c->gpr[RBX], 3);
	CHECK_EQ(c->gpr[RDI], 7);
	CHECK_OK(EXEC(0x66, 0x60));
	CHECK_EQ(c->gpr[RSP], STACK - 16);
	c->gpr[RCX] = 0x55550000;
	CHECK_OK(EXEC(0x66, 0x61));
	CHECK_EQ(c->gpr[RCX], 0x55550001);
	/* A fault half way leaves RSP. */
	start_compat(3);
	*pte(STACK - PAGE_SIZE) = 0;
	c->gpr[RSP] = STACK + 8;
	CHECK_FAULT(EXEC(0x60), VEC_PF);
	CHECK_EQ(c->gpr[RSP], STACK + 8);
	c->gpr[RSP] = STACK - 8;
	CHECK_FAULT(EXEC(0x61), VEC_PF);
	CHECK_EQ(c->gpr[RSP], STACK - 8);
}

static void test_enter(void)
{
	uint64_t v[4];

	start64(0);
	c->gpr[RBP] = DATA + 64;
	memcpy(ram + DATA + 56, "frame01", 8);
	memcpy(ram + DATA + 48, "frame02", 8);
	CHECK_OK(EXEC(0xc8, 0x20, 0x00, 0x03)); /* enter 32, 3 */
	CHECK_EQ(c->gpr[RBP], STACK - 8);
	CHECK_EQ(c->gpr[RSP], STACK - 32 - 32);
	memcpy(v, ram + STACK - 32, 32);
	CHECK_EQ(v[3], DATA + 64);
	CHECK(!memcmp(&v[2], "frame01", 8));
	CHECK(!memcmp(&v[1], "frame02", 8));
	CHECK_EQ(v[0], STACK - 8);
	/* The new frame must be writable. */
	start64(0);
	*pte(STACK - 2 * PAGE_SIZE) = 0;
	CHECK_FAULT(EXEC(0xc8, 0x00, 0x10, 0x00), VEC_PF);
	CHECK_EQ(c->gpr[RSP], STACK);
	CHECK_EQ(c->gpr[RBP], 0);
	/* A 16-bit stack. */
	start_real();
	c->gpr[RSP] = 0x12340100;
	c->gpr[RBP] = 0x56780200;
	CHECK_OK(EXEC(0xc8, 0x10, 0x00, 0x00));
	CHECK_EQ(c->gpr[RSP], 0x123400ee);
	CHECK_EQ(c->gpr[RBP], 0x567800fe);
}

/* The 16-bit form on a 64-bit stack, from the silicon. */
static void test_enter16(void)
{
	uint64_t bp = 0x1122334455667788, delta, sp;

	__asm__ volatile("mov %%rsp, %%r8; push %%rbp; mov %0, %%rbp;"
			 "mov %%rsp, %%r9; .byte 0x66; enter $16, $0;"
			 "mov %%rsp, %1; mov %%rbp, %0; mov %%r8, %2;"
			 "mov %%r9, %%rsp; pop %%rbp; sub %1, %2"
			 : "+a"(bp), "=&c"(sp), "=&d"(delta)
			 :
			 : "r8", "r9", "memory");
	start64(0);
	c->gpr[RBP] = 0x1122334455667788;
	c->gpr[RSP] = STACK - 8;
	CHECK_OK(EXEC(0x66, 0xc8, 0x10, 0x00, 0x00));
	CHECK_EQ(STACK - c->gpr[RSP], delta);
	CHECK_EQ(c->gpr[RBP] >> 16, bp >> 16);
	CHECK_EQ(c->gpr[RBP] & 0xffff, (STACK - 10) & 0xffff);
}

static void test_bound_xlat(void)
{
	const int32_t bounds[] = { -5, 10 };
	const int16_t bounds16[] = { -5, 10 };

	start32(3);
	memcpy(ram + DATA, bounds, 8);
	memcpy(ram + DATA + 16, bounds16, 4);
	c->gpr[RBX] = DATA;
	for (int v = -8; v < 14; v++) {
		bool in = v >= -5 && v <= 10;
		enum cpu_result r;

		c->gpr[RAX] = (uint32_t)v;
		r = EXEC(0x62, 0x03); /* bound eax, [ebx] */
		if (in)
			CHECK_OK(r);
		else
			CHECK_FAULT(r, VEC_BR);
		c->gpr[RAX] = (uint16_t)v;
		r = EXEC(0x66, 0x62, 0x43, 0x10);
		if (in)
			CHECK_OK(r);
		else
			CHECK_FAULT(r, VEC_BR);
	}
	CHECK_FAULT(EXEC(0xd4, 0x00), VEC_DE);

	ram[DATA + 0x81] = 0x42;
	c->gpr[RBX] = DATA;
	c->gpr[RAX] = 0x12345681;
	CHECK_OK(EXEC(0xd7));
	CHECK_EQ(c->gpr[RAX], 0x12345642);
	start_real();
	c->seg[SEG_DS].base = DATA;
	ram[DATA + 1] = 0x33;
	c->gpr[RBX] = 0xffff;
	c->gpr[RAX] = 2;
	CHECK_OK(EXEC(0xd7));
	CHECK_EQ(c->gpr[RAX], 0x33);
}

int main(void)
{
	machine_create();
	if (native_possible())
		test_decimal();
	else
		printf("SKIP decimal arithmetic: no 32-bit code here\n");
	test_stack_frames();
	test_enter();
	test_enter16();
	test_bound_xlat();
	return test_done();
}

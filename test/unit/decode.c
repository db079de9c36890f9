/* The decoder by hand: instructions with their expected description. */
#include "x86/insn.h"

#include <string.h>

#include "test/test.h"
#include "x86/feat.h"

struct decode_case {
	enum code_size cs;
	const char *bytes;
	uint8_t n;
	uint16_t id;
	uint8_t action, opsize, mem_access, mem_size;
};

#define B(s) s, sizeof(s) - 1

/* code, bytes, mnemonic, action, operand size, memory access and size */
static const struct decode_case cases[] = {
	{ CODE64, B("\x01\xd8"), ID_ADD, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\x48\x01\x18"), ID_ADD, ACT_COPY, 8, ACC_RW, 8 },
	{ CODE64, B("\x66\x03\x45\x08"), ID_ADD, ACT_COPY, 2, ACC_R, 2 },
	{ CODE16, B("\x03\x46\x08"), ID_ADD, ACT_COPY, 2, ACC_R, 2 },
	{ CODE16, B("\x66\x67\x03\x44\x24\x08"), ID_ADD, ACT_COPY, 4, ACC_R,
	  4 },
	{ CODE64, B("\xf0\x48\x0f\xb1\x0f"), ID_CMPXCHG, ACT_COPY, 8, ACC_RW,
	  8 },
	{ CODE64, B("\xf0\x48\x0f\xc7\x0f"), ID_CMPXCHG16B, ACT_COPY, 8, ACC_RW,
	  16 },
	{ CODE64, B("\x0f\xc7\x0f"), ID_CMPXCHG8B, ACT_COPY, 4, ACC_RW, 8 },
	{ CODE64, B("\x48\xb8\1\2\3\4\5\6\7\x88"), ID_MOV, ACT_COPY, 8, 0, 0 },
	{ CODE64, B("\x50"), ID_PUSH, ACT_STACK, 8, 0, 0 },
	{ CODE64, B("\x66\x50"), ID_PUSH, ACT_STACK, 2, 0, 0 },
	{ CODE32, B("\x50"), ID_PUSH, ACT_STACK, 4, 0, 0 },
	{ CODE64, B("\xff\x75\xf8"), ID_PUSH, ACT_STACK, 8, ACC_R, 8 },
	{ CODE64, B("\x8f\x00"), ID_POP, ACT_STACK, 8, ACC_W, 8 },
	{ CODE64, B("\xc9"), ID_LEAVE, ACT_STACK, 8, 0, 0 },
	{ CODE32, B("\x40"), ID_INC, ACT_COPY, 4, 0, 0 },
	{ CODE32, B("\x62\x01"), ID_BOUND, ACT_HELPER, 4, ACC_R, 8 },
	{ CODE32, B("\xc5\x01"), ID_LDS, ACT_HELPER, 4, ACC_R, 6 },
	{ CODE64, B("\x48\xff\x28"), ID_JMP_FAR, ACT_HELPER, 8, ACC_R, 10 },
	{ CODE64, B("\xff\x18"), ID_CALL_FAR, ACT_HELPER, 4, ACC_R, 6 },
	{ CODE64, B("\x74\xfe"), ID_JCC, ACT_BRANCH, 8, 0, 0 },
	{ CODE64, B("\x66\xe8\1\2\3\4"), ID_CALL, ACT_BRANCH, 8, 0, 0 },
	{ CODE32, B("\x66\xe8\1\2"), ID_CALL, ACT_BRANCH, 2, 0, 0 },
	{ CODE64, B("\xff\x20"), ID_JMP, ACT_BRANCH, 8, ACC_R, 8 },
	{ CODE64, B("\xf3\xc3"), ID_RET, ACT_BRANCH, 8, 0, 0 },
	{ CODE64, B("\xf3\x48\xa5"), ID_MOVS, ACT_STRING, 8, 0, 0 },
	{ CODE64, B("\x6c"), ID_INS, ACT_HELPER, 4, 0, 0 },
	{ CODE64, B("\x0f\x01\xf8"), ID_SWAPGS, ACT_HELPER, 4, 0, 0 },
	{ CODE32, B("\x0f\x01\xf8"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x0f\x01\x10"), ID_LGDT, ACT_HELPER, 8, ACC_R, 10 },
	{ CODE32, B("\x0f\x01\x10"), ID_LGDT, ACT_HELPER, 4, ACC_R, 6 },
	{ CODE64, B("\x0f\x00\x00"), ID_SLDT, ACT_HELPER, 4, ACC_W, 2 },
	{ CODE64, B("\x0f\x20\xc0"), ID_MOV_FROM_CR, ACT_HELPER, 8, 0, 0 },
	{ CODE64, B("\x0f\x22\x00"), ID_MOV_TO_CR, ACT_HELPER, 8, 0, 0 },
	{ CODE64, B("\x0f\x20\xc8"), ID_INVALID, ACT_UD, 8, 0, 0 },
	{ CODE64, B("\x44\x0f\x20\xc0"), ID_MOV_FROM_CR, ACT_HELPER, 8, 0, 0 },
	{ CODE64, B("\x8e\xd0"), ID_MOV_TO_SEG, ACT_HELPER, 4, 0, 0 },
	{ CODE64, B("\x8e\xc8"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x8c\xf0"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x0f\xae\x38"), ID_CLFLUSH, ACT_COPY, 4, ACC_R, 1 },
	{ CODE64, B("\x0f\xae\xe8"), ID_LFENCE, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\x0f\x18\x08"), ID_PREFETCH, ACT_NOP, 4, 0, 0 },
	{ CODE64, B("\xf3\x0f\x1e\xfa"), ID_ENDBR64, ACT_NOP, 4, 0, 0 },
	{ CODE64, B("\xf3\x90"), ID_PAUSE, ACT_HELPER, 4, 0, 0 },
	{ CODE64, B("\x90"), ID_NOP, ACT_NOP, 4, 0, 0 },
	{ CODE64, B("\x41\x90"), ID_XCHG, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\x8d\x44\x24\x08"), ID_LEA, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\x8d\xc0"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x66\x63\x00"), ID_MOVSXD, ACT_COPY, 2, ACC_R, 2 },
	{ CODE64, B("\x48\x63\x00"), ID_MOVSXD, ACT_COPY, 8, ACC_R, 4 },
	{ CODE32, B("\x63\x00"), ID_ARPL, ACT_HELPER, 4, ACC_RW, 2 },
	{ CODE64, B("\x0f\x0b"), ID_UD2, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\xf0\x89\x07"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\xf0\x01\xd8"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\xf0\x87\x07"), ID_XCHG, ACT_COPY, 4, ACC_RW, 4 },
	/* x87 */
	{ CODE64, B("\xd9\x00"), ID_FLD, ACT_COPY, 4, ACC_R, 4 },
	{ CODE64, B("\xdb\x28"), ID_FLD, ACT_COPY, 4, ACC_R, 10 },
	{ CODE64, B("\xd9\x30"), ID_FNSTENV, ACT_COPY, 4, ACC_W, 28 },
	{ CODE16, B("\xd9\x34"), ID_FNSTENV, ACT_COPY, 2, ACC_W, 14 },
	{ CODE64, B("\xdd\x30"), ID_FNSAVE, ACT_COPY, 4, ACC_W, 108 },
	{ CODE64, B("\x66\xdd\x20"), ID_FRSTOR, ACT_COPY, 2, ACC_R, 94 },
	{ CODE64, B("\xdf\xe0"), ID_FNSTSW, ACT_COPY, 4, 0, 0 },
	/* vectors */
	{ CODE64, B("\x0f\x28\x00"), ID_MOVAPS, ACT_COPY, 4, ACC_R, 16 },
	{ CODE64, B("\xf3\x0f\x11\x00"), ID_MOVSS, ACT_COPY, 4, ACC_W, 4 },
	{ CODE64, B("\x66\x48\x0f\x6e\xc0"), ID_MOVQ, ACT_COPY, 8, 0, 0 },
	{ CODE64, B("\xc5\xfc\x10\x00"), ID_VMOVUPS, ACT_COPY, 4, ACC_R, 32 },
	{ CODE64, B("\xc4\xe2\x7d\x18\x00"), ID_VBROADCASTSS, ACT_COPY, 4,
	  ACC_R, 4 },
	{ CODE64, B("\xc4\xe2\x71\x90\x04\x10"), ID_VPGATHERDD, ACT_HELPER, 4,
	  ACC_R, 4 },
	{ CODE64, B("\xc4\xe2\x79\x90\x04\x10"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\xc4\xe2\x78\xf7\xc0"), ID_BEXTR, ACT_COPY, 4, 0, 0 },
	{ CODE32, B("\xc4\xe2\xf8\xf7\xc0"), ID_BEXTR, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\xc5\xf8\x77"), ID_VZEROUPPER, ACT_COPY, 4, 0, 0 },
	{ CODE64, B("\x66\xc5\xf8\x28\xc0"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\xc5\xf0\x28\xc0"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x66\x0f\xf7\xc1"), ID_MASKMOVDQU, ACT_HELPER, 2, 0, 0 },
	{ CODE64, B("\xf2\x0f\x38\xf1\x00"), ID_CRC32, ACT_COPY, 4, ACC_R, 4 },
	/* EVEX, XOP, 3DNow!: never offered. */
	{ CODE64, B("\x62\xf1\x7c\x48\x10\x40\x01"), ID_INVALID, ACT_UD, 4, 0,
	  0 },
	{ CODE64, B("\x62\xf3\x7d\x48\x1f\xc0\x01"), ID_INVALID, ACT_UD, 4, 0,
	  0 },
	{ CODE64, B("\x8f\xe8\x78\xc0\xc0\x07"), ID_INVALID, ACT_UD, 4, 0, 0 },
	{ CODE64, B("\x0f\x0f\xc1\x9e"), ID_3DNOW, ACT_UD, 4, 0, 0 },
};

static enum decode_result decode(const char *bytes, unsigned int n,
				 enum code_size cs, struct insn *insn)
{
	return insn_decode((const uint8_t *)bytes, n, cs, insn);
}

static void test_cases(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct decode_case *c = &cases[i];
		unsigned int failed = test_failed;
		struct insn insn;

		CHECK_EQ(decode(c->bytes, c->n, c->cs, &insn), DECODE_OK);
		CHECK_EQ(insn.len, c->n);
		CHECK_EQ(insn.row->id, c->id);
		CHECK_EQ(insn.row->action, c->action);
		CHECK_EQ(insn.opsize, c->opsize);
		CHECK_EQ(insn.mem_access, c->mem_access);
		CHECK_EQ(insn.mem_size, c->mem_size);
		CHECK(!memcmp(insn.bytes, c->bytes, c->n));
		if (failed != (unsigned int)test_failed)
			printf("in case %zu: %s\n", i, insn.row->name);
	}
}

/* A shorter prefix asks for more; more bytes behind change nothing. */
static void test_truncated(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct decode_case *c = &cases[i];
		struct insn insn, longer;
		uint8_t page[64];

		for (unsigned int n = 0; n < c->n; n++)
			CHECK_EQ(decode(c->bytes, n, c->cs, &insn),
				 DECODE_MORE);
		memset(page, 0xf0, sizeof(page));
		memcpy(page, c->bytes, c->n);
		insn_decode(page, 15, c->cs, &insn);
		CHECK_EQ(insn_decode(page, sizeof(page), c->cs, &longer),
			 DECODE_OK);
		CHECK(!memcmp(&insn, &longer, sizeof(insn)));
	}
}

static void test_too_long(void)
{
	uint8_t bytes[16];
	struct insn insn;

	memset(bytes, 0x66, sizeof(bytes));
	CHECK_EQ(insn_decode(bytes, 15, CODE64, &insn), DECODE_TOO_LONG);
	CHECK_EQ(insn_decode(bytes, 14, CODE64, &insn), DECODE_MORE);
	bytes[13] = 0x01;
	bytes[14] = 0xc0;
	CHECK_EQ(insn_decode(bytes, 15, CODE64, &insn), DECODE_OK);
	CHECK_EQ(insn.len, 15);
	/* One byte of displacement too many. */
	bytes[14] = 0x40;
	CHECK_EQ(insn_decode(bytes, 16, CODE64, &insn), DECODE_TOO_LONG);
}

static void test_addresses(void)
{
	struct insn insn;

	/* mov 0x12345678(%rip), %eax */
	decode(B("\x8b\x05\x78\x56\x34\x12"), CODE64, &insn);
	CHECK(insn.has_mem && insn.rip_rel);
	CHECK_EQ(insn.base, GPR_NONE);
	CHECK_EQ(insn.disp, 0x12345678);
	CHECK_EQ(insn.off_disp, 2);
	CHECK_EQ(insn.disp_len, 4);
	/* mov -8(%rbp,%r9,4), %eax */
	decode(B("\x42\x8b\x44\x8d\xf8"), CODE64, &insn);
	CHECK_EQ(insn.base, RBP);
	CHECK_EQ(insn.index, R9);
	CHECK_EQ(insn.scale, 2);
	CHECK_EQ(insn.disp, -8);
	CHECK_EQ(insn.seg, SEG_SS);
	/* R13 and R12 are no stack registers. */
	decode(B("\x41\x8b\x45\x00"), CODE64, &insn);
	CHECK_EQ(insn.base, R13);
	CHECK_EQ(insn.seg, SEG_DS);
	/* mov %cs:(%bp,%di), %ax: the override wins, in 64-bit mode not. */
	decode(B("\x2e\x8b\x03"), CODE16, &insn);
	CHECK_EQ(insn.base, RBP);
	CHECK_EQ(insn.index, RDI);
	CHECK_EQ(insn.seg, SEG_CS);
	decode(B("\x2e\x8b\x03"), CODE64, &insn);
	CHECK_EQ(insn.seg_ovr, SEG_NONE);
	CHECK_EQ(insn.seg, SEG_DS);
	decode(B("\x64\x2e\x8b\x03"), CODE64, &insn);
	CHECK_EQ(insn.seg, SEG_FS);
	/* movabs %al, 0x1122334455667788 */
	decode(B("\xa2\x88\x77\x66\x55\x44\x33\x22\x11"), CODE64, &insn);
	CHECK_EQ(insn.op[0].kind, OPK_MEM);
	CHECK_EQ(insn.op[0].enc, ENC_MOFFS);
	CHECK_EQ(insn.disp, 0x1122334455667788);
	CHECK_EQ(insn.mem_access, ACC_W);
	/* 16-bit absolute address is not sign-extended for moffs. */
	decode(B("\xa0\x00\x90"), CODE16, &insn);
	CHECK_EQ(insn.disp, 0x9000);
	/* VSIB: index 4 is a register. */
	decode(B("\xc4\xe2\x71\x90\x04\x20"), CODE64, &insn);
	CHECK_EQ(insn.index, 4);
}

static void test_operands(void)
{
	struct insn insn;

	/* mov %ah, %dl; with REX it is %spl. */
	decode(B("\x88\xe2"), CODE64, &insn);
	CHECK(insn.op[1].high8);
	CHECK_EQ(insn.op[1].reg, RAX);
	decode(B("\x40\x88\xe2"), CODE64, &insn);
	CHECK(!insn.op[1].high8);
	CHECK_EQ(insn.op[1].reg, RSP);
	/* REX before another prefix is ignored. */
	decode(B("\x48\x66\x01\xc0"), CODE64, &insn);
	CHECK_EQ(insn.opsize, 2);
	CHECK_EQ(insn.rex, 0);
	/* Immediates are sign-extended as used. */
	decode(B("\x48\x83\xc0\xff"), CODE64, &insn);
	CHECK_EQ(insn.imm, -1);
	CHECK_EQ(insn.off_imm, 3);
	decode(B("\xcd\x80"), CODE64, &insn);
	CHECK_EQ(insn.imm, 0x80);
	decode(B("\xc2\xf0\xff"), CODE64, &insn);
	CHECK_EQ(insn.imm, 0xfff0);
	decode(B("\xc8\x10\x80\x05"), CODE64, &insn);
	CHECK_EQ(insn.imm, 0x8010);
	CHECK_EQ(insn.imm2, 5);
	CHECK_EQ(insn.imm_len, 3);
	decode(B("\xea\x11\x22\x33\x44\x55\x66"), CODE32, &insn);
	CHECK_EQ(insn.imm, 0x44332211);
	CHECK_EQ(insn.imm2, 0x6655);
	CHECK_EQ(insn.op[0].kind, OPK_FAR);
	/* shl %cl, %eax and sar $1, %eax. */
	decode(B("\xd3\xe0"), CODE64, &insn);
	CHECK_EQ(insn.op[1].kind, OPK_GPR);
	CHECK_EQ(insn.op[1].reg, RCX);
	CHECK_EQ(insn.op[1].enc, ENC_NONE);
	decode(B("\xd1\xf8"), CODE64, &insn);
	CHECK_EQ(insn.imm, 1);
	/* vblendvps %xmm3, %xmm2, %xmm1, %xmm0 */
	decode(B("\xc4\xe3\x71\x4a\xc2\x30"), CODE64, &insn);
	CHECK_EQ(insn.nops, 4);
	CHECK_EQ(insn.op[3].enc, ENC_IS4);
	CHECK_EQ(insn.op[3].reg, 3);
	CHECK_EQ(insn.op[1].reg, 1);
	/* movs: the source may be overridden, the destination not. */
	decode(B("\x64\xa4"), CODE64, &insn);
	CHECK_EQ(insn.op[0].kind, OPK_STR_DST);
	CHECK_EQ(insn.op[1].kind, OPK_STR_SRC);
	CHECK_EQ(insn.seg, SEG_FS);
}

static void test_flags(void)
{
	struct insn insn;

	/* The condition of Jcc, SETcc and CMOVcc. */
	decode(B("\x7c\x00"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_r, FL_SF | FL_OF);
	decode(B("\x0f\x97\xc0"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_r, FL_CF | FL_ZF);
	decode(B("\x0f\x44\xc0"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_r, FL_ZF);
	CHECK_EQ(insn.op[0].access, ACC_RW);
	/* A shift by a constant zero (masked) writes no flags. */
	decode(B("\xc1\xe0\x04"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_w, FL_CF | FL_PF | FL_ZF | FL_SF);
	CHECK_EQ(insn.row->flags_r, 0);
	decode(B("\xc1\xe0\x20"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_w | insn.row->flags_u, 0);
	CHECK_EQ(insn.row->id, ID_SHL);
	decode(B("\x48\xc1\xe0\x20"), CODE64, &insn);
	CHECK(insn.row->flags_w);
	decode(B("\x0f\xa4\xc0\x00"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_w | insn.row->flags_u, 0);
	/* By CL the old flags may stay. */
	decode(B("\xd3\xe0"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_r, FL_STATUS);
	decode(B("\xff\xc0"), CODE64, &insn);
	CHECK_EQ(insn.row->flags_w, FL_STATUS & ~FL_CF);
}

int main(void)
{
	test_cases();
	test_truncated();
	test_too_long();
	test_addresses();
	test_operands();
	test_flags();
	return test_done();
}

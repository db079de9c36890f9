/*
 * libFuzzer target: insn_decode on arbitrary bytes.  The first byte chooses the
 * code size.  The instruction's bytes end at a page that cannot be read, and
 * are decoded with every number of available bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "x86/insn.h"

#define MAX_LEN 15

#define REQUIRE(cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			abort();                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes @avail bytes that stand directly before a guard page. */
static enum decode_result decode(const uint8_t *bytes, unsigned int avail,
				 enum code_size cs, struct insn *insn)
{
	static uint8_t *end;

	if (!end) {
		end = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		REQUIRE(end != MAP_FAILED);
		end += PAGE_SIZE;
		REQUIRE(!mprotect(end, PAGE_SIZE, PROT_NONE));
	}
	memcpy(end - avail, bytes, avail);
	memset(insn, 0xa5, sizeof(*insn));
	return insn_decode(end - avail, avail, cs, insn);
}

static bool is_size(unsigned int n)
{
	return n == 2 || n == 4 || n == 8;
}

static bool is_part(unsigned int off, unsigned int len, unsigned int insn_len)
{
	return off ? len && off + len <= insn_len : !len;
}

static void check_layout(const struct insn *i, const uint8_t *bytes)
{
	REQUIRE(i->len >= 1 && i->len <= MAX_LEN);
	REQUIRE(!memcmp(i->bytes, bytes, i->len));
	REQUIRE(i->row && i->row->id < NR_INSN_IDS && i->row->name);
	REQUIRE(i->row->action <= ACT_UD);
	REQUIRE(i->off_opcode < i->len);
	REQUIRE(i->bytes[i->off_opcode] == i->opcode);
	REQUIRE(i->off_modrm < i->len);
	REQUIRE(i->off_disp + i->disp_len <= i->len);
	REQUIRE(i->off_imm + i->imm_len <= i->len);
	REQUIRE(i->nops <= MAX_OPERANDS);
	REQUIRE(is_size(i->opsize) && is_size(i->addrsize));
	REQUIRE(i->addrsize != 8 || i->code_size == CODE64);
	REQUIRE(i->addrsize != 2 || i->code_size != CODE64);
	REQUIRE(!i->rex || i->code_size == CODE64);
}

static void check_operand(const struct insn *i, const struct operand *op)
{
	REQUIRE(op->kind > OPK_NONE && op->kind <= OPK_STR_DST);
	REQUIRE(op->enc <= ENC_MOFFS);
	REQUIRE(op->access <= ACC_RW);
	switch (op->kind) {
	case OPK_GPR:
		REQUIRE(op->reg < (i->code_size == CODE64 ? 16 : 8));
		REQUIRE(!op->high8 ||
			(op->reg < 4 && op->size == 1 && !i->rex));
		break;
	case OPK_VEC:
		REQUIRE(op->reg < (i->code_size == CODE64 ? 16 : 8));
		break;
	case OPK_MMX:
	case OPK_ST:
		REQUIRE(op->reg < 8);
		break;
	case OPK_SEG:
		REQUIRE(op->reg <= SEG_GS);
		break;
	case OPK_CR:
	case OPK_DR:
		REQUIRE(op->reg < 16);
		break;
	case OPK_MEM:
		REQUIRE(i->has_mem);
		break;
	}
}

/* What holds for instructions that are defined. */
static void check_meaning(const struct insn *i)
{
	uint32_t attr = i->row->attr;

	REQUIRE(is_part(i->off_disp, i->disp_len, i->len));
	REQUIRE(is_part(i->off_imm, i->imm_len, i->len));
	REQUIRE(i->has_modrm == !!i->off_modrm);
	REQUIRE(!i->has_modrm || i->bytes[i->off_modrm] == i->modrm);
	REQUIRE(i->code_size == CODE64 ? !(attr & IA_NO64)
				       : !(attr & IA_ONLY64));
	REQUIRE(!i->lock || ((attr & IA_LOCK) && i->has_mem));
	REQUIRE(i->seg_ovr == SEG_NONE || i->seg_ovr <= SEG_GS);
	if (i->code_size == CODE64)
		REQUIRE(i->seg_ovr >= SEG_FS);
	if (i->has_mem) {
		REQUIRE(i->seg <= SEG_GS && i->scale <= 3);
		REQUIRE(i->base < NR_GPRS || i->base == GPR_NONE);
		REQUIRE(i->index < NR_GPRS || i->index == GPR_NONE);
		REQUIRE(i->index != RSP || (attr & IA_VSIB));
		REQUIRE(!i->rip_rel ||
			(i->code_size == CODE64 && i->base == GPR_NONE &&
			 i->index == GPR_NONE));
	}
	for (int n = 0; n < i->nops; n++)
		check_operand(i, &i->op[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum code_size sizes[] = { CODE16, CODE32, CODE64,
						CODE64 };
	struct insn full, part;
	enum decode_result r;
	enum code_size cs;
	unsigned int avail;

	if (size < 2)
		return 0;
	cs = sizes[*data & 3];
	data++;
	avail = size - 1 < MAX_LEN ? size - 1 : MAX_LEN;
	r = decode(data, avail, cs, &full);
	REQUIRE(r != DECODE_MORE || avail < MAX_LEN);
	REQUIRE(r != DECODE_TOO_LONG || avail == MAX_LEN);
	if (r == DECODE_OK) {
		REQUIRE(full.len <= avail && full.code_size == cs);
		check_layout(&full, data);
		if (full.row->action != ACT_UD)
			check_meaning(&full);
	}
	/* Bytes behind an instruction do not matter, fewer are not enough. */
	for (unsigned int n = 1; n < avail; n++) {
		enum decode_result s = decode(data, n, cs, &part);

		if (r != DECODE_OK || n < full.len) {
			REQUIRE(s == DECODE_MORE);
			continue;
		}
		REQUIRE(s == DECODE_OK && part.len == full.len);
		memcpy(part.bytes, full.bytes, sizeof(part.bytes));
		REQUIRE(!memcmp(&part, &full, sizeof(part)));
	}
	return 0;
}

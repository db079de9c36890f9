#include "x86/table.h"

/* Addressing forms (SDM 2 "Addressing-Mode Encoding of ModR/M and SIB"). */

static const uint8_t *get_disp(struct insn *insn, const uint8_t *p,
			       const uint8_t *start, unsigned int len)
{
	int16_t disp16;
	int32_t disp32;

	if (!len)
		return p;
	insn->disp_len = len;
	insn->off_disp = p - start;
	if (len == 1) {
		insn->disp = (int8_t)*p;
	} else if (len == 2) {
		__builtin_memcpy(&disp16, p, 2);
		insn->disp = disp16;
	} else {
		__builtin_memcpy(&disp32, p, 4);
		insn->disp = disp32;
	}
	return p + len;
}

static const uint8_t *modrm16(struct insn *insn, const uint8_t *p,
			      const uint8_t *start)
{
	static const uint8_t bases[8] = {
		RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX
	};
	static const uint8_t indexes[8] = { RSI,      RDI,	RSI,
					    RDI,      GPR_NONE, GPR_NONE,
					    GPR_NONE, GPR_NONE };
	unsigned int rm = insn->modrm & 7;

	if (insn->mod == 0 && rm == 6)
		return get_disp(insn, p, start, 2);
	insn->base = bases[rm];
	insn->index = indexes[rm];
	return get_disp(insn, p, start, insn->mod);
}

const uint8_t *modrm_decode(struct insn *insn, const uint8_t *p,
			    const uint8_t *start, unsigned int rex)
{
	static const uint8_t disp_lens[4] = { 0, 1, 4, 0 };
	unsigned int disp_len = disp_lens[insn->mod];
	unsigned int rm = insn->modrm & 7, sib;

	insn->has_mem = true;
	if (unlikely(insn->addrsize == 2)) {
		p = modrm16(insn, p, start);
		goto out;
	}
	if (rm == 4) {
		sib = *p++;
		insn->scale = sib >> 6;
		rm = sib & 7;
		insn->index = (sib >> 3 & 7) | (rex & 2) << 2;
		if (insn->index == RSP && !(insn->row->attr & IA_VSIB))
			insn->index = GPR_NONE;
		if (rm == 5 && insn->mod == 0)
			disp_len = 4;
		else
			insn->base = rm | (rex & 1) << 3;
	} else if (rm == 5 && insn->mod == 0) {
		disp_len = 4;
		insn->rip_rel = insn->code_size == CODE64;
	} else {
		insn->base = rm | (rex & 1) << 3;
	}
	p = get_disp(insn, p, start, disp_len);
out:
	/* The default segment of rBP- and rSP-based addresses is SS. */
	if (insn->seg_ovr == SEG_NONE &&
	    (insn->base == RBP || insn->base == RSP))
		insn->seg = SEG_SS;
	return p;
}

#include "dbt/xlat.h"

/*
 * ACT_COPY: the guest's instruction with registers renamed and its memory
 * operand replaced by [t0 + t1], or by [t0] when t1 is needed otherwise.
 */

/* A general register of the instruction and where it lives meanwhile. */
struct reg_use {
	uint8_t guest;
	uint8_t host;
	bool temp; /* not its home: loaded before, stored after */
	bool store;
	bool byte; /* used as a byte operand */
};

struct copy {
	const struct insn *i;
	bool mem; /* has a memory operand that is accessed */
	bool rcx; /* implicit RCX or CL */
	bool rcx_written;
	bool norex; /* AH, CH, DH or BH: no REX prefix possible */
	bool t0_free, t1_free;
	struct memref ref;
	uint16_t used; /* host registers in use */
	unsigned int n;
	struct reg_use use[MAX_OPERANDS];
};

static struct reg_use *find_use(struct copy *k, unsigned int guest)
{
	for (unsigned int n = 0; n < k->n; n++)
		if (k->use[n].guest == guest)
			return &k->use[n];
	return NULL;
}

static void collect(struct copy *k)
{
	const struct insn *i = k->i;
	uint32_t impl = i->row->impl_r | i->row->impl_w;

	k->rcx = impl & BIT(RCX);
	k->rcx_written = i->row->impl_w & BIT(RCX);
	k->used = impl & (BIT(RAX) | BIT(RDX) | BIT(RBX) | BIT(RSI) | BIT(RDI));
	for (unsigned int n = 0; n < i->nops; n++) {
		const struct operand *o = &i->op[n];
		struct reg_use *u;

		if (o->kind != OPK_GPR)
			continue;
		if (o->enc == ENC_NONE) {
			if (o->reg == RCX) {
				k->rcx = true;
				k->rcx_written |= o->access & ACC_W;
			} else {
				k->used |= BIT(o->reg);
			}
			continue;
		}
		u = find_use(k, o->reg);
		if (!u) {
			u = &k->use[k->n++];
			*u = (struct reg_use){ .guest = o->reg };
		}
		u->store |= o->access & ACC_W;
		u->byte |= o->size == 1;
		k->norex |= o->high8;
	}
}

/* A register that the instruction does not use, to be lent. */
static enum hreg pick_spill(const struct copy *k)
{
	static const uint8_t order[] = { H_RDI, H_RSI, H_RBX, H_RDX, H_RAX,
					 H_R8,	H_R9,  H_R12, H_R13, H_R14 };

	for (unsigned int n = 0; n < ARRAY_SIZE(order); n++)
		if (!(k->used & BIT(order[n])) && !(k->norex && order[n] >= 8))
			return order[n];
	return H_NONE;
}

static bool assign_temp(struct xlat *x, struct copy *k, struct reg_use *u)
{
	u->temp = true;
	if (k->t1_free) {
		k->t1_free = false;
		u->host = H_RCX;
	} else if (k->t0_free && !(k->norex && u->byte)) {
		k->t0_free = false;
		u->host = H_RBP;
	} else {
		if (x->spill != H_NONE || (k->norex && u->byte))
			return false;
		u->host = pick_spill(k);
		x->spill = u->host;
		if (u->host == H_NONE)
			return false;
	}
	k->used |= BIT(u->host);
	return true;
}

static bool wants_temp(const struct xlat *x, const struct copy *k,
		       const struct reg_use *u)
{
	unsigned int h = x->home[u->guest];

	return h == IN_MEMORY || (k->norex && h >= 8);
}

static bool assign(struct xlat *x, struct copy *k)
{
	/* Fixed ones first, so that a lent register is none of them. */
	for (unsigned int n = 0; n < k->n; n++) {
		struct reg_use *u = &k->use[n];

		if (u->guest == RCX && k->rcx) {
			u->host = H_RCX;
			k->rcx_written |= u->store;
		} else if (!wants_temp(x, k, u)) {
			u->host = x->home[u->guest];
			k->used |= BIT(u->host);
		}
	}
	/* Byte operands without REX can only go to RCX: they choose first. */
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned int n = 0; n < k->n; n++) {
			struct reg_use *u = &k->use[n];

			if (u->temp || (u->guest == RCX && k->rcx) ||
			    !wants_temp(x, k, u) || (pass == 0 && !u->byte))
				continue;
			if (!assign_temp(x, k, u))
				return false;
		}
	}
	return true;
}

static void load_home(struct xlat *x, const struct reg_use *u)
{
	if (x->home[u->guest] == IN_MEMORY)
		emit_gs_load(&x->e, u->host, GPR_OFF(u->guest), 8);
	else
		emit_mov_rr(&x->e, u->host, x->home[u->guest], 8);
}

static void store_home(struct xlat *x, const struct reg_use *u)
{
	if (x->home[u->guest] == IN_MEMORY)
		emit_gs_store(&x->e, u->host, GPR_OFF(u->guest), 8);
	else
		emit_mov_rr(&x->e, x->home[u->guest], u->host, 8);
}

static const struct operand *operand_enc(const struct insn *i, unsigned int enc)
{
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].enc == enc)
			return &i->op[n];
	return NULL;
}

/* Register number for an encoding field: renamed if it is a GPR. */
static unsigned int field(struct copy *k, unsigned int enc, unsigned int raw)
{
	const struct operand *o = operand_enc(k->i, enc);

	if (!o)
		return raw & 7;
	if (o->kind != OPK_GPR)
		return raw;
	if (o->high8)
		return o->reg + 4; /* AH, CH, DH, BH are 4..7 */
	return find_use(k, o->reg)->host;
}

static bool needs_plain_rex(struct copy *k)
{
	if (k->norex)
		return false;
	for (unsigned int n = 0; n < k->n; n++)
		if (k->use[n].byte && k->use[n].host >= 4 && k->use[n].host < 8)
			return true;
	return false;
}

static void put_modrm(struct emit *e, struct copy *k, unsigned int reg,
		      unsigned int rm)
{
	if (!k->mem) {
		emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
		return;
	}
	emit_mem(e, reg, k->ref.base, k->ref.index, k->ref.scale, k->ref.disp);
}

/* Number of the index register of the memory operand, for its prefix bit. */
static unsigned int index_bits(const struct copy *k)
{
	return k->mem && k->ref.index != H_NONE ? k->ref.index : 0;
}

static void put_vex(struct emit *e, struct copy *k, unsigned int reg,
		    unsigned int rm)
{
	const struct insn *i = k->i;
	const struct operand *o = operand_enc(i, ENC_VVVV);
	unsigned int v = i->vvvv;

	if (o && o->kind == OPK_GPR)
		v = find_use(k, o->reg)->host;
	emit8(e, 0xc4);
	emit8(e, (~reg & 8) << 4 | (~index_bits(k) & 8) << 3 | (~rm & 8) << 2 |
			 i->map);
	emit8(e, i->vex_w << 7 | (~v & 15) << 3 | i->vex_l << 2 | i->vex_pp);
	emit8(e, i->opcode);
}

/*
 * 66 in the host's 64-bit code: as in the guest's, except that 16-bit code has
 * 16-bit operands without it, unless it is part of the opcode.
 */
static bool needs_66(const struct insn *i)
{
	if (i->code_size != CODE16 || insn_66_in_opcode(i->row) ||
	    (i->row->attr & (IA_SSE | IA_MMX)))
		return i->p66;
	return i->opsize == 2;
}

static void put_legacy(struct emit *e, struct copy *k, uint8_t opcode,
		       unsigned int reg, unsigned int rm)
{
	const struct insn *i = k->i;
	uint8_t rex = (i->rex & 8) | (reg & 8) >> 1 | (index_bits(k) & 8) >> 2 |
		      (rm & 8) >> 3;

	if (i->lock)
		emit8(e, 0xf0);
	if (needs_66(i))
		emit8(e, 0x66);
	if (i->rep)
		emit8(e, i->rep);
	if (rex || needs_plain_rex(k))
		emit8(e, 0x40 | rex);
	if (i->map)
		emit8(e, 0x0f);
	if (i->map == 2)
		emit8(e, 0x38);
	else if (i->map == 3)
		emit8(e, 0x3a);
	emit8(e, opcode);
}

static void put_imm(struct emit *e, const struct insn *i)
{
	if (!i->imm_len)
		return;
	emit_bytes(e, i->bytes + i->off_imm, i->imm_len);
	/* Only eight registers outside 64-bit mode. */
	if (i->code_size != CODE64 && operand_enc(i, ENC_IS4))
		e->w[-1] &= 0x7f;
}

/* The instruction itself. */
static void encode(struct emit *e, struct copy *k)
{
	const struct insn *i = k->i;
	const struct operand *oreg = operand_enc(i, ENC_OPCODE);
	unsigned int reg = 0, rm = 0;

	if (operand_enc(i, ENC_MOFFS)) {
		/* MOV accumulator, moffs: as the ModRM form */
		put_legacy(e, k,
			   (i->opcode & 2 ? 0x88 : 0x8a) | (i->opcode & 1), RAX,
			   k->ref.base);
		put_modrm(e, k, RAX, 0);
		return;
	}
	if (oreg) {
		rm = field(k, ENC_OPCODE, 0);
		if (i->map == 0 && (i->opcode & 0xf0) == 0x40) {
			/* one-byte INC and DEC are REX prefixes here */
			put_legacy(e, k, 0xff, 0, rm);
			put_modrm(e, k, (i->opcode >> 3) & 1, rm);
			return;
		}
		put_legacy(e, k, (i->opcode & 0xf8) | (rm & 7), 0, rm);
		put_imm(e, i);
		return;
	}
	if (i->has_modrm) {
		reg = field(k, ENC_REG, i->reg);
		rm = k->mem ? k->ref.base : field(k, ENC_RM, i->rm);
	}
	if (i->vex)
		put_vex(e, k, reg, rm);
	else /* 82 is another name of 80 that 64-bit mode does not know */
		put_legacy(e, k,
			   !i->map && i->opcode == 0x82 ? 0x80 : i->opcode, reg,
			   rm);
	if (i->has_modrm)
		put_modrm(e, k, reg, rm);
	put_imm(e, i);
}

/* The memory operand alone in t0. */
static const struct memref collapsed = { T0, H_NONE, 0, 0 };

/* BT family with a register offset: t0 = last byte of the accessed word. */
static bool bit_offset_ea(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	unsigned int reg = i->op[1].reg;
	enum hreg src = x->home[reg];

	if (i->opsize == 2 || i->addrsize == 2 || x->snippet)
		return false;
	emit_gs_store(e, T0, SLOT_OFF(D_TMP), 8);
	if (src == IN_MEMORY) {
		emit_gs_load(e, T0, GPR_OFF(reg), 8);
		src = T0;
	}
	emit_mov_ri(e, T1, i->opsize == 8 ? 6 : 5);
	emit_sarx(e, T1, src, T1, i->opsize);
	if (i->opsize == 4)
		emit_movsxd(e, T1, T1);
	if (src == T0)
		emit_gs_load(e, T0, SLOT_OFF(D_TMP), 8);
	emit_lea(e, T0, T0, T1, i->opsize == 8 ? 3 : 2, i->mem_size - 1,
		 i->addrsize == 8 ? 8 : 4);
	return true;
}

/* The silicon adds the bit offset again: the reference is to the plain base. */
static bool bit_offset_operand(struct xlat *x, const struct insn *i)
{
	xlat_ea(x, i, 0, false);
	if (i->seg == SEG_FS || i->seg == SEG_GS || !bit_offset_ea(x, i))
		return false;
	xlat_tlb(x, i->mem_size, i->mem_access & ACC_W, true, false);
	emit_gs_load(&x->e, T0, SLOT_OFF(D_TMP), 8);
	return true;
}

static bool memory_operand(struct xlat *x, struct copy *k)
{
	const struct insn *i = k->i;
	bool bitoff = i->row->attr & IA_BITOFF;
	bool temps = k->rcx || x->snippet;

	for (unsigned int n = 0; n < k->n; n++)
		temps |= wants_temp(x, k, &k->use[n]);
	k->ref = collapsed;
	k->t0_free = false;
	k->t1_free = !k->rcx;
	if (x->snippet)
		return true;
	if (!xlat_seg_ok(x, i) || !i->mem_size || i->mem_size > 512)
		return false;
	if (bitoff) {
		if (!bit_offset_operand(x, i))
			return false;
		k->ref = (struct memref){ T0, T1, 0, 0 };
	} else {
		k->ref = xlat_operand(x, i, i->mem_size, i->mem_access & ACC_W);
	}
	/* AH, BH, CH and DH rule REX out. */
	if (k->norex && (k->ref.base >= 8 || (index_bits(k) & 8)))
		temps = true;
	if (temps) {
		emit_lea(&x->e, T0, k->ref.base, k->ref.index, k->ref.scale,
			 k->ref.disp, 8);
		k->ref = collapsed;
	} else {
		k->t1_free = false;
	}
	return true;
}

static bool xlat_lea(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	enum hreg dst = x->home[i->op[0].reg];

	xlat_ea(x, i, 0, false);
	if (dst == IN_MEMORY) {
		if (i->opsize == 4)
			emit_mov_rr(e, T0, T0, 4);
		emit_gs_store(e, T0, GPR_OFF(i->op[0].reg),
			      i->opsize == 2 ? 2 : 8);
	} else if (i->opsize == 2) {
		emit8(e, 0x66);
		emit_mov_rr(e, dst, T0, 4);
	} else {
		emit_mov_rr(e, dst, T0, i->opsize);
	}
	return true;
}

/* LEA without memory registers, in one instruction. */
static bool lea_direct(struct xlat *x, const struct insn *i)
{
	enum hreg dst = x->home[i->op[0].reg];
	unsigned int b = i->base, n = i->index;

	if (i->opsize == 2 || i->addrsize == 2 || dst == IN_MEMORY ||
	    i->rip_rel || (b == GPR_NONE && n == GPR_NONE))
		return false;
	if ((b != GPR_NONE && x->home[b] == IN_MEMORY) ||
	    (n != GPR_NONE && x->home[n] == IN_MEMORY))
		return false;
	emit_lea(&x->e, dst, b == GPR_NONE ? H_NONE : x->home[b],
		 n == GPR_NONE ? H_NONE : x->home[n], i->scale, i->disp,
		 i->opsize == 8 && i->addrsize == 8 ? 8 : 4);
	return true;
}

/*
 * VZEROALL and VZEROUPPER outside 64-bit mode, where only eight registers
 * exist: register by register, by VPXOR and VMOVAPS.
 */
static bool xlat_vzero(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;

	xlat_islands(x, 45, false);
	for (unsigned int n = 0; n < 8; n++) {
		bool all = i->row->id == ID_VZEROALL;

		emit8(e, 0xc5);
		emit8(e, all ? 0x81 | (~n & 15) << 3 : 0xf8);
		emit8(e, all ? 0xef : 0x28);
		emit8(e, 0xc0 | n << 3 | n);
	}
	return true;
}

static bool is_vzero(const struct insn *i)
{
	return i->row->id == ID_VZEROALL || i->row->id == ID_VZEROUPPER;
}

static bool uses_t1(const struct copy *k)
{
	for (unsigned int n = 0; n < k->n; n++)
		if (k->use[n].host == H_RCX)
			return true;
	return k->rcx;
}

bool xlat_copy(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	struct copy k = { .i = i,
			  .mem = i->has_mem && !(i->row->attr & IA_NOMEM),
			  .t0_free = true };

	if (i->row->id == ID_LEA) {
		x->t1_next = x->t1_win;
		if (lea_direct(x, i))
			return true;
		x->t1_next = NO_WINDOW;
		return xlat_lea(x, i);
	}
	if (i->code_size != CODE64 && is_vzero(i))
		return xlat_vzero(x, i);
	collect(&k);
	if (!k.mem)
		x->t1_next = x->t1_win;
	k.t1_free = !k.rcx;
	k.used |= BIT(H_RSP) | BIT(H_RBP) | BIT(H_RCX);
	if (k.mem && !memory_operand(x, &k))
		return false;
	if (!assign(x, &k))
		return false;
	if (uses_t1(&k))
		x->t1_next = NO_WINDOW;
	xlat_islands(x, 45, false);
	if (x->spill != H_NONE)
		emit_gs_store(e, x->spill, SLOT_OFF(D_SPILL), 8);
	if (k.rcx)
		emit_mov_rr(e, H_RCX, x->home[RCX], 8);
	for (unsigned int n = 0; n < k.n; n++)
		if (k.use[n].temp)
			load_home(x, &k.use[n]);
	xlat_islands(x, 20, false);
	encode(e, &k);
	xlat_islands(x, 40, false);
	if (k.rcx_written)
		emit_mov_rr(e, x->home[RCX], H_RCX, 8);
	for (unsigned int n = 0; n < k.n; n++)
		if (k.use[n].temp && k.use[n].store)
			store_home(x, &k.use[n]);
	if (x->spill != H_NONE)
		emit_gs_load(e, x->spill, SLOT_OFF(D_SPILL), 8);
	return true;
}

#include "cpu/op.h"
#include "dbt/xlat.h"
#include "host/gsbase.h"

/*
 * Instructions that concern the processor's privileged state.  The frequent
 * ones are a few host instructions on struct cpu, where the mode of translation
 * says that they cannot fault; all others are a call of C code (dbt/light.c).
 * The block goes on behind those that change neither mode nor mappings.
 */
#define FX_SIZE		512
#define SEG_BASE_OFF(s) (CPU_OFF(seg) + (uint32_t)sizeof(struct seg) * (s))

/* --- Calls --- */

static bool call_goes_on(const struct insn *i)
{
	return !(i->row->attr & IA_END) && cpu_ops[i->row->id];
}

static uint64_t next_rip(const struct xlat *x)
{
	return x->code_size == CODE64 ? x->next : (uint32_t)x->next;
}

void xlat_light_call(struct xlat *x, const struct insn *i)
{
	struct light_site *s = meta_alloc(x->d, sizeof(*s));

	if (!s) {
		x->failed = true;
		return;
	}
	*s = (struct light_site){
		.at = xlat_rip_stub(x, x->rip),
		.next = next_rip(x),
		.op = cpu_ops[i->row->id],
		.reason = exit_of_insn(i->row->id),
		.cpl0 = i->row->attr & IA_CPL0,
		.goes_on = call_goes_on(i),
		.insn = *i,
	};
	xlat_cold(x, COLD_LIGHT, emit_call_patch(&x->e))->light = s;
}

void xlat_cold_light(struct xlat *x, const struct cold *c)
{
	emit_mov_ri(&x->e, T0, (uintptr_t)c->light);
	emit_jmp(&x->e, x->d->thunk_light);
}

/* --- In line --- */

void xlat_count(struct xlat *x, const struct insn *i)
{
	uint32_t off = CPU_OFF(exits) + 8 * exit_of_insn(i->row->id);
	struct emit *e = &x->e;

	emit_gs_load(e, T0, off, 8);
	emit_lea(e, T0, T0, H_NONE, 0, 1, 8);
	emit_gs_store(e, T0, off, 8);
}

/* t0 = RFLAGS without the one flag that slot @mask leaves out. */
static void flags_without(struct xlat *x, enum dbt_slot mask)
{
	struct emit *e = &x->e;

	emit_gs_load(e, T0, CPU_OFF(rflags), 8);
	emit_gs_pext(e, T0, T0, SLOT_OFF(mask));
	emit_gs_pdep(e, T0, T0, SLOT_OFF(mask));
}

/* Guest register @reg = host register @from (t0 or t1), zero-extended. */
static void store_gpr(struct xlat *x, unsigned int reg, enum hreg from,
		      unsigned int size)
{
	struct emit *e = &x->e;

	if (host_of[reg] != IN_MEMORY) {
		emit_mov_rr(e, host_of[reg], from, size);
		return;
	}
	if (size == 4)
		emit_mov_rr(e, from, from, 4);
	emit_gs_store(e, from, GPR_OFF(reg), 8);
}

static void in_swapgs(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;

	emit_gs_load(e, T0, SEG_BASE_OFF(SEG_GS), 8);
	emit_gs_load(e, T1, CPU_OFF(kernel_gs_base), 8);
	emit_gs_store(e, T0, CPU_OFF(kernel_gs_base), 8);
	emit_gs_store(e, T1, SEG_BASE_OFF(SEG_GS), 8);
}

static unsigned int base_seg(const struct insn *i)
{
	return i->row->id == ID_RDFSBASE || i->row->id == ID_WRFSBASE ? SEG_FS
								      : SEG_GS;
}

static void in_rdbase(struct xlat *x, const struct insn *i)
{
	emit_gs_load(&x->e, T0, SEG_BASE_OFF(base_seg(i)),
		     i->opsize == 8 ? 8 : 4);
	store_gpr(x, i->op[0].reg, T0, 8);
}

/* t0 = source; a non-canonical one goes to the helper, for #GP. */
static void in_wrbase(struct xlat *x, const struct insn *i)
{
	enum hreg src = host_of[i->op[0].reg];
	struct emit *e = &x->e;
	uint8_t *ok;

	if (i->opsize == 8) {
		emit_mov_ri(e, T1, x->mode & MODE_LA57 ? 7 : 16);
		emit_shlx(e, T0, src, T1, 8);
		emit_sarx(e, T0, T0, T1, 8);
		emit_not(e, T0);
		emit_lea(e, T1, T0, src, 0, 1, 8);
		ok = emit_jrcxz(e);
		xlat_light_call(x, i);
		emit_here8(e, ok);
	}
	emit_mov_rr(e, T0, src, i->opsize);
	emit_gs_store(e, T0, SEG_BASE_OFF(base_seg(i)), 8);
}

/* RAX, RDX = the guest's counter; RDTSCP leaves the host's TSC_AUX in t1. */
static void in_rdtsc(struct xlat *x, const struct insn *i)
{
	static const uint8_t rdtsc[] = { 0x0f, 0x31 };
	static const uint8_t rdtscp[] = { 0x0f, 0x01, 0xf9 };
	struct emit *e = &x->e;

	if (i->row->id == ID_RDTSCP) {
		emit_bytes(e, rdtscp, sizeof(rdtscp));
		emit_gs_load(e, host_of[RCX], CPU_OFF(tsc_aux), 4);
	} else {
		emit_bytes(e, rdtsc, sizeof(rdtsc));
	}
	emit_gs_load(e, T1, CPU_OFF(tsc_offset), 8);
	emit_rorx(e, H_RDX, H_RDX, 32, 8);
	emit_lea(e, H_RAX, H_RAX, H_RDX, 0, 0, 8);
	emit_lea(e, H_RAX, H_RAX, T1, 0, 0, 8);
	emit_rorx(e, H_RDX, H_RAX, 32, 8);
	emit_mov_rr(e, H_RAX, H_RAX, 4);
	emit_mov_rr(e, H_RDX, H_RDX, 4);
}

static void in_cli(struct xlat *x, const struct insn *i)
{
	flags_without(x, D_NOT_IF);
	emit_gs_store(&x->e, T0, CPU_OFF(rflags), 8);
}

/*
 * With an interrupt waiting for its window the helper does it, which does not
 * come back.
 */
static void in_sti(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	uint8_t *none;

	emit_gs_load_byte(e, T1, CPU_OFF(irq_window));
	none = emit_jrcxz(e);
	xlat_light_call(x, i);
	emit_here8(e, none);
	flags_without(x, D_NOT_IF);
	emit_lea(e, T0, T0, H_NONE, 0, RFLAGS_IF, 8);
	emit_gs_store(e, T0, CPU_OFF(rflags), 8);
	emit_gs_store_byte(e, CPU_OFF(sti_shadow), true);
	x->shadow = true;
}

void xlat_end_shadow(struct xlat *x)
{
	emit_gs_store_byte(&x->e, CPU_OFF(sti_shadow), false);
}

static void in_pushf(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;

	emit8(e, 0x9c); /* pushfq */
	emit_pop(e, T1);
	emit_gs_pext(e, T1, T1, SLOT_OFF(D_STATUS));
	emit_gs_pdep(e, T1, T1, SLOT_OFF(D_STATUS));
	flags_without(x, D_NOT_STATUS);
	emit_lea(e, T0, T0, T1, 0, 0, 8);
	emit_gs_store(e, T0, SLOT_OFF(D_TMP), 8);
	xlat_push_tmp(x, i->opsize);
}

/* The TLB's table of the new mode is the one beside; else the helper. */
static void in_ac(struct xlat *x, const struct insn *i)
{
	bool set = i->row->id == ID_STAC;
	struct emit *e = &x->e;
	uint8_t *none, *over;

	emit_gs_load(e, T1, SLOT_OFF(set ? D_GS_AC : D_GS_PLAIN), 8);
	none = emit_jrcxz(e);
	flags_without(x, D_NOT_AC);
	if (set)
		emit_lea(e, T0, T0, H_NONE, 0, RFLAGS_AC, 8);
	emit_gs_store(e, T0, CPU_OFF(rflags), 8);
	emit_gs_store(e, T1, SLOT_OFF(D_GS), 8);
	emit_wrgsbase(e, T1);
	over = emit_jmp8(e);
	emit_here8(e, none);
	xlat_light_call(x, i);
	emit_here8(e, over);
}

static uint32_t cr_off(unsigned int n)
{
	switch (n) {
	case 0:
		return CPU_OFF(cr0);
	case 2:
		return CPU_OFF(cr2);
	case 3:
		return CPU_OFF(mmu.cr3);
	default:
		return CPU_OFF(cr4);
	}
}

static void in_mov_from_cr(struct xlat *x, const struct insn *i)
{
	emit_gs_load(&x->e, T0, cr_off(i->op[1].reg), i->op[0].size);
	store_gpr(x, i->op[0].reg, T0, 8);
}

/*
 * FXSAVE and FXRSTOR: the silicon's own, on an area in one page; it raises #GP
 * itself.  Anything else is for the helper.
 */
static void in_fx(struct xlat *x, const struct insn *i)
{
	bool save = i->row->id == ID_FXSAVE;
	struct emit *e = &x->e;
	struct cold *c;
	uint8_t *over;

	xlat_ea(x, i, FX_SIZE - 1, true);
	c = xlat_tlb(x, FX_SIZE, save, true, true);
	if (i->rex & 8)
		emit8(e, 0x48);
	emit8(e, 0x0f);
	emit8(e, 0xae);
	emit_mem(e, !save, T0, T1, 0, 1 - FX_SIZE);
	over = emit_jmp8(e);
	c->other = e->w;
	xlat_light_call(x, i);
	emit_here8(e, over);
}

/* Limit and base are stored by two moves, once both are sure to succeed. */
static void in_store_table(struct xlat *x, const struct insn *i)
{
	bool gdt = i->row->id == ID_SGDT;
	unsigned int len = x->code_size == CODE64 ? 8 : 4;
	struct emit *e = &x->e;

	xlat_ea(x, i, len + 1, true);
	xlat_tlb(x, len + 2, true, true, false);
	emit_lea(e, T0, T0, T1, 0, -(int)(len + 1), 8);
	emit_gs_load(e, T1, gdt ? CPU_OFF(gdt.limit) : CPU_OFF(idt.limit), 4);
	emit_store(e, T1, T0, H_NONE, 0, 2);
	emit_gs_load(e, T1, gdt ? CPU_OFF(gdt.base) : CPU_OFF(idt.base), len);
	emit_store(e, T1, T0, H_NONE, 2, len);
}

/* What has a form in line, in which modes. */
struct in_line {
	void (*fn)(struct xlat *x, const struct insn *i);
	uint32_t mode; /* MODE_* bits that it needs */
	bool shadow;   /* only with an instruction behind it in the block */
};

static const struct in_line in_line[NR_INSN_IDS] = {
	[ID_SWAPGS] = { .fn = in_swapgs, .mode = MODE_CPL0 },
	[ID_RDFSBASE] = { .fn = in_rdbase, .mode = MODE_BASES },
	[ID_RDGSBASE] = { .fn = in_rdbase, .mode = MODE_BASES },
	[ID_WRFSBASE] = { .fn = in_wrbase, .mode = MODE_BASES },
	[ID_WRGSBASE] = { .fn = in_wrbase, .mode = MODE_BASES },
	[ID_RDTSC] = { .fn = in_rdtsc, .mode = MODE_TSC },
	[ID_RDTSCP] = { .fn = in_rdtsc, .mode = MODE_TSC },
	[ID_CLI] = { .fn = in_cli, .mode = MODE_CPL0 },
	[ID_STI] = { .fn = in_sti, .mode = MODE_CPL0, .shadow = true },
	[ID_PUSHF] = { .fn = in_pushf },
	[ID_STAC] = { .fn = in_ac, .mode = MODE_CPL0 },
	[ID_CLAC] = { .fn = in_ac, .mode = MODE_CPL0 },
	[ID_MOV_FROM_CR] = { .fn = in_mov_from_cr, .mode = MODE_CPL0 },
	[ID_FXSAVE] = { .fn = in_fx, .mode = MODE_X87 | MODE_SSE },
	[ID_FXRSTOR] = { .fn = in_fx, .mode = MODE_X87 | MODE_SSE },
	[ID_SGDT] = { .fn = in_store_table, .mode = MODE_CPL0 },
	[ID_SIDT] = { .fn = in_store_table, .mode = MODE_CPL0 },
};

/* Operands that a form in line does not serve. */
static bool odd_operand(const struct xlat *x, const struct insn *i)
{
	unsigned int n;

	switch (i->row->id) {
	case ID_WRFSBASE:
	case ID_WRGSBASE:
		return host_of[i->op[0].reg] == IN_MEMORY;
	case ID_MOV_FROM_CR:
		n = i->op[1].reg;
		return n != 0 && n != 2 && n != 3 && n != 4;
	case ID_FXSAVE: /* only in 64-bit mode all XMM registers */
	case ID_FXRSTOR:
		return i->code_size != CODE64 || i->addrsize != 8;
	case ID_STAC:
	case ID_CLAC:
		return !gsbase_is_fast();
	case ID_SGDT:
	case ID_SIDT:
		return !xlat_seg_ok(x, i);
	default:
		return false;
	}
}

static const struct in_line *find_in_line(const struct xlat *x,
					  const struct insn *i)
{
	const struct in_line *l = &in_line[i->row->id];

	if (!l->fn || (x->mode & l->mode) != l->mode || odd_operand(x, i))
		return NULL;
	return l;
}

bool event_goes_on(const struct xlat *x, const struct insn *i)
{
	return find_in_line(x, i) || call_goes_on(i);
}

void xlat_event(struct xlat *x, const struct insn *i, bool last)
{
	const struct in_line *l = find_in_line(x, i);

	if (!cpu_ops[i->row->id]) {
		xlat_leave(x, LEAVE_CAREFUL, x->rip);
		return;
	}
	if (l && !(l->shadow && last)) {
		xlat_islands(x, 80, false);
		l->fn(x, i);
		xlat_count(x, i);
		return;
	}
	if (xlat_string(x, i))
		return;
	xlat_light_call(x, i);
	if (!call_goes_on(i))
		x->done = true;
}

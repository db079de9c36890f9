#include "test/code/print.h"

#include <string.h>

#include <Zydis/Zydis.h>

#include "test/code/rig.h"

#define INSN(i) ZydisDecodedInstruction i
#define OPS(o)	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT]

static bool decode(const uint8_t *p, size_t n, ZydisDecodedInstruction *i,
		   ZydisDecodedOperand *ops)
{
	static ZydisDecoder decoder;

	if (!decoder.machine_mode && !decoder.stack_width)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
				 ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, p, n, i, ops));
}

/* A word, or an array of words, that translated code reaches. */
struct place {
	const char *name;
	int32_t off;
	uint32_t nr; /* members of an array; 0: not one */
};

/* Through GS.  Other slots come and go: their numbers mean little. */
static const struct place gs_places[] = {
	{ "rip", CPU_OFF(rip), 0 },
	{ "rflags", CPU_OFF(rflags), 0 },
	{ "gpr", CPU_OFF(gpr), NR_GPRS },
	{ "exits", CPU_OFF(exits), NR_EXIT_REASONS },
	{ "t0", SLOT_OFF(D_T0), 0 },
	{ "spill", SLOT_OFF(D_SPILL), 0 },
	{ "tmp", SLOT_OFF(D_TMP), 0 },
	{ "jc_mask", SLOT_OFF(D_JC_MASK), 0 },
	{ "go", SLOT_OFF(D_GO), 0 },
	{ NULL, 0, 0 },
};

/* On the host's stack. */
static const struct place frame_places[] = {
	{ "page_mask", FRAME_OFF(F_PAGE_MASK), 0 },
	{ "span", FRAME_OFF(F_SPAN8), F_SPAN512 - F_SPAN8 + 1 },
	{ "window", FRAME_OFF(F_WINDOW), MAX_WINDOWS },
	{ NULL, 0, 0 },
};

static void name_place(char *buf, size_t size, const struct place *p,
		       int64_t off, const char *other)
{
	for (; p->name; p++) {
		int64_t at = off - p->off;

		if (at == 0 && !p->nr) {
			snprintf(buf, size, "%s", p->name);
			return;
		}
		if (at >= 0 && at < 8 * (int64_t)p->nr) {
			snprintf(buf, size, "%s%lld", p->name,
				 (long long)at / 8);
			return;
		}
	}
	snprintf(buf, size, "%s", other);
}

static const char *name_thunk(const struct dbt *d, const void *to)
{
	static const char *const leaves[NR_LEAVES] = {
		[LEAVE_LOOKUP] = "lookup",   [LEAVE_LINK] = "link",
		[LEAVE_RIP] = "leave_rip",   [LEAVE_CAREFUL] = "careful",
		[LEAVE_MISS] = "leave_miss", [LEAVE_STALE] = "stale",
		[LEAVE_CHANGED] = "changed", [LEAVE_FAULT] = "fault",
		[LEAVE_SNIPPET] = "snippet", [LEAVE_LIGHT] = "leave_light",
	};

	if (to == d->thunk_miss)
		return "miss";
	if (to == d->thunk_light)
		return "light";
	if ((const uint8_t *)to >= d->cross.start &&
	    (const uint8_t *)to < d->cross.end)
		return "cross";
	for (unsigned int i = 0; i < NR_LEAVES; i++)
		if (to == d->thunk[i] && leaves[i])
			return leaves[i];
	return NULL;
}

/* Bytes of data behind a call of @name. */
static size_t data_behind(const char *name)
{
	static const struct {
		const char *name;
		size_t size;
	} data[] = {
		{ "miss", sizeof(struct miss_stub) },
		{ "link", sizeof(struct link_stub) },
		{ "leave_rip", sizeof(struct rip_stub) },
		{ "careful", sizeof(struct rip_stub) },
		{ "changed", sizeof(struct changed_stub) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		if (!strcmp(name, data[i].name))
			return data[i].size;
	return 0;
}

/* Puts @with in place of what is from @from to @to in @text. */
static void splice(char *text, size_t size, char *from, const char *to,
		   const char *with)
{
	char rest[160];

	snprintf(rest, sizeof(rest), "%s", to);
	snprintf(from, size - (from - text), "%s%s", with, rest);
}

/* Names what a constant distance from GS or RSP leads to. */
static void fix_place(char *text, size_t size, const ZydisDecodedOperand *op)
{
	bool gs = op->mem.segment == ZYDIS_REGISTER_GS &&
		  op->mem.base == ZYDIS_REGISTER_NONE;
	bool frame = op->mem.base == ZYDIS_REGISTER_RSP;
	char *from = strchr(text, '['), *to = strchr(text, ']');
	char name[32];

	if (!from || !to || op->mem.index != ZYDIS_REGISTER_NONE)
		return;
	if (gs)
		name_place(name, sizeof(name), gs_places, op->mem.disp.value,
			   "cpu");
	else if (frame)
		name_place(name, sizeof(name), frame_places, op->mem.disp.value,
			   "frame");
	if (gs || frame)
		splice(text, size, from + 1, to, name);
}

/* A pointer in an immediate is another one in each run. */
static void fix_pointer(char *text, size_t size, const ZydisDecodedOperand *op)
{
	char *from = strrchr(text, ' ');

	if (op->imm.value.u >> 40 && !(op->imm.value.s >> 40 == -1) && from)
		splice(text, size, from + 1, "", "pointer");
}

static void text_of(char *text, size_t size, const ZydisDecodedInstruction *i,
		    const ZydisDecodedOperand *ops, bool guest)
{
	static ZydisFormatter formatter;
	static bool ready;

	if (!ready)
		ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ready = true;
	ZydisFormatterFormatInstruction(&formatter, i, ops,
					i->operand_count_visible, text, size,
					ZYDIS_RUNTIME_ADDRESS_NONE, NULL);
	for (unsigned int n = 0; n < i->operand_count_visible && !guest; n++) {
		if (ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			fix_place(text, size, &ops[n]);
		if (ops[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    !ops[n].imm.is_relative)
			fix_pointer(text, size, &ops[n]);
	}
}

/* A block under way; it is gone over twice, to find where jumps lead first. */
struct printer {
	FILE *f;
	struct dbt *d;
	const struct block *b;
	bool numbered;		 /* the second time */
	uint16_t label[1 << 16]; /* by offset; 0: none */
	bool after_cross;	 /* data stands behind the next jump */
};

static void number_labels(struct printer *p)
{
	uint16_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(p->label); i++)
		if (p->label[i])
			p->label[i] = ++n;
	p->numbered = true;
}

/* The target of a relative jump or call in place of its distance. */
static const char *fix_target(char *text, size_t size, struct printer *p,
			      const uint8_t *next,
			      const ZydisDecodedOperand *op)
{
	const uint8_t *to = next + op->imm.value.s;
	const char *thunk = name_thunk(p->d, to);
	char *from = strrchr(text, ' ');
	char name[32];

	if (to >= p->b->ientry && to < p->b->end) {
		uint16_t *label = &p->label[to - p->b->ientry];

		if (!*label)
			*label = 1;
		snprintf(name, sizeof(name), "L%u", *label);
	} else {
		snprintf(name, sizeof(name), "<%s>", thunk ? thunk : "other");
	}
	if (from)
		splice(text, size, from + 1, "", name);
	return thunk;
}

/* One host instruction; where the next one is. */
static const uint8_t *print_host(struct printer *p, const uint8_t *at)
{
	size_t data = p->after_cross ? sizeof(int32_t) : 0;
	unsigned int label = p->label[at - p->b->ientry];
	const char *thunk = NULL;
	char text[160];
	INSN(i);
	OPS(ops);

	p->after_cross = false;
	if (!decode(at, p->b->end - at, &i, ops)) {
		if (p->numbered)
			fprintf(p->f, "\tbyte %02x\n", *at);
		return at + 1;
	}
	text_of(text, sizeof(text), &i, ops, false);
	at += i.length;
	if (ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    ops[0].imm.is_relative)
		thunk = fix_target(text, sizeof(text), p, at, &ops[0]);
	if (p->numbered && label)
		fprintf(p->f, "L%u:", label);
	if (p->numbered)
		fprintf(p->f, "\t%s\n", text);
	if (thunk && !strcmp(thunk, "cross"))
		p->after_cross = true;
	else if (thunk)
		data = data_behind(thunk);
	return at + data;
}

static void print_guest(FILE *f, const uint8_t *at)
{
	char text[160];
	INSN(i);
	OPS(ops);

	if (!decode(at, 15, &i, ops))
		return;
	text_of(text, sizeof(text), &i, ops, true);
	fprintf(f, "%s\n", text);
}

static void pass(struct printer *p, const uint8_t *guest)
{
	const struct block *b = p->b;
	const uint8_t *at = b->ientry;
	unsigned int n = 0;

	while (at < b->end) {
		for (; n < b->nr_insns && at >= b->ientry + b->map[n].host; n++)
			if (p->numbered && b->map[n].guest < b->len)
				print_guest(p->f, guest + b->map[n].guest);
		if (p->numbered && at == b->ientry + b->cold)
			fputs("out of line\n", p->f);
		at = print_host(p, at);
	}
}

void print_block(FILE *f, struct dbt *d, const struct block *b,
		 const uint8_t *guest)
{
	static struct printer p;

	p = (struct printer){ .f = f, .d = d, .b = b };
	pass(&p, guest);
	number_labels(&p);
	pass(&p, guest);
	fprintf(f, "%u bytes of %u: %u to enter, %u in line, %u out of line\n",
		(unsigned int)(b->end - b->ientry), b->len,
		(unsigned int)(b->entry - b->ientry),
		(unsigned int)(b->ientry + b->cold - b->entry),
		(unsigned int)(b->end - b->ientry - b->cold));
}

unsigned int print_count(const uint8_t *host, size_t size)
{
	const uint8_t *end = host + size;
	unsigned int n = 0;
	INSN(i);
	OPS(ops);

	for (; host < end && decode(host, end - host, &i, ops);
	     host += i.length)
		n++;
	return n;
}

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

/* Names of what translated code reaches through GS. */
static const struct {
	const char *name;
	uint32_t off;
	uint32_t nr; /* members of an array of words; 0: not one */
} places[] = {
	{ "rip", CPU_OFF(rip), 0 },
	{ "rflags", CPU_OFF(rflags), 0 },
	{ "page_mask", CPU_OFF(page_mask), 0 },
	{ "gpr", CPU_OFF(gpr), NR_GPRS },
	{ "exits", CPU_OFF(exits), NR_EXIT_REASONS },
	{ "t0", SLOT_OFF(D_T0), 0 },
	{ "spill", SLOT_OFF(D_SPILL), 0 },
	{ "tmp", SLOT_OFF(D_TMP), 0 },
	{ "jc_mask", SLOT_OFF(D_JC_MASK), 0 },
	{ "span", SLOT_OFF(D_SPAN8), D_SPAN512 - D_SPAN8 + 1 },
	{ "go", SLOT_OFF(D_GO), 0 },
	{ "window", SLOT_OFF(D_WINDOW), MAX_WINDOWS },
	{ "slot", SLOT_OFF(0), NR_DBT_SLOTS },
};

static void name_gs(char *buf, size_t size, int64_t off)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int64_t at = off - places[i].off;

		if (at == 0 && !places[i].nr) {
			snprintf(buf, size, "%s", places[i].name);
			return;
		}
		if (at >= 0 && at < 8 * (int64_t)places[i].nr) {
			/* Other slots come and go: their numbers mean little.
			 */
			if (!strcmp(places[i].name, "slot"))
				snprintf(buf, size, "slot");
			else
				snprintf(buf, size, "%s%lld", places[i].name,
					 (long long)at / 8);
			return;
		}
	}
	snprintf(buf, size, "cpu");
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

static void fix_gs(char *text, size_t size, const ZydisDecodedOperand *op)
{
	char *from = strstr(text, "gs:["), *to;
	char name[32];

	if (!from || op->mem.base != ZYDIS_REGISTER_NONE ||
	    op->mem.index != ZYDIS_REGISTER_NONE)
		return;
	from += 4;
	to = strchr(from, ']');
	name_gs(name, sizeof(name), op->mem.disp.value);
	if (to)
		splice(text, size, from, to, name);
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
		if (ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ops[n].mem.segment == ZYDIS_REGISTER_GS)
			fix_gs(text, size, &ops[n]);
		if (ops[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    !ops[n].imm.is_relative)
			fix_pointer(text, size, &ops[n]);
	}
}

/* The target of a relative jump or call in place of its distance. */
static const char *fix_target(char *text, size_t size, struct dbt *d,
			      const struct block *b, const uint8_t *next,
			      const ZydisDecodedOperand *op)
{
	const uint8_t *to = next + op->imm.value.s;
	const char *thunk = name_thunk(d, to);
	char *from = strrchr(text, ' ');
	char name[32];

	if (to >= b->ientry && to < b->end)
		snprintf(name, sizeof(name), "%#x", (int)(to - b->ientry));
	else
		snprintf(name, sizeof(name), "<%s>", thunk ? thunk : "other");
	if (from)
		splice(text, size, from + 1, "", name);
	return thunk;
}

/*
 * One host instruction; the next one's address.  @jump: the last one called the
 * code for accesses that cross a page; data stands behind this jump.
 */
static const uint8_t *print_host(FILE *f, struct dbt *d, const struct block *b,
				 const uint8_t *p, bool *jump)
{
	const char *thunk = NULL;
	size_t data = *jump ? sizeof(int32_t) : 0;
	char text[160];
	INSN(i);
	OPS(ops);

	*jump = false;
	fprintf(f, "%6x  ", (int)(p - b->ientry));
	if (!decode(p, b->end - p, &i, ops)) {
		fprintf(f, "byte %02x\n", *p);
		return p + 1;
	}
	text_of(text, sizeof(text), &i, ops, false);
	p += i.length;
	if (ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    ops[0].imm.is_relative)
		thunk = fix_target(text, sizeof(text), d, b, p, &ops[0]);
	fprintf(f, "%s\n", text);
	if (thunk && !strcmp(thunk, "cross"))
		*jump = true;
	else if (thunk)
		data = data_behind(thunk);
	return p + data;
}

static void print_guest(FILE *f, const uint8_t *p)
{
	char text[160];
	INSN(i);
	OPS(ops);

	if (!decode(p, 15, &i, ops))
		return;
	text_of(text, sizeof(text), &i, ops, true);
	fprintf(f, "%s\n", text);
}

void print_block(FILE *f, struct dbt *d, const struct block *b,
		 const uint8_t *guest)
{
	const uint8_t *p = b->ientry;
	unsigned int n = 0;
	bool jump = false;

	while (p < b->end) {
		/* A loop's second copy comes without its first instructions. */
		for (; n < b->nr_insns && p >= b->ientry + b->map[n].host; n++)
			if (b->map[n].guest < b->len)
				print_guest(f, guest + b->map[n].guest);
		p = print_host(f, d, b, p, &jump);
	}
	fprintf(f, "%u bytes of %u\n", (unsigned int)(b->end - b->ientry),
		b->len);
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

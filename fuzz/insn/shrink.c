#include <string.h>

#include "fuzz/insn/gen.h"
#include "fuzz/insn/run.h"
#include "x86/defs.h"

/* Simplifications are tried one by one; what keeps the difference stays. */

static bool differs(const struct fuzz_case *c)
{
	return !run_one(c, NULL);
}

static void keep_if(struct fuzz_case *c, const struct fuzz_case *t)
{
	if (differs(t))
		*c = *t;
}

/* Drops instructions from the end, then from the start, one after the other. */
static void fewer_insns(struct fuzz_case *c)
{
	struct insn i;
	unsigned int at = 0, body = c->len - case_exit_len(c);

	while (at < body) {
		struct fuzz_case t = *c;

		if (insn_decode(c->bytes + at, 15, c->mode, &i) != DECODE_OK)
			return;
		memmove(t.bytes + at, t.bytes + at + i.len, body - at - i.len);
		t.len = body - i.len;
		/* Behind it everything keeps its place if it was the first. */
		if (!at)
			t.rip += i.len;
		if (t.len)
			gen_finish(&t);
		if (t.len > case_exit_len(c) && differs(&t)) {
			*c = t;
			body = c->len - case_exit_len(c);
		} else {
			at += i.len;
		}
	}
}

static void zero_registers(struct fuzz_case *c)
{
	struct fuzz_case t;

	for (unsigned int n = 0; n < NR_GPRS; n++) {
		t = *c;
		t.gpr[n] = n == RSP && t.seg[SEG_SS] ? ESP16_HIGH : 0;
		keep_if(c, &t);
	}
	t = *c;
	t.rflags = RFLAGS_FIXED | RFLAGS_IF;
	keep_if(c, &t);
	for (unsigned int bit = 0; bit < 32; bit++) {
		t = *c;
		if (bit == 1 || bit == 9)
			continue;
		t.rflags &= ~BIT(bit);
		keep_if(c, &t);
	}
	if (c->mode == CODE64) {
		t = *c;
		t.fs_base = t.gs_base = 0;
		keep_if(c, &t);
	}
}

static void zero_fpu(struct fuzz_case *c)
{
	static const uint8_t start[] = { 0x7f, 0x03 };
	struct fuzz_case t = *c;
	const uint32_t mxcsr = 0x1f80;

	memset(t.fpu, 0, 24);
	memcpy(t.fpu, start, sizeof(start));
	keep_if(c, &t);
	t = *c;
	memcpy(t.fpu + 24, &mxcsr, 4);
	keep_if(c, &t);
	for (unsigned int n = 32; n < FPU_BYTES; n += 16) {
		if (n >= 416 && n < 576)
			continue;
		t = *c;
		memset(t.fpu + n, 0, 16);
		keep_if(c, &t);
	}
}

static void fewer_patches(struct fuzz_case *c)
{
	for (unsigned int n = 0; n < CASE_PATCHES; n++) {
		struct fuzz_case t = *c;

		memset(&t.patch[n], 0, sizeof(t.patch[n]));
		keep_if(c, &t);
	}
}

void shrink(struct fuzz_case *c)
{
	fewer_insns(c);
	fewer_patches(c);
	zero_registers(c);
	zero_fpu(c);
}

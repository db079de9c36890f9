#pragma once

#include <stdlib.h>
#include <string.h>

#include "x86/insn.h"

/*
 * The opcode space, as 15-byte strings: each prefix combination that matters,
 * each opcode of each map, ModRM bytes of every kind; VEX likewise.  What
 * follows are bytes that serve as displacement and immediate.
 *
 * Sanitizer builds are slow and look at a sample only, unless the environment
 * says FULL=1.
 */
#ifdef RING3_SANITIZE
#define WALK_SAMPLE 13
#else
#define WALK_SAMPLE 1
#endif

typedef void (*opcode_visit)(const uint8_t bytes[15], enum code_size cs);

struct opcode_walk {
	enum code_size cs;
	opcode_visit visit;
	uint8_t bytes[32];
	unsigned int len;
	unsigned long n, every; /* visit one of so many */
};

static void walk_put(struct opcode_walk *w, uint8_t byte)
{
	w->bytes[w->len++] = byte;
}

static void walk_end(struct opcode_walk *w)
{
	static const uint8_t tail[] = { 0x91, 0x02, 0x73, 0x84, 0x15,
					0x26, 0x37, 0x48, 0x59, 0x6a };

	if (w->n++ % w->every)
		return;
	memcpy(w->bytes + w->len, tail, sizeof(tail));
	memset(w->bytes + w->len + sizeof(tail), 0x11, 7);
	w->visit(w->bytes, w->cs);
}

/* Mod 0 and 3 in full, mod 1 and 2 with the special base registers. */
static void walk_modrm(struct opcode_walk *w)
{
	static const uint8_t sibs[] = {
		0x00, 0x24, 0x25, 0x65, 0xe4, 0x4d, 0xba
	};
	unsigned int len = w->len;

	for (unsigned int modrm = 0; modrm < 256; modrm++) {
		unsigned int mod = modrm >> 6, rm = modrm & 7;
		bool sib = mod != 3 && rm == 4;

		if ((mod == 1 || mod == 2) && ((modrm & 0x38) || rm < 3))
			continue;
		for (unsigned int i = 0; i < (sib ? sizeof(sibs) : 1); i++) {
			w->len = len;
			walk_put(w, modrm);
			if (sib)
				walk_put(w, sibs[i]);
			walk_end(w);
		}
	}
	w->len = len;
}

static void walk_map(struct opcode_walk *w, const char *escape, size_t n)
{
	unsigned int len = w->len;

	for (unsigned int op = 0; op < 256; op++) {
		w->len = len;
		for (size_t i = 0; i < n; i++)
			walk_put(w, escape[i]);
		walk_put(w, op);
		walk_modrm(w);
	}
	w->len = len;
}

#define WALK_PREFIX(s)                                                         \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}

static void walk_legacy(struct opcode_walk *w)
{
	static const struct {
		const char *bytes;
		size_t n;
	} prefixes[] = {
		WALK_PREFIX(""),
		WALK_PREFIX("\x66"),
		WALK_PREFIX("\xf3"),
		WALK_PREFIX("\xf2"),
		WALK_PREFIX("\x67"),
		WALK_PREFIX("\xf0"),
		WALK_PREFIX("\x64"),
		WALK_PREFIX("\x36"),
		WALK_PREFIX("\x66\xf3"),
		WALK_PREFIX("\xf2\x66"),
		WALK_PREFIX("\xf2\xf3"),
		WALK_PREFIX("\xf3\xf2"),
		WALK_PREFIX("\xf0\x66"),
		WALK_PREFIX("\x66\x67"),
		WALK_PREFIX("\xf0\xf3"),
		/* In 64-bit mode REX, otherwise INC and DEC. */
		WALK_PREFIX("\x40"),
		WALK_PREFIX("\x48"),
		WALK_PREFIX("\x41"),
		WALK_PREFIX("\x44"),
		WALK_PREFIX("\x42"),
		WALK_PREFIX("\x4f"),
		WALK_PREFIX("\x66\x48"),
		WALK_PREFIX("\x66\x45"),
		WALK_PREFIX("\xf3\x48"),
		WALK_PREFIX("\xf3\x41"),
		WALK_PREFIX("\xf2\x4c"),
		WALK_PREFIX("\x48\x66"),
		WALK_PREFIX("\xf0\x48"),
		WALK_PREFIX("\x67\x4b"),
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		/* 40 to 4F are opcodes of their own outside 64-bit mode. */
		if (i >= 15 && w->cs != CODE64)
			break;
		w->len = 0;
		for (size_t j = 0; j < prefixes[i].n; j++)
			walk_put(w, prefixes[i].bytes[j]);
		walk_map(w, "", 0);
		walk_map(w, "\x0f", 1);
		walk_map(w, "\x0f\x38", 2);
		walk_map(w, "\x0f\x3a", 2);
	}
}

/* C5 with R and vvvv set and clear; C4 with RXB and vvvv likewise, W. */
static void walk_vex(struct opcode_walk *w)
{
	char vex[3];

	for (unsigned int i = 0; i < 32; i++) {
		vex[0] = (char)0xc5;
		vex[1] = (i & 7) | (i & 8 ? 0x78 : 0x48) |
			 (w->cs != CODE64 || i & 16 ? 0x80 : 0);
		w->len = 0;
		walk_map(w, vex, 2);
	}
	for (unsigned int map = 1; map <= 3; map++) {
		for (unsigned int i = 0; i < 64; i++) {
			vex[0] = (char)0xc4;
			vex[1] = map | (i & 32		  ? 0xe0
					: w->cs == CODE64 ? 0
							  : 0xc0);
			vex[2] = (i & 7) | (i & 8 ? 0x78 : 0x28) |
				 (i & 16 ? 0x80 : 0);
			w->len = 0;
			walk_map(w, vex, 3);
		}
	}
}

/* EVEX (no opmask, 512 bits) and XOP: for their lengths. */
static void walk_unoffered(struct opcode_walk *w)
{
	char b[4];

	for (unsigned int i = 0; i < 24; i++) {
		b[0] = 0x62;
		b[1] = 0xf1 + i / 8;
		b[2] = (i & 3) | 0x7c | (i & 4 ? 0x80 : 0);
		b[3] = 0x48;
		w->len = 0;
		walk_map(w, b, 4);
	}
	for (unsigned int i = 0; i < 24; i++) {
		b[0] = (char)0x8f;
		b[1] = 0xe8 + i / 8;
		b[2] = (i & 4 ? 0x80 : 0) | 0x78 | (i & 3);
		w->len = 0;
		walk_map(w, b, 3);
	}
}

static void walk_opcodes(enum code_size cs, opcode_visit visit)
{
	struct opcode_walk w = {
		.cs = cs,
		.visit = visit,
		.every = getenv("FULL") ? 1 : WALK_SAMPLE,
	};

	walk_legacy(&w);
	walk_vex(&w);
	walk_unoffered(&w);
}

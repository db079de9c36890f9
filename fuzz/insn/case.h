#pragma once

#include <stdio.h>

#include "fuzz/insn/layout.h"
#include "x86/insn.h"

/*
 * A case: some instructions and all of the state they start from; a result: all
 * of the state they leave behind.
 */
#define CASE_BYTES   96
#define CASE_PATCHES 4
#define PATCH_BYTES  64
#define FPU_BYTES    832 /* XSAVE's legacy region, header and AVX */

struct patch {
	uint64_t addr;
	uint8_t len; /* 0: none */
	uint8_t data[PATCH_BYTES];
};

/* What a case is compared with. */
enum case_twin {
	TWIN_NATIVE, /* the processor */
	TWIN_NONE,   /* careful with fast only */
	TWIN_UD,     /* #UD, whatever the processor does */
};

struct fuzz_case {
	uint8_t mode; /* enum code_size */
	uint8_t twin; /* enum case_twin */
	uint8_t len;
	uint8_t bytes[CASE_BYTES];
	uint64_t rip; /* linear address */
	uint64_t gpr[NR_GPRS];
	uint64_t rflags;
	uint64_t fs_base, gs_base; /* 64-bit code only */
	/* Selectors; CS goes with the mode, SS 0 is SEL_DATA. */
	uint16_t seg[6];
	struct patch patch[CASE_PATCHES];
	/* Flags that are undefined afterwards and not from the silicon. */
	uint64_t undefined;
	/* Registers whose low bytes, so many, are anything afterwards. */
	uint16_t any_gprs;
	uint8_t any_bytes;
	uint8_t fpu[FPU_BYTES] __attribute__((aligned(64)));
};

/* case_code_base - of CS: what lies between RIP and the linear address. */
static inline uint64_t case_code_base(const struct fuzz_case *c)
{
	return c->mode == CODE16 ? CODE16_BASE : 0;
}

static inline uint16_t case_code_sel(const struct fuzz_case *c)
{
	if (c->mode == CODE64)
		return SEL_CODE64;
	return c->mode == CODE32 ? SEL_CODE32 : SEL_CODE16;
}

static inline uint16_t case_stack_sel(const struct fuzz_case *c)
{
	return c->seg[SEG_SS] ? c->seg[SEG_SS] : SEL_DATA;
}

/* case_exit_len - of the jump at its end. */
static inline unsigned int case_exit_len(const struct fuzz_case *c)
{
	return c->mode == CODE16 ? 8 : 5;
}

enum result_kind {
	RESULT_NONE,
	RESULT_DONE,	/* ran to the end */
	RESULT_FAULT,	/* an exception: vector, error, cr2 */
	RESULT_TIMEOUT, /* did not end */
	RESULT_EXIT,	/* left the guest in a way that it must not */
};

#define DIRTY_CHUNK 16
#define MAX_DIRTY   8

struct dirty {
	uint64_t addr;
	uint8_t data[DIRTY_CHUNK];
};

struct result {
	uint8_t kind; /* enum result_kind */
	uint8_t vector;
	uint32_t error; /* or the exit reason */
	uint64_t cr2;
	uint64_t rip;
	uint64_t gpr[NR_GPRS];
	uint64_t rflags;
	uint64_t fs_base, gs_base;
	uint16_t seg[6];
	uint8_t fpu[FPU_BYTES] __attribute__((aligned(64)));
	uint64_t mem_hash;  /* of all memory that changed */
	uint64_t mmio_hash; /* of all device accesses */
	uint32_t nr_dirty;
	struct dirty dirty[MAX_DIRTY];
};

/* case.c */
/*
 * case_write, case_read - as text; a file may hold several.  case_read returns
 * 1, 0 at the end of the file, or -1.
 */
void case_write(FILE *f, const struct fuzz_case *c);
int case_read(FILE *f, struct fuzz_case *c);

/* compare.c */
/*
 * result_equal - whether two results agree; @who: names of both, printed with
 * each difference to @f, if that is not NULL.
 */
bool result_equal(const struct fuzz_case *c, const struct result *a,
		  const struct result *b, const char *who, FILE *f);
/* result_show - one line about @r. */
void result_show(FILE *f, const char *who, const struct result *r);
/* fpu_normalize - components in their initial state get its values. */
void fpu_normalize(uint8_t fpu[FPU_BYTES]);

/* show.c: instructions as Zydis reads them. */
/* zydis_knows - whether Zydis decodes the instruction. */
bool zydis_knows(enum code_size mode, const uint8_t bytes[15]);
void case_disassemble(FILE *f, const struct fuzz_case *c);

#pragma once

/*
 * Where things are, natively and in the guest, at the same addresses.  For C
 * and assembly.
 */

/* Memory under test: see arena_pages[] in fuzz/insn/arena.c. */
#define ARENA	   0x20000000
#define ARENA_CODE 0x20010000
#define HIGH	   0x2aaa55550000
#define HIGH_CODE  0x2aaa55560000
#define LOW	   0x8000
#define CODE_PAGES 4

/*
 * The way out: a page of code that each case jumps to when it is done.  There
 * are two copies, one in reach of each code region.
 */
#define OUT	 0x2001c000
#define OUT_HIGH 0x2aaa5556c000
#define OUT_64	 0x000 /* from 64-bit code */
#define OUT_32	 0x800 /* from 32-bit code */

/* Data of the native harness, below 2 GiB. */
#define NATIVE_DATA   0x5a5bc000
#define NATIVE_PAGES  4
#define N_GPR	      (NATIVE_DATA + 0)
#define N_RFLAGS      (NATIVE_DATA + 128)
#define N_RIP	      (NATIVE_DATA + 136)
#define N_CS	      (NATIVE_DATA + 144)
#define N_SS	      (NATIVE_DATA + 152)
#define N_FS_BASE     (NATIVE_DATA + 160)
#define N_GS_BASE     (NATIVE_DATA + 168)
#define N_SEG	      (NATIVE_DATA + 176) /* ES CS SS DS FS GS, 2 bytes each */
#define N_OUT_GPR     (NATIVE_DATA + 256)
#define N_OUT_RFLAGS  (NATIVE_DATA + 384)
#define N_OUT_FS_BASE (NATIVE_DATA + 392)
#define N_OUT_GS_BASE (NATIVE_DATA + 400)
#define N_OUT_SEG     (NATIVE_DATA + 408)
#define N_HOST_RSP    (NATIVE_DATA + 448)
#define N_HOST_FS     (NATIVE_DATA + 456)
#define N_STACK_TOP   (NATIVE_DATA + 0xff0)
#define N_XSAVE	      (NATIVE_DATA + 0x1000)
#define N_OUT_XSAVE   (NATIVE_DATA + 0x2000)

/* Selectors of a 64-bit Linux process, which the guest's GDT has as well. */
#define SEL_CODE32 0x23
#define SEL_DATA   0x2b
#define SEL_CODE64 0x33
#define SEL_TLS0   0x63 /* base TLS0_BASE, limit 4 GiB */
#define SEL_TLS1   0x6b /* base TLS1_BASE, limit TLS1_LIMIT */
#define SEL_CPU	   0x7b /* limit: the processor's number */
/* Its local descriptor table: 16-bit segments. */
#define SEL_CODE16   0x07
#define SEL_DATA16   0x0f
#define CODE16_BASE  ARENA_CODE
#define DATA16_BASE  ARENA
#define CODE16_LIMIT 0x4fff
#define DATA16_LIMIT 0xffff
/* IRET to a 16-bit stack leaves the upper half of what ESP was. */
#define ESP16_HIGH (N_STACK_TOP & 0xffff0000)
#define TLS0_BASE  (ARENA + 0x1000)
#define TLS1_BASE  (ARENA + 0x5000)
#define TLS1_LIMIT 0x7ff

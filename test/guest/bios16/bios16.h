#pragma once

/* Shared by the parts of this guest; each is 16-bit code with 32-bit
 * registers, DS = ES = SS = 0. */
__asm__(".code16gcc");

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct regs {
	u32 eax, ebx, ecx, edx, esi, edi, flags;
	u16 es, pad;
};
#define CF 1
#define ZF 0x40

void bios_call(u32 vector, struct regs *r);
void check(const char *name, u32 got, u32 expected);

static inline void outb(u16 port, u8 val)
{
	__asm__ volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 val;

	__asm__ volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

/* What a program for DOS does (dos.S), and the timer for itself (timer.c). */
void test_dos(void);
void test_unreal(void);
void test_timer(void);

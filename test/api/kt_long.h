#pragma once

#include "test/api/kt.h"

/*
 * 64-bit guests for the API's tests: identity-mapped, flat, CPL 0, an IDT
 * whose gates all lead to one page of handlers.  Unlike real mode such code
 * runs in the translator's fast form, or, if asked, in careful form.
 */
enum {
	KT_CODE_AT = 0x1000, /* RIP at the start */
	KT_HANDLER = 0x3000, /* vector n is handled at KT_HANDLER + 16 * n */
	KT_COUNTER = 0x4000,
	KT_IDT = 0x9000,
	KT_GDT = 0xa000,
	KT_TSS = 0xa800,
	KT_PML4 = 0xb000,
	KT_STACK = 0x20000, /* RSP at the start */
	KT_MMIO = 0x200000, /* nothing is there, up to 1 GiB */
};

/* Assembles @body as code64_NAME_start to code64_NAME_end. */
#define KT_ASM(name, body)                                                     \
	__asm__(".pushsection .rodata\n"                                       \
		".globl code64_" #name "_start, code64_" #name "_end\n"        \
		"code64_" #name "_start:\n" body "\ncode64_" #name "_end:\n"   \
		".popsection");                                                \
	extern const uint8_t code64_##name##_start[], code64_##name##_end[]
#define KT_ASM_LEN(name)                                                       \
	((uintptr_t)code64_##name##_end - (uintptr_t)code64_##name##_start)

/* kt_long - long mode with @len bytes of code at KT_CODE_AT. */
void kt_long(struct kt_vm *t, const void *code, size_t len);
#define KT_LONG(t, name) kt_long(t, code64_##name##_start, KT_ASM_LEN(name))

/* kt_handler - the handler of @vector: up to 16 bytes. */
void kt_handler(struct kt_vm *t, unsigned int vector, const void *code,
		size_t len);

/*
 * kt_careful - the soft KVM's second executor for this vCPU.  No effect on
 * /dev/kvm.
 */
void kt_careful(struct kt_vm *t);

/* Both executors: for (kt_each_executor(e)) { kt_vm_open(); kt_executor(); } */
#define KT_EXECUTORS(e)                                                        \
	int e = 0;                                                             \
	e < (kt_real ? 1 : 2);                                                 \
	e++
#define kt_executor(t, e) ((e) ? kt_careful(t) : (void)0)

/* kt_pic - lets the PICs pass all lines on, IRQ n as vector 0x20 + n. */
void kt_pic(struct kt_vm *t);

static inline uint64_t kt_u64(const struct kt_vm *t, uint64_t gpa)
{
	return *(volatile uint64_t *)(t->mem + gpa);
}

static inline uint64_t kt_rip(const struct kt_vm *t)
{
	struct kvm_regs regs = { 0 };

	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &regs));
	return regs.rip;
}

/* Steal time and what comes with it: PV TLB flush; and hypercalls. */
#include <asm/kvm_para.h>
#include <linux/kvm_para.h>

#include "test/api/kt_long.h"

#define MSR_STEAL 0x4b564d03
#define STEAL	  0x5000
#define PREEMPTED 16
#define VERSION	  8

/* What the byte says while the vCPU runs, then what is at RSI. */
KT_ASM(peek, "1: movb 0x5010, %al\n"
	     "out %al, $0x10\n"
	     "mov (%rsi), %rax\n"
	     "out %al, $0x11\n"
	     "jmp 1b\n");

/* A hypercall that does nothing, RAX is its number. */
KT_ASM(hypercall, "vmcall\n"
		  "hlt\n");

static int set_msr(struct kt_vm *t, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { .head.nmsrs = 1, .e = { .index = index, .data = value } };

	return kt_ioctl(t->vcpu, KVM_SET_MSRS, &m);
}

static uint64_t get_msr(struct kt_vm *t, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { .head.nmsrs = 1, .e.index = index };

	GIVES(kt_ioctl(t->vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static uint32_t features(struct kt_vm *t)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[100];
	} list = { .head.nent = 100 };

	OK(kt_ioctl(t->sys, KVM_GET_SUPPORTED_CPUID, &list));
	for (uint32_t i = 0; i < list.head.nent; i++)
		if (list.e[i].function == KVM_CPUID_FEATURES)
			return list.e[i].eax;
	return 0;
}

static void registers(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	GIVES(get_msr(&t, MSR_STEAL), 0);
	GIVES(set_msr(&t, MSR_STEAL, STEAL | 3), 0);
	GIVES(set_msr(&t, MSR_STEAL, STEAL | 0x20), 0);
	GIVES(get_msr(&t, MSR_STEAL), 0);
	GIVES(set_msr(&t, MSR_STEAL, STEAL | 1), 1);
	GIVES(get_msr(&t, MSR_STEAL), STEAL | 1);
	GIVES(set_msr(&t, MSR_STEAL, 0), 1);
	kt_vm_close(&t);
}

/* The byte is 0 while the vCPU runs, 1 otherwise; time only grows. */
static void steal(void)
{
	for (KT_EXECUTORS(e)) {
		uint64_t last = 0;
		struct kt_vm t;

		kt_vm_open(&t, 0);
		KT_LONG(&t, peek);
		kt_executor(&t, e);
		GIVES(set_msr(&t, MSR_STEAL, STEAL | 1), 1);
		for (int i = 0; i < 50; i++) {
			OK(kt_run(&t));
			GIVES(t.run->io.port, 0x10 + i % 2);
			if (i % 2 == 0)
				GIVES(((uint8_t *)t.run)[t.run->io.data_offset],
				      0);
			GIVES(t.mem[STEAL + PREEMPTED], 1);
			GIVES(t.mem[STEAL + VERSION] & 1, 0);
			KT_CHECK(kt_u64(&t, STEAL) >= last);
			last = kt_u64(&t, STEAL);
		}
		KT_CHECK(t.mem[STEAL + VERSION] > 0);
		/* Off: nothing is written any more. */
		GIVES(set_msr(&t, MSR_STEAL, 0), 1);
		t.mem[STEAL + PREEMPTED] = 0x55;
		OK(kt_run(&t));
		GIVES(t.mem[STEAL + PREEMPTED], 0x55);
		/* Where there is no memory nothing happens. */
		GIVES(set_msr(&t, MSR_STEAL, 0x100000000 | 1), 1);
		OK(kt_run(&t));
		kt_vm_close(&t);
	}
}

/* A flush that was asked for while the vCPU was away. */
static void flush(void)
{
	const uint64_t pt = KT_PML4 + 0x8000, at = 0x40000000;

	for (KT_EXECUTORS(e)) {
		struct kvm_regs regs;
		uint64_t *pdpt, *pte;
		struct kt_vm t;

		kt_vm_open(&t, 0);
		KT_LONG(&t, peek);
		kt_executor(&t, e);
		/* A page table of its own at 1 GiB. */
		pdpt = (void *)(t.mem +
				(*(uint64_t *)(t.mem + KT_PML4) & ~0xfffull));
		pte = (void *)(t.mem + pt + 0x1000);
		pdpt[1] = pt | 3;
		*(uint64_t *)(t.mem + pt) = (pt + 0x1000) | 3;
		t.mem[0x30000] = 0x11;
		t.mem[0x31000] = 0x22;
		*pte = 0x30000 | 3;
		OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
		regs.rsi = at;
		OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs));
		GIVES(set_msr(&t, MSR_STEAL, STEAL | 1), 1);
		OK(kt_run(&t));
		OK(kt_run(&t));
		GIVES(((uint8_t *)t.run)[t.run->io.data_offset], 0x11);
		*pte = 0x31000 | 3;
		t.mem[STEAL + PREEMPTED] |= KVM_VCPU_FLUSH_TLB;
		OK(kt_run(&t));
		GIVES(((uint8_t *)t.run)[t.run->io.data_offset], 0);
		OK(kt_run(&t));
		GIVES(((uint8_t *)t.run)[t.run->io.data_offset], 0x22);
		kt_vm_close(&t);
	}
}

static void hypercalls(void)
{
	static const struct {
		uint64_t nr, result;
	} h[] = { { KVM_HC_VAPIC_POLL_IRQ, 0 },
		  { KVM_HC_KICK_CPU, 0 },
		  { KVM_HC_SCHED_YIELD, 0 },
		  { 999, -1000ull } };
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_LONG(&t, hypercall);
	for (size_t i = 0; i < sizeof(h) / sizeof(h[0]); i++) {
		OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
		regs.rip = KT_CODE_AT;
		regs.rax = h[i].nr;
		regs.rcx = 0;
		OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs));
		OK(kt_run(&t));
		GIVES(t.run->exit_reason, KVM_EXIT_HLT);
		OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
		GIVES(regs.rax, h[i].result);
	}
	kt_vm_close(&t);
}

void test_pv(void)
{
	const uint32_t hypercall_features = 1 << KVM_FEATURE_PV_UNHALT |
					    1 << KVM_FEATURE_PV_SEND_IPI |
					    1 << KVM_FEATURE_PV_SCHED_YIELD;
	struct kt_vm t;
	uint32_t f;

	kt_vm_open(&t, 0);
	f = features(&t);
	kt_vm_close(&t);
	GIVES(f & hypercall_features, hypercall_features);
	GIVES(!(f & 1 << KVM_FEATURE_PV_TLB_FLUSH),
	      !(f & 1 << KVM_FEATURE_STEAL_TIME));
	hypercalls();
	if (!(f & 1 << KVM_FEATURE_STEAL_TIME)) {
		printf("SKIP: this host tells no run delay\n");
		return;
	}
	registers();
	steal();
	flush();
}

#include <sys/mman.h>

#include "include/ring3.h"
#include "test/api/kt.h"

static void immediate_exit(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xf4);
	t.run->immediate_exit = 1;
	t.run->exit_reason = 77;
	FAILS(kt_run(&t), EINTR);
	GIVES(t.run->exit_reason, 77); /* left as it was */
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rip, 0x1000);
	t.run->immediate_exit = 0;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rip, 0x1001);
	kt_vm_close(&t);
}

/* Capabilities of the soft KVM alone; UD2 "kvm" before INC BX and HLT. */
static void own_capabilities(void)
{
	static const uint32_t own[] = { RING3_CAP_CAREFUL,
					RING3_CAP_FORCED_EMULATION };
	struct kvm_enable_cap cap = { 0 };
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		GIVES(kt_ioctl(t.sys, KVM_CHECK_EXTENSION, ARG(own[i])),
		      kt_real ? 0 : 1);
		cap = (struct kvm_enable_cap){ .cap = own[i], .args = { 1 } };
		if (kt_real) {
			FAILS(kt_ioctl(t.vcpu, KVM_ENABLE_CAP, &cap), EINVAL);
			continue;
		}
		OK(kt_ioctl(t.vcpu, KVM_ENABLE_CAP, &cap));
		FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &cap), EINVAL);
		cap.args[0] = 2;
		FAILS(kt_ioctl(t.vcpu, KVM_ENABLE_CAP, &cap), EINVAL);
		cap = (struct kvm_enable_cap){ .cap = own[i], .flags = 1 };
		FAILS(kt_ioctl(t.vcpu, KVM_ENABLE_CAP, &cap), EINVAL);
	}
	if (!kt_real) {
		KT_CODE(&t, 0x0f, 0x0b, 'k', 'v', 'm', 0x43, 0x0f, 0x0b, 'k',
			'v', 'm', 0xf4);
		OK(kt_run(&t));
		GIVES(t.run->exit_reason, KVM_EXIT_HLT);
		OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
		GIVES(regs.rbx, 1);
		GIVES(regs.rip, 0x100c);
	}
	kt_vm_close(&t);
}

static void page_fields(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xfb, 0xf4);
	t.run->cr8 = 5;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(t.run->if_flag, 1);
	GIVES(t.run->cr8, 5);
	GIVES(t.run->apic_base, 0xfee00900);
	GIVES(t.run->flags, 0);
	t.run->cr8 = 16;
	FAILS(kt_run(&t), EINVAL);
	t.run->cr8 = 0;
	kt_vm_close(&t);
}

static void sync_regs(void)
{
	struct kvm_sync_regs *s;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	s = &t.run->s.regs;
	t.run->kvm_valid_regs = 1u << 20;
	KT_CODE(&t, 0x43, 0xf4, 0x43, 0xf4, 0x43, 0xf4); /* inc bx; hlt */
	FAILS(kt_run(&t), EINVAL);
	t.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	t.run->kvm_dirty_regs = 1u << 20;
	FAILS(kt_run(&t), EINVAL);
	t.run->kvm_dirty_regs = 0;
	OK(kt_run(&t));
	GIVES(s->regs.rbx, 1);
	GIVES(s->regs.rip, 0x1002);
	GIVES(s->sregs.cs.base, 0);
	s->regs.rbx = 0x100;
	s->sregs.ds.base = 0x4000;
	t.run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	OK(kt_run(&t));
	GIVES(s->regs.rbx, 0x101);
	GIVES(s->sregs.ds.base, 0x4000);
	GIVES(t.run->kvm_dirty_regs, 0);
	/* Not marked dirty: not looked at. */
	s->regs.rbx = 0x500;
	OK(kt_run(&t));
	GIVES(s->regs.rbx, 0x102);
	kt_vm_close(&t);
}

static void triple_fault(void)
{
	struct kvm_sregs s;
	struct kt_vm t;

	/* Hosts that emulate real mode may not look at the IDT's limit. */
	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0x0f, 0x0b); /* ud2, and no IDT */
	OK(kt_ioctl(t.vcpu, KVM_GET_SREGS, &s));
	s.idt.limit = 0;
	OK(kt_ioctl(t.vcpu, KVM_SET_SREGS, &s));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_SHUTDOWN);
	kt_vm_close(&t);
}

static void triple_fault_event(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT,
				      .args[0] = 1 };
	struct kvm_vcpu_events e = {
		.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
		.triple_fault.pending = 1,
	};
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vm, KVM_ENABLE_CAP, &cap));
	KT_CODE(&t, 0xf4);
	OK(kt_ioctl(t.vcpu, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_ioctl(t.vcpu, KVM_GET_VCPU_EVENTS, &e));
	KT_CHECK(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	GIVES(e.triple_fault.pending, 1);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_SHUTDOWN);
	kt_vm_close(&t);
}

/* An injected exception goes through the IVT before the first instruction. */
static void injected(void)
{
	struct kvm_vcpu_events e = { .exception = { .injected = 1, .nr = 6 } };
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xf4);
	memcpy(t.mem + 0x2000, "\xbb\x77\x00\xf4", 4);
	*(uint32_t *)(t.mem + 6 * 4) = 0x2000;
	OK(kt_ioctl(t.vcpu, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rbx, 0x77);
	GIVES(*(uint16_t *)(t.mem + 0x8000 - 6), 0x1000);
	kt_vm_close(&t);
}

static void single_step(void)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE |
						  KVM_GUESTDBG_SINGLESTEP };
	struct kt_vm t;

	/* The host's flavour may not trace real mode. */
	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0x90, 0x43, 0xf4);
	OK(kt_ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_DEBUG);
	GIVES(t.run->debug.arch.pc, 0x1001);
	GIVES(t.run->debug.arch.exception, 1);
	KT_CHECK(t.run->debug.arch.dr6 & (1 << 14));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_DEBUG);
	GIVES(t.run->debug.arch.pc, 0x1002);
	dbg.control = 0;
	OK(kt_ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

static void breakpoint(void)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE |
						  KVM_GUESTDBG_USE_SW_BP };
	struct kvm_regs regs;
	struct kt_vm t;

	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0x90, 0xcc, 0xf4);
	OK(kt_ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_DEBUG);
	GIVES(t.run->debug.arch.pc, 0x1001);
	GIVES(t.run->debug.arch.exception, 3);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rip, 0x1001);
	/* The debugger's registers, on code and on data. */
	dbg.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	dbg.arch.debugreg[1] = 0x1002;
	dbg.arch.debugreg[7] = 0x400 | 1 << 3;
	OK(kt_ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	t.mem[0x1001] = 0x90;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_DEBUG);
	GIVES(t.run->debug.arch.exception, 1);
	GIVES(t.run->debug.arch.pc, 0x1002);
	GIVES(t.run->debug.arch.dr6, 0xffff0ff2);
	dbg.control = 0;
	OK(kt_ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	/* The debugger puts the instruction back. */
	t.mem[0x1001] = 0x90;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

/* An MSR that does not exist goes to user mode, which may answer. */
static void user_msr(void)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_UNKNOWN |
			   KVM_MSR_EXIT_REASON_FILTER,
	};
	uint8_t bitmap[8] = { 0 };
	struct kvm_msr_filter f = { .ranges[0] = { .flags =
							   KVM_MSR_FILTER_READ |
							   KVM_MSR_FILTER_WRITE,
						   .base = 0x174,
						   .nmsrs = 1,
						   .bitmap = bitmap } };
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vm, KVM_ENABLE_CAP, &cap));
	OK(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f));
	/* mov ecx,0x12345678; rdmsr; mov ecx,0x174; wrmsr; hlt */
	KT_CODE(&t, 0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0x66, 0xb9,
		0x74, 0x01, 0x00, 0x00, 0x0f, 0x30, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_X86_RDMSR);
	GIVES(t.run->msr.index, 0x12345678);
	GIVES(t.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	t.run->msr.data = 0x1122334455667788;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_X86_WRMSR);
	GIVES(t.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	GIVES(t.run->msr.index, 0x174);
	GIVES(t.run->msr.data, 0x1122334455667788);
	t.run->msr.error = 1; /* #GP */
	memcpy(t.mem + 0x2000, "\xbb\x88\x00\xf4", 4);
	*(uint32_t *)(t.mem + 13 * 4) = 0x2000;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rbx, 0x88);
	kt_vm_close(&t);
}

/* Code and memory that is not there. */
static void no_memory(void)
{
	struct kvm_regs regs = { .rip = 0xfff0, .rflags = 2 };
	struct kt_vm t;

	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs)); /* the reset vector */
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	GIVES(t.run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	kt_vm_close(&t);
}

/* vmcall in real mode: an unknown hypercall's error. */
static void hypercall(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xb8, 0x99, 0x00, 0x0f, 0x01, 0xc1, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES((int32_t)regs.rax, -1000);
	kt_vm_close(&t);
}

void test_run(void)
{
	immediate_exit();
	own_capabilities();
	page_fields();
	sync_regs();
	triple_fault();
	triple_fault_event();
	injected();
	single_step();
	breakpoint();
	user_msr();
	no_memory();
	hypercall();
}

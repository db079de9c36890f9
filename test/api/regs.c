#include "test/api/kt_long.h"

static void regs(struct kt_vm *t)
{
	struct kvm_regs in, out;
	uint64_t *p = (uint64_t *)&in;

	for (unsigned int i = 0; i < 16; i++)
		p[i] = 0x1111111111111111ull * i;
	in.rip = 0x7000;
	in.rflags = 0x202;
	OK(kt_ioctl(t->vcpu, KVM_SET_REGS, &in));
	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &out));
	GIVES(memcmp(&in, &out, sizeof(in)), 0);
	/* Bit 1 of RFLAGS cannot be cleared. */
	in.rflags = 0;
	OK(kt_ioctl(t->vcpu, KVM_SET_REGS, &in));
	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &out));
	GIVES(out.rflags, 2);
}

static void reset_state(struct kt_vm *t)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &r));
	GIVES(r.rip, 0xfff0);
	GIVES(r.rflags, 2);
	KT_CHECK(r.rdx != 0);
	OK(kt_ioctl(t->vcpu, KVM_GET_SREGS, &s));
	GIVES(s.cs.base, 0xffff0000);
	GIVES(s.cs.selector, 0xf000);
	GIVES(s.cs.limit, 0xffff);
	GIVES(s.cs.type, 11);
	GIVES(s.cs.present, 1);
	GIVES(s.cs.unusable, 0);
	GIVES(s.ds.type, 3);
	GIVES(s.cr0, 0x60000010);
	GIVES(s.cr3, 0);
	GIVES(s.cr4, 0);
	GIVES(s.efer, 0);
	GIVES(s.gdt.limit, 0xffff);
	GIVES(s.apic_base, 0xfee00900);
}

/* Long mode in one call, and what contradicts it. */
static void long_mode(struct kt_vm *t)
{
	struct kvm_sregs s, bad, out;

	OK(kt_ioctl(t->vcpu, KVM_GET_SREGS, &s));
	s.cr0 = 0x80050033;
	s.cr3 = 0x2000;
	s.cr4 = 0x20;
	s.efer = 0x500;
	s.cs.l = 1;
	s.cs.db = 0;
	s.cs.g = 1;
	s.cs.limit = 0xffffffff;
	s.gs.base = 0x123456789abcull;
	s.ldt.unusable = 1;
	OK(kt_ioctl(t->vcpu, KVM_SET_SREGS, &s));
	OK(kt_ioctl(t->vcpu, KVM_GET_SREGS, &out));
	GIVES(out.cr0, s.cr0);
	GIVES(out.cr3, s.cr3);
	GIVES(out.cr4, s.cr4);
	GIVES(out.efer, s.efer);
	GIVES(out.cs.l, 1);
	GIVES(out.cs.limit, 0xffffffff);
	GIVES(out.gs.base, s.gs.base);
	GIVES(out.ldt.unusable, 1);
	bad = s;
	bad.efer = 0x100; /* LME without LMA */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr4 = 0; /* without PAE */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.efer = 0; /* CS.L outside long mode */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr0 = 0x80000010; /* PG without PE */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr0 |= 1ull << 32;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr0 |= 1u << 29; /* NW without CD */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr4 |= 1ull << 31;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SREGS, &bad), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_SET_SREGS, &s));
}

static void apic_base(void)
{
	struct kvm_sregs s;
	struct kt_vm t;

	kt_vm_open(&t, KT_IRQCHIP);
	kt_set_cpuid(&t);
	OK(kt_ioctl(t.vcpu, KVM_GET_SREGS, &s));
	s.apic_base |= 1;
	FAILS(kt_ioctl(t.vcpu, KVM_SET_SREGS, &s), EINVAL);
	s.apic_base = 0xfee00900 | 0x400 | 0x800;
	OK(kt_ioctl(t.vcpu, KVM_SET_SREGS, &s));
	OK(kt_ioctl(t.vcpu, KVM_GET_SREGS, &s));
	GIVES(s.apic_base, 0xfee00d00);
	kt_vm_close(&t);
}

static void sregs2(void)
{
	struct kvm_sregs2 s, out;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vcpu, KVM_GET_SREGS2, &s));
	GIVES(s.flags, 0);
	s.flags = 2;
	FAILS(kt_ioctl(t.vcpu, KVM_SET_SREGS2, &s), EINVAL);
	/* PDPTEs belong to PAE paging. */
	s.flags = 1;
	FAILS(kt_ioctl(t.vcpu, KVM_SET_SREGS2, &s), EINVAL);
	s.cr0 = 0x80050033;
	s.cr3 = 0x2000;
	s.cr4 = 0x20;
	for (unsigned int i = 0; i < 4; i++)
		s.pdptrs[i] = 0x3001 + i * 0x1000;
	OK(kt_ioctl(t.vcpu, KVM_SET_SREGS2, &s));
	OK(kt_ioctl(t.vcpu, KVM_GET_SREGS2, &out));
	if (!kt_real) { /* not every kind of host keeps them */
		GIVES(out.flags, 1);
		GIVES(memcmp(s.pdptrs, out.pdptrs, sizeof(s.pdptrs)), 0);
	}
	kt_vm_close(&t);
}

static void fpu(struct kt_vm *t)
{
	struct kvm_fpu in = { .fcw = 0x27f }, out;

	OK(kt_ioctl(t->vcpu, KVM_GET_FPU, &out));
	for (unsigned int i = 0; i < sizeof(in.xmm); i++)
		((uint8_t *)in.xmm)[i] = i * 7;
	for (unsigned int i = 0; i < 8; i++)
		in.fpr[i][0] = i + 1;
	in.ftwx = 0xff;
	OK(kt_ioctl(t->vcpu, KVM_SET_FPU, &in));
	OK(kt_ioctl(t->vcpu, KVM_GET_FPU, &out));
	GIVES(out.fcw, in.fcw);
	GIVES(out.ftwx, in.ftwx);
	GIVES(memcmp(out.xmm, in.xmm, sizeof(in.xmm)), 0);
	GIVES(memcmp(out.fpr, in.fpr, sizeof(in.fpr)), 0);
}

static void xsave(struct kt_vm *t)
{
	struct kvm_xsave x = { 0 }, y = { 0 };

	OK(kt_ioctl(t->vcpu, KVM_GET_XSAVE, &x));
	if (!kt_real) /* Linux leaves XSTATE_BV behind in KVM_SET_FPU */
		GIVES(x.region[0] & 0xffff, 0x27f);
	GIVES(x.region[6], 0x1f80);
	x.region[40] = 0x12345678; /* XMM0 */
	x.region[128] |= 3;
	OK(kt_ioctl(t->vcpu, KVM_SET_XSAVE, &x));
	OK(kt_ioctl(t->vcpu, KVM_GET_XSAVE2, &y));
	GIVES(y.region[40], 0x12345678);
	x.region[6] = 0xffff0000; /* reserved MXCSR bits */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XSAVE, &x), EINVAL);
	x.region[6] = 0x1f80;
	x.region[129] = 1u << 30; /* a component that does not exist */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XSAVE, &x), EINVAL);
}

/* Sets PE in MXCSR and touches no vector register; the second run reads it. */
KT_ASM(mxcsr, "cvtss2si 0x5000, %eax\n hlt\n stmxcsr 0x5004\n hlt");

static void runs_to_hlt(struct kt_vm *t)
{
	OK(kt_run(t));
	GIVES(t->run->exit_reason, KVM_EXIT_HLT);
}

/*
 * All vector registers are zero, which processors may take for SSE not being in
 * use: looking does not change MXCSR, what one sees can be given back, and
 * without SSE in XSTATE_BV it is initial.
 */
static void mxcsr_alone(bool set_fpu, bool set_xsave, bool initial, int e)
{
	const float half = 0.5;
	struct kvm_xsave x;
	struct kvm_fpu f;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	kt_executor(&t, e);
	kt_set_cpuid(&t);
	KT_LONG(&t, mxcsr);
	memcpy(t.mem + 0x5000, &half, 4);
	runs_to_hlt(&t);
	OK(kt_ioctl(t.vcpu, KVM_GET_FPU, &f));
	if (set_fpu)
		OK(kt_ioctl(t.vcpu, KVM_SET_FPU, &f));
	OK(kt_ioctl(t.vcpu, KVM_GET_XSAVE, &x));
	GIVES(x.region[6], 0x1fa0);
	GIVES(x.region[128] & 2, 2);
	if (initial)
		x.region[128] &= ~6u;
	if (set_xsave)
		OK(kt_ioctl(t.vcpu, KVM_SET_XSAVE, &x));
	runs_to_hlt(&t);
	GIVES((uint32_t)kt_u64(&t, 0x5004), initial ? 0x1f80 : 0x1fa0);
	kt_vm_close(&t);
}

static void mxcsr(void)
{
	for (KT_EXECUTORS(e)) {
		/* What the processor calls in use varies. */
		for (unsigned int n = 0; n < 4; n++) {
			mxcsr_alone(false, false, false, e);
			mxcsr_alone(true, false, false, e);
			mxcsr_alone(false, true, false, e);
			mxcsr_alone(false, true, true, e);
		}
	}
}

static void xcrs(struct kt_vm *t)
{
	struct kvm_xcrs x;

	OK(kt_ioctl(t->vcpu, KVM_GET_XCRS, &x));
	GIVES(x.nr_xcrs, 1);
	GIVES(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	OK(kt_ioctl(t->vcpu, KVM_SET_XCRS, &x));
	OK(kt_ioctl(t->vcpu, KVM_GET_XCRS, &x));
	GIVES(x.xcrs[0].value, 3);
	x.xcrs[0].value = 2; /* without x87 */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XCRS, &x), EINVAL);
	x.xcrs[0].value = 5; /* AVX without SSE */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XCRS, &x), EINVAL);
	x.xcrs[0].value = 3;
	x.nr_xcrs = 17;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XCRS, &x), EINVAL);
	x.nr_xcrs = 1;
	x.flags = 1;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_XCRS, &x), EINVAL);
}

static void debugregs(struct kt_vm *t)
{
	struct kvm_debugregs d;

	OK(kt_ioctl(t->vcpu, KVM_GET_DEBUGREGS, &d));
	GIVES(d.dr6, 0xffff0ff0);
	GIVES(d.dr7, 0x400);
	GIVES(d.flags, 0);
	d.db[0] = 0x1234;
	d.dr7 = 0x400;
	OK(kt_ioctl(t->vcpu, KVM_SET_DEBUGREGS, &d));
	OK(kt_ioctl(t->vcpu, KVM_GET_DEBUGREGS, &d));
	GIVES(d.db[0], 0x1234);
	d.flags = 1;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_DEBUGREGS, &d), EINVAL);
	d.flags = 0;
	d.dr6 = 1ull << 32;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_DEBUGREGS, &d), EINVAL);
	d.dr6 = 0xffff0ff0;
	d.dr7 = 1ull << 32;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_DEBUGREGS, &d), EINVAL);
}

static void events(struct kt_vm *t)
{
	struct kvm_vcpu_events e, out;

	OK(kt_ioctl(t->vcpu, KVM_GET_VCPU_EVENTS, &e));
	GIVES(e.flags, KVM_VCPUEVENT_VALID_NMI_PENDING |
			       KVM_VCPUEVENT_VALID_SHADOW |
			       KVM_VCPUEVENT_VALID_SMM);
	e.flags |= 1u << 30;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	memset(&e, 0, sizeof(e));
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD; /* not enabled */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT; /* not enabled */
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 32;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.exception.nr = 2;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x18;
	e.nmi.masked = 1;
	e.nmi.pending = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	OK(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_ioctl(t->vcpu, KVM_GET_VCPU_EVENTS, &out));
	GIVES(out.exception.injected, 1);
	GIVES(out.exception.nr, 13);
	GIVES(out.exception.error_code, 0x18);
	GIVES(out.nmi.masked, 1);
	GIVES(out.nmi.pending, 1);
	/* Which shadow is meant, a host's processor may not tell. */
	KT_CHECK(out.interrupt.shadow);
	memset(&e, 0, sizeof(e));
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	OK(kt_ioctl(t->vcpu, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_ioctl(t->vcpu, KVM_GET_VCPU_EVENTS, &out));
	GIVES(out.exception.injected, 0);
	GIVES(out.nmi.pending, 0);
}

static void translate(void)
{
	struct kvm_translation tr = { .linear_address = 0x12345 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vcpu, KVM_TRANSLATE, &tr));
	GIVES(tr.valid, 1);
	GIVES(tr.physical_address, 0x12345);
	kt_vm_close(&t);
}

void test_regs(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	reset_state(&t);
	kt_set_cpuid(&t);
	regs(&t);
	fpu(&t);
	xsave(&t);
	xcrs(&t);
	debugregs(&t);
	events(&t);
	long_mode(&t);
	kt_vm_close(&t);
	mxcsr();
	apic_base();
	sregs2();
	translate();
}

#include "api/vcpu_fpu.h"

#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"

/*
 * cpu->xsave is an XSAVE area in the host's standard format (SDM 1 "Managing
 * State Using the XSAVE Feature Set"): legacy region, header, components at
 * the offsets of CPUID leaf 0DH.  A component whose bit in XSTATE_BV is clear
 * is in its initial state, whatever its bytes say; clients want the bytes.
 *
 * MXCSR is the exception: XSAVE and XRSTOR move it whether SSE is in use or
 * not, and it may be the only part of SSE that is not initial ("Processor
 * Tracking of XSAVE-Managed State").  For clients, as for XSAVEC, SSE is then
 * in use.
 */
struct fxsave {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t unused[96];
	uint64_t xstate_bv, xcomp_bv, header[6];
};
_Static_assert(sizeof(struct fxsave) == 576, "legacy region and header");

#define FCW_INIT      0x37f
#define MXCSR_INIT    0x1f80
#define NR_COMPONENTS 63
#define AVX512	      (7ull << 5) /* opmask, ZMM_Hi256, Hi16_ZMM */

/* show_init - writes the initial state of the components that are in it. */
static void show_init(const struct vcpu *v, uint8_t *area)
{
	struct fxsave *fx = (struct fxsave *)area;
	struct cpuid_entry e;

	if (!(fx->xstate_bv & XCR0_X87)) {
		memset(fx, 0, offsetof(struct fxsave, mxcsr));
		memset(fx->st, 0, sizeof(fx->st));
		fx->fcw = FCW_INIT;
	}
	if (!(fx->xstate_bv & XCR0_SSE))
		memset(fx->xmm, 0, sizeof(fx->xmm));
	if (fx->mxcsr != MXCSR_INIT)
		fx->xstate_bv |= XCR0_SSE;
	for (unsigned int i = 2; i < NR_COMPONENTS; i++) {
		if ((fx->xstate_bv & BIT(i)) ||
		    !(v->cpu->supported_xcr0 & BIT(i)))
			continue;
		cpuid_host(0xd, i, &e);
		if (e.eax && e.ebx + e.eax <= v->cpu->xsave_size)
			memset(area + e.ebx, 0, e.eax);
	}
}

static uint32_t mxcsr_mask(const struct vcpu *v)
{
	const struct fxsave *fx = v->cpu->xsave;

	return fx->mxcsr_mask ? fx->mxcsr_mask : 0xffbf;
}

/* As in Linux, struct kvm_fpu's mxcsr takes no part in either direction. */
int vcpu_get_fpu(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	struct fxsave *fx = v->cpu->xsave;
	struct kvm_fpu *out = arg;

	show_init(v, v->cpu->xsave);
	memcpy(out->fpr, fx->st, sizeof(out->fpr));
	memcpy(out->xmm, fx->xmm, sizeof(out->xmm));
	out->fcw = fx->fcw;
	out->fsw = fx->fsw;
	out->ftwx = fx->ftw;
	out->last_opcode = fx->fop;
	out->last_ip = fx->fip;
	out->last_dp = fx->fdp;
	return 0;
}

int vcpu_set_fpu(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	struct fxsave *fx = v->cpu->xsave;
	const struct kvm_fpu *in = arg;

	show_init(v, v->cpu->xsave);
	memcpy(fx->st, in->fpr, sizeof(fx->st));
	memcpy(fx->xmm, in->xmm, sizeof(fx->xmm));
	fx->fcw = in->fcw;
	fx->fsw = in->fsw;
	fx->ftw = in->ftwx;
	fx->fop = in->last_opcode;
	fx->fip = in->last_ip;
	fx->fdp = in->last_dp;
	fx->xstate_bv |= XCR0_X87 | XCR0_SSE;
	return 0;
}

int vcpu_fpu_xsave_size(void)
{
	/* Components past 4096 bytes (AMX) are not offered. */
	return sizeof(struct kvm_xsave);
}

int vcpu_get_xsave(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	uint32_t n = v->cpu->xsave_size;

	if (n > sizeof(struct kvm_xsave))
		n = sizeof(struct kvm_xsave);
	show_init(v, v->cpu->xsave);
	memcpy(arg, v->cpu->xsave, n);
	return 0;
}

int vcpu_set_xsave(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct fxsave *in = arg;
	struct fxsave *fx = v->cpu->xsave;
	uint32_t mask = mxcsr_mask(v), n = v->cpu->xsave_size;

	if (n > sizeof(struct kvm_xsave))
		n = sizeof(struct kvm_xsave);
	if ((in->xstate_bv & ~(v->cpu->supported_xcr0 | XCR0_X87 | XCR0_SSE)) ||
	    in->xcomp_bv || (in->mxcsr & ~mask))
		return -EINVAL;
	for (unsigned int i = 0; i < ARRAY_SIZE(in->header); i++) {
		if (in->header[i])
			return -EINVAL;
	}
	memcpy(v->cpu->xsave, arg, n);
	fx->mxcsr_mask = mask;
	if (!(fx->xstate_bv & (XCR0_SSE | XCR0_AVX)))
		fx->mxcsr = MXCSR_INIT;
	return 0;
}

int vcpu_get_xcrs(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	struct kvm_xcrs *out = arg;

	out->nr_xcrs = 1;
	out->xcrs[0].value = v->cpu->xcr0;
	return 0;
}

/* xcr0_ok - the rules of XSETBV (SDM 2 "XSETBV"). */
static bool xcr0_ok(const struct cpu *c, uint64_t value)
{
	if (!(value & XCR0_X87) || (value & ~(c->supported_xcr0 | XCR0_X87)))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if (!(value & AVX512))
		return true;
	return (value & AVX512) == AVX512 && (value & XCR0_AVX);
}

int vcpu_set_xcrs(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_xcrs *in = arg;

	if (in->nr_xcrs > KVM_MAX_XCRS || in->flags)
		return -EINVAL;
	for (uint32_t i = 0; i < in->nr_xcrs; i++) {
		if (in->xcrs[i].xcr)
			continue;
		if (!xcr0_ok(v->cpu, in->xcrs[i].value))
			return -EINVAL;
		v->cpu->xcr0 = in->xcrs[i].value;
		return 0;
	}
	return 0;
}

#include "vmm/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/cpuid.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#define MSR_MISC_ENABLE		 0x1a0
#define MISC_ENABLE_FAST_STRINGS 1
#define MSR_MTRR_DEF_TYPE	 0x2ff
#define MTRR_ENABLE_WRITEBACK                                                  \
	0x806 /* enabled, write-back where no range is                         \
	       */

#define FCW_RESET   0x37f
#define MXCSR_RESET 0x1f80

/* Offsets in the local APIC's register page, and delivery modes. */
#define APIC_TPR	 0x080
#define APIC_DFR	 0x0e0
#define APIC_SPIV	 0x0f0
#define APIC_LVT_TIMER	 0x320
#define APIC_TIMER_COUNT 0x380
#define APIC_LVT_LINT0	 0x350
#define APIC_LVT_LINT1	 0x360
#define LVT_MODE_MASK	 0x700
#define LVT_NMI		 0x400
#define LVT_EXTINT	 0x700
#define LVT_MASKED	 0x10000

static int vcpu_call(const struct vcpu *vcpu, const char *name,
		     unsigned long request, void *arg)
{
	int r = kvmfd_ioctl(&vcpu->fd, request, arg);

	if (r < 0)
		return log_error(r, "%s failed for CPU %u: %s", name, vcpu->id,
				 strerror(-r));
	return 0;
}
#define VCPU_CALL(vcpu, request, arg) vcpu_call(vcpu, #request, request, arg)

static int vcpu_set_hyperv(struct vcpu *vcpu, struct kvm_cpuid2 *list)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC };
	int r = cpuid_add_hyperv(&vcpu->vm->sys, list);

	if (r)
		return log_error(r, "KVM_GET_SUPPORTED_HV_CPUID failed: %s",
				 strerror(-r));
	return VCPU_CALL(vcpu, KVM_ENABLE_CAP, &cap);
}

static int vcpu_set_cpuid(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct kvm_cpuid2 *list;
	int r = cpuid_get_supported(&vm->sys, &list);

	if (r)
		return log_error(r, "KVM_GET_SUPPORTED_CPUID failed: %s",
				 strerror(-r));
	r = kvmfd_ioctl_val(&vm->sys, KVM_CHECK_EXTENSION,
			    KVM_CAP_TSC_DEADLINE_TIMER);
	cpuid_set_vcpu(list, vcpu->id, vm->config->nr_cpus, r > 0);
	cpumodel_apply(&vm->config->cpu, list, vcpu->id == 0);
	r = vm->config->cpu.hyperv ? vcpu_set_hyperv(vcpu, list) : 0;
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_CPUID2, list);
	free(list);
	return r;
}

/* An MSR that a BIOS would have set; some KVMs do not know it. */
static void vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t val)
{
	uint64_t buf[(sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)) /
		     8] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)buf;
	int r;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	msrs->entries[0].data = val;
	r = kvmfd_ioctl(&vcpu->fd, KVM_SET_MSRS, msrs);

	if (r != 1)
		log_info("MSR %#x of CPU %u was not set", index, vcpu->id);
}

/* @firmware: there is some, which sets up the MTRRs itself. */
static void vcpu_set_bios_msrs(struct vcpu *vcpu, bool firmware)
{
	vcpu_set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS);
	if (firmware)
		return;
	vcpu_set_msr(vcpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITEBACK);
}

static void vcpu_set_lvt(struct kvm_lapic_state *lapic, unsigned reg,
			 uint32_t mode)
{
	uint32_t lvt;

	memcpy(&lvt, lapic->regs + reg, sizeof(lvt));
	lvt = (lvt & ~(LVT_MODE_MASK | LVT_MASKED)) | mode;
	memcpy(lapic->regs + reg, &lvt, sizeof(lvt));
}

/* "Virtual wire": the PICs at LINT0 of the boot CPU, NMI at LINT1 of all. */
static int vcpu_set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	int r = VCPU_CALL(vcpu, KVM_GET_LAPIC, &lapic);

	if (r)
		return r;
	if (vcpu->id == 0)
		vcpu_set_lvt(&lapic, APIC_LVT_LINT0, LVT_EXTINT);
	vcpu_set_lvt(&lapic, APIC_LVT_LINT1, LVT_NMI);
	return VCPU_CALL(vcpu, KVM_SET_LAPIC, &lapic);
}

static int vcpu_set_regs(struct vcpu *vcpu, const struct entry *entry)
{
	struct kvm_fpu fpu = { .fcw = FCW_RESET, .mxcsr = MXCSR_RESET };
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int r;

	if (entry->mode == ENTRY_RESET)
		return 0;
	r = VCPU_CALL(vcpu, KVM_GET_SREGS, &sregs);
	if (r)
		return r;
	entry_set_regs(entry, &regs, &sregs);
	r = VCPU_CALL(vcpu, KVM_SET_SREGS, &sregs);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_REGS, &regs);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_FPU, &fpu);
	return r;
}

static int vcpu_set_mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state = { vcpu->id ? KVM_MP_STATE_UNINITIALIZED
					       : KVM_MP_STATE_RUNNABLE };

	return VCPU_CALL(vcpu, KVM_SET_MP_STATE, &state);
}

static int vcpu_set_executor(struct vcpu *vcpu)
{
	const struct vm_config *config = vcpu->vm->config;
	int r = 0;

	if (config->careful)
		r = kvmfd_set_careful(&vcpu->fd);
	if (r < 0)
		return log_error(r, "--exec careful needs --accel ring3");
	if (config->forced_emulation)
		r = kvmfd_set_forced_emulation(&vcpu->fd);
	if (r < 0)
		return log_error(r, "--force-emulation needs --accel ring3; "
				    "for /dev/kvm, set the module's parameter "
				    "kvm.force_emulation_prefix=1");
	/* On /dev/kvm without the module's parameter only kernels call. */
	if (config->vmware_backdoor)
		kvmfd_set_vmware_backdoor(&vcpu->fd);
	return 0;
}

static int vcpu_map(struct vcpu *vcpu)
{
	int size = kvmfd_ioctl_val(&vcpu->vm->sys, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(*vcpu->run))
		return log_error(-EINVAL, "KVM_GET_VCPU_MMAP_SIZE gave %d",
				 size);
	vcpu->run_size = size;
	vcpu->run = kvmfd_mmap(&vcpu->fd, size);
	if (!vcpu->run)
		return log_error(-errno, "cannot map %d bytes of CPU %u: %s",
				 size, vcpu->id, strerror(errno));
	return 0;
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned id,
		const struct entry *entry)
{
	int r;

	vcpu->vm = vm;
	vcpu->id = id;
	r = kvmfd_create(&vm->fd, KVM_CREATE_VCPU, id, &vcpu->fd);
	if (r)
		return log_error(r, "cannot create CPU %u: %s", id,
				 strerror(-r));
	r = vcpu_set_executor(vcpu);
	if (!r)
		r = vcpu_map(vcpu);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_GET_SREGS, &vcpu->power_up);
	if (!r)
		r = vcpu_set_cpuid(vcpu);
	if (!r && id == 0)
		r = vcpu_set_regs(vcpu, entry);
	if (!r)
		r = vcpu_set_lapic(vcpu);
	if (!r)
		r = vcpu_set_mp_state(vcpu);
	if (!r)
		vcpu_set_bios_msrs(vcpu, entry->mode == ENTRY_RESET);
	return r;
}

/* MSRs that are 0 after a reset; the TSC runs on. */
static const uint32_t reset_msrs[] = {
	0x00000174, 0x00000175, 0x00000176,		/* SYSENTER */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* SYSCALL */
	0xc0000102, 0xc0000103, /* KERNEL_GS_BASE, TSC_AUX */
	0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03,
	0x4b564d04, 0x00000011, 0x00000012, /* KVM's, in new and old places */
};

/* Empty but for the timer and interrupts, which firmware enables. */
static int vcpu_reset_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	int r = VCPU_CALL(vcpu, KVM_GET_LAPIC, &lapic);

	if (r)
		return r;
	memset(lapic.regs + APIC_TPR, 0, APIC_LVT_TIMER - APIC_TPR);
	memset(lapic.regs + APIC_TIMER_COUNT, 0,
	       sizeof(lapic.regs) - APIC_TIMER_COUNT);
	memset(lapic.regs + APIC_DFR, 0xff, 4);
	lapic.regs[APIC_SPIV] = 0xff;
	for (unsigned reg = APIC_LVT_TIMER; reg < APIC_TIMER_COUNT; reg += 16) {
		uint32_t masked = LVT_MASKED;

		memcpy(lapic.regs + reg, &masked, sizeof(masked));
	}
	r = VCPU_CALL(vcpu, KVM_SET_LAPIC, &lapic);
	return r ? r : vcpu_set_lapic(vcpu);
}

int vcpu_reset(struct vcpu *vcpu, uint32_t start)
{
	struct kvm_regs regs = { .rip = 0xfff0, .rflags = 2 };
	struct kvm_fpu fpu = { .fcw = FCW_RESET, .mxcsr = MXCSR_RESET };
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
			 KVM_VCPUEVENT_VALID_SHADOW,
	};
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 1 };
	struct kvm_sregs sregs = vcpu->power_up;
	int r;

	if (vcpu->id == 0) {
		sregs.cs.base = start & ~15u;
		sregs.cs.selector = start >> 4;
		regs.rip = start & 15;
	}
	r = VCPU_CALL(vcpu, KVM_SET_SREGS, &sregs);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_REGS, &regs);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_FPU, &fpu);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_VCPU_EVENTS, &events);
	if (!r)
		r = VCPU_CALL(vcpu, KVM_SET_DEBUGREGS, &debug);
	if (!r)
		r = vcpu_reset_lapic(vcpu);
	if (!r)
		r = vcpu_set_mp_state(vcpu);
	kvmfd_ioctl(&vcpu->fd, KVM_SET_XCRS, &xcrs);
	for (size_t i = 0; i < ARRAY_SIZE(reset_msrs); i++)
		vcpu_set_msr(vcpu, reset_msrs[i], 0);
	vcpu_set_bios_msrs(vcpu, false);
	return r;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	kvmfd_close(&vcpu->fd);
}

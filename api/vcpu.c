#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/caps.h"
#include "api/debug.h"
#include "api/dirty_ring.h"
#include "api/fd.h"
#include "api/ioctl.h"
#include "api/lists.h"
#include "api/mce.h"
#include "api/regs.h"
#include "api/run.h"
#include "api/stats.h"
#include "api/vcpu_fpu.h"
#include "api/vcpu_irq.h"
#include "api/vcpu_msr.h"
#include "api/vcpu_time.h"
#include "api/vm.h"
#include "include/ring3.h"
#include "root/run.h"

void api_vcpu_free(struct api_vcpu *av)
{
	stats_free_vcpu(av);
	dirty_ring_free(av);
	if (av->run)
		munmap(av->run, VCPU_MMAP_SIZE);
	if (av->mem_fd >= 0)
		close(av->mem_fd);
	free(av);
}

static void vcpu_release(void *object)
{
	struct api_vcpu *av = object;

	/* The vCPU itself stays part of its VM. */
	api_vm_put(av->avm);
}

static struct api_vcpu *api_vcpu_alloc(struct api_vm *avm)
{
	struct api_vcpu *av = calloc(1, sizeof(*av));
	void *run;

	if (!av)
		return NULL;
	av->avm = avm;
	av->dirty_fd = -1;
	av->mem_fd = fd_memfd("kvm-vcpu", VCPU_MMAP_SIZE);
	if (av->mem_fd < 0)
		goto fail;
	run = mmap(NULL, VCPU_MMAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   av->mem_fd, 0);
	if (run == MAP_FAILED)
		goto fail;
	av->run = run;
	if (dirty_ring_alloc(av))
		goto fail;
	return av;
fail:
	api_vcpu_free(av);
	return NULL;
}

/* create - everything but the descriptor; vm->lock is held. */
static int create(struct api_vm *avm, uint32_t id, struct api_vcpu **out)
{
	struct api_vcpu *av;
	int r;

	if (vm_vcpu_by_id(avm->vm, id))
		return -EEXIST;
	av = api_vcpu_alloc(avm);
	if (!av)
		return -ENOMEM;
	av->vcpu = vcpu_create(avm->vm, id, &av->run->immediate_exit);
	if (!av->vcpu) {
		api_vcpu_free(av);
		return -ENOMEM;
	}
	av->vcpu->owner = av;
	if (av->dirty_ring.gfn)
		av->vcpu->cpu->mmu.dirty_ring = &av->dirty_ring;
	r = vcpu_publish(av->vcpu);
	if (r) {
		vcpu_destroy(av->vcpu);
		api_vcpu_free(av);
		return r;
	}
	*out = av;
	return 0;
}

int api_vcpu_create(struct api_vm *avm, unsigned long id)
{
	uint32_t limit = avm->max_vcpu_id ? avm->max_vcpu_id : MAX_VCPU_ID;
	struct api_vcpu *av;
	int fd, r;

	if (id >= limit)
		return -EINVAL;
	pthread_mutex_lock(&avm->vm->lock);
	r = create(avm, id, &av);
	pthread_mutex_unlock(&avm->vm->lock);
	if (r)
		return r;
	fd = fd_dup(av->mem_fd);
	r = fd < 0 ? fd : fd_install(fd, FILE_VCPU, av, vcpu_release);
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	api_vm_get(avm);
	return fd;
}

/*
 * The third page, the ring of coalesced writes, is one for the whole VM: it is
 * put over the vCPU's own, which a plain mmap of the descriptor sees.
 */
static int map_run(struct api_vcpu *av, void *addr, size_t len, int prot,
		   int flags, off_t offset, void **out)
{
	const off_t ring = KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE_SIZE;
	uint8_t *p;
	int r;

	if (len > VCPU_MMAP_SIZE || (size_t)offset > VCPU_MMAP_SIZE - len)
		return -EINVAL;
	*out = p = mmap(addr, len, prot, flags, av->mem_fd, offset);
	if (*out == MAP_FAILED)
		return -errno;
	if (offset > ring || (off_t)len <= ring - offset ||
	    mmap(p + (ring - offset), PAGE_SIZE, prot,
		 (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, av->avm->ring_fd,
		 0) != MAP_FAILED)
		return 0;
	r = -errno;
	munmap(p, len);
	return r;
}

void *ring3_mmap(void *addr, size_t len, int prot, int flags, int fd,
		 off_t offset)
{
	const off_t dirty = DIRTY_RING_PAGE * PAGE_SIZE;
	struct file *f = fd_get(fd);
	void *p = MAP_FAILED;
	int r;

	if (!f)
		r = -EBADF;
	else if (f->type != FILE_VCPU)
		r = -ENODEV;
	else if (!fd_same_mm(f))
		r = -EIO;
	else if (offset < 0)
		r = -EINVAL;
	else if (offset >= dirty)
		r = dirty_ring_mmap(f->object, addr, len, prot, flags,
				    offset - dirty, &p);
	else
		r = map_run(f->object, addr, len, prot, flags, offset, &p);
	if (f)
		fd_put(f);
	if (!r)
		return p;
	errno = -r;
	return MAP_FAILED;
}

static struct vcpu *vcpu_of(void *object)
{
	return ((struct api_vcpu *)object)->vcpu;
}

static int get_regs(void *object, void *arg, void *user)
{
	regs_get(vcpu_of(object), arg);
	return 0;
}

static int set_regs(void *object, void *arg, void *user)
{
	regs_set(vcpu_of(object), arg);
	return 0;
}

static int get_sregs(void *object, void *arg, void *user)
{
	sregs_get(vcpu_of(object), arg);
	return 0;
}

static int set_sregs(void *object, void *arg, void *user)
{
	return sregs_set(vcpu_of(object), arg);
}

static int get_sregs2(void *object, void *arg, void *user)
{
	sregs2_get(vcpu_of(object), arg);
	return 0;
}

static int set_sregs2(void *object, void *arg, void *user)
{
	return sregs2_set(vcpu_of(object), arg);
}

static int get_events(void *object, void *arg, void *user)
{
	events_get(vcpu_of(object), arg);
	return 0;
}

static int set_events(void *object, void *arg, void *user)
{
	return events_set(vcpu_of(object), arg);
}

static int get_mp_state(void *object, void *arg, void *user)
{
	struct vcpu *v = vcpu_of(object);
	struct kvm_mp_state *out = arg;

	if (v->apic)
		vcpu_accept_events(v);
	out->mp_state = v->mp_state;
	return 0;
}

static int set_mp_state(void *object, void *arg, void *user)
{
	const struct kvm_mp_state *in = arg;
	struct vcpu *v = vcpu_of(object);

	if (in->mp_state > KVM_MP_STATE_SIPI_RECEIVED ||
	    (!v->apic && in->mp_state != KVM_MP_STATE_RUNNABLE))
		return -EINVAL;
	v->mp_state = in->mp_state;
	if (in->mp_state != KVM_MP_STATE_SIPI_RECEIVED)
		return 0;
	v->mp_state = MP_INIT_RECEIVED;
	vcpu_request(v, REQ_SIPI);
	return 0;
}

_Static_assert(MP_HALTED == KVM_MP_STATE_HALTED &&
		       MP_INIT_RECEIVED == KVM_MP_STATE_INIT_RECEIVED &&
		       MP_SIPI_RECEIVED == KVM_MP_STATE_SIPI_RECEIVED,
	       "root mode numbers MP states as the API does");

static int enable_cap(void *object, void *arg, void *user)
{
	return caps_enable_vcpu(object, arg);
}

static int get_stats_fd(void *object, void *arg, void *user)
{
	return stats_create_vcpu(object);
}

const struct ioctl_row vcpu_ioctls[] = {
	IOCTL(KVM_RUN, run_vcpu),
	IOCTL(KVM_GET_REGS, get_regs),
	IOCTL(KVM_SET_REGS, set_regs),
	IOCTL(KVM_GET_SREGS, get_sregs),
	IOCTL(KVM_SET_SREGS, set_sregs),
	IOCTL(KVM_GET_SREGS2, get_sregs2),
	IOCTL(KVM_SET_SREGS2, set_sregs2),
	IOCTL(KVM_GET_FPU, vcpu_get_fpu),
	IOCTL(KVM_SET_FPU, vcpu_set_fpu),
	IOCTL(KVM_GET_XSAVE, vcpu_get_xsave),
	IOCTL(KVM_GET_XSAVE2, vcpu_get_xsave),
	IOCTL(KVM_SET_XSAVE, vcpu_set_xsave),
	IOCTL(KVM_GET_XCRS, vcpu_get_xcrs),
	IOCTL(KVM_SET_XCRS, vcpu_set_xcrs),
	IOCTL_FLAGS(KVM_GET_MSRS, msrs_get, IOCTL_RAW),
	IOCTL_FLAGS(KVM_SET_MSRS, msrs_set, IOCTL_RAW),
	IOCTL_FLAGS(KVM_SET_CPUID, cpuid_set_v1, IOCTL_RAW),
	IOCTL_FLAGS(KVM_SET_CPUID2, cpuid_set_v2, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_SUPPORTED_HV_CPUID, list_hv_cpuid, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_CPUID2, cpuid_get_v2, IOCTL_RAW),
	IOCTL(KVM_GET_VCPU_EVENTS, get_events),
	IOCTL(KVM_SET_VCPU_EVENTS, set_events),
	IOCTL(KVM_GET_DEBUGREGS, debug_get_regs),
	IOCTL(KVM_SET_DEBUGREGS, debug_set_regs),
	IOCTL(KVM_SET_GUEST_DEBUG, debug_set_guest),
	IOCTL(KVM_TRANSLATE, debug_translate),
	IOCTL(KVM_GET_MP_STATE, get_mp_state),
	IOCTL(KVM_SET_MP_STATE, set_mp_state),
	IOCTL(KVM_GET_LAPIC, vcpu_get_lapic),
	IOCTL_FLAGS(KVM_SET_LAPIC, vcpu_set_lapic, IOCTL_RAW),
	IOCTL(KVM_INTERRUPT, vcpu_interrupt),
	IOCTL(KVM_NMI, vcpu_nmi),
	IOCTL(KVM_SET_VAPIC_ADDR, vcpu_set_vapic_addr),
	IOCTL(KVM_TPR_ACCESS_REPORTING, vcpu_tpr_reporting),
	IOCTL_FLAGS(KVM_SET_SIGNAL_MASK, run_set_signal_mask, IOCTL_RAW),
	IOCTL(KVM_X86_SETUP_MCE, mce_setup),
	IOCTL(KVM_X86_SET_MCE, mce_inject),
	IOCTL(KVM_GET_TSC_KHZ, time_get_tsc_khz),
	IOCTL(KVM_SET_TSC_KHZ, time_set_tsc_khz),
	IOCTL(KVM_KVMCLOCK_CTRL, time_kvmclock_ctrl),
	IOCTL(KVM_HAS_DEVICE_ATTR, time_has_attr),
	IOCTL(KVM_GET_DEVICE_ATTR, time_get_attr),
	IOCTL(KVM_SET_DEVICE_ATTR, time_set_attr),
	IOCTL(KVM_ENABLE_CAP, enable_cap),
	IOCTL(KVM_GET_STATS_FD, get_stats_fd),
	{ 0 },
};

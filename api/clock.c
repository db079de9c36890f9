#include "api/clock.h"

#include <errno.h>

#include "api/object.h"

#define VALID_FLAGS                                                            \
	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

int vm_get_clock(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	struct kvm_clock_data *out = arg;
	struct clock_reading now;

	clock_get(&vm->clock, &now);
	out->clock = now.guest_ns;
	out->realtime = now.realtime_ns;
	out->host_tsc = now.host_tsc;
	out->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	if (now.tsc_stable)
		out->flags |= KVM_CLOCK_TSC_STABLE;
	return 0;
}

int vm_set_clock(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	const struct kvm_clock_data *in = arg;
	struct vcpu *v;

	if (in->flags & ~VALID_FLAGS)
		return -EINVAL;
	clock_set(&vm->clock, in->clock,
		  in->flags & KVM_CLOCK_REALTIME ? in->realtime : 0);
	/* Running vCPUs publish the new time when they enter the guest. */
	vcpu_for_each (v, vm)
		vcpu_kick(v);
	return 0;
}

#include "api/vcpu_time.h"

#include <errno.h>

#include "api/copy.h"
#include "api/object.h"
#include "host/time.h"

int time_get_tsc_khz(void *object, void *arg, void *user)
{
	return tsc_khz();
}

/* The guest's TSC runs at the host's rate; up to 250 ppm nobody can tell. */
int time_set_tsc_khz(void *object, void *arg, void *user)
{
	uint64_t khz = (unsigned long)user, host = tsc_khz();
	uint64_t tolerance = host * 250 / 1000000;

	if (!khz || (khz >= host - tolerance && khz <= host + tolerance))
		return 0;
	return -EINVAL;
}

int time_kvmclock_ctrl(void *object, void *arg, void *user)
{
	return clock_stop_notice(&((struct api_vcpu *)object)->vcpu->clock);
}

static bool is_tsc_offset(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL &&
	       attr->attr == KVM_VCPU_TSC_OFFSET;
}

int time_has_attr(void *object, void *arg, void *user)
{
	return is_tsc_offset(arg) ? 0 : -ENXIO;
}

int time_get_attr(void *object, void *arg, void *user)
{
	const struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_device_attr *attr = arg;

	if (!is_tsc_offset(attr))
		return -ENXIO;
	return copy_to_user((void *)attr->addr, &v->clock.tsc_offset,
			    sizeof(v->clock.tsc_offset));
}

int time_set_attr(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_device_attr *attr = arg;
	uint64_t offset;

	if (!is_tsc_offset(attr))
		return -ENXIO;
	if (copy_from_user(&offset, (void *)attr->addr, sizeof(offset)))
		return -EFAULT;
	clock_set_tsc_offset(&v->clock, offset);
	return 0;
}

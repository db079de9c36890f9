#include "api/msr_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/copy.h"

#define ACCESS_BITS (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

void msr_filter_free(struct msr_filter *f)
{
	if (!f)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(f->range); i++)
		free(f->range[i].bitmap);
	free(f);
}

static int add_range(struct msr_filter *f, unsigned int i,
		     const struct kvm_msr_filter_range *in)
{
	/* Bitmaps are copied in whole longs, as the kernel does. */
	size_t size = ((uint64_t)in->nmsrs + 63) / 64 * 8;

	if (!in->nmsrs)
		return 0;
	if ((in->flags & ~ACCESS_BITS) || !in->flags ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	f->range[i].bitmap = malloc(size);
	if (!f->range[i].bitmap)
		return -ENOMEM;
	if (copy_from_user(f->range[i].bitmap, in->bitmap, size))
		return -EFAULT;
	f->range[i].base = in->base;
	f->range[i].nmsrs = in->nmsrs;
	f->range[i].flags = in->flags;
	f->active = true;
	return 0;
}

static int build(struct msr_filter *f, const struct kvm_msr_filter *in)
{
	int r;

	if (in->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f->default_deny = in->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (unsigned int i = 0; i < ARRAY_SIZE(f->range); i++) {
		r = add_range(f, i, &in->ranges[i]);
		if (r)
			return r;
	}
	/* Nothing at all would be allowed. */
	return f->default_deny && !f->active ? -EINVAL : 0;
}

/* The filter is replaced while no vCPU looks at it. */
void msr_filter_apply(struct api_vm *avm, struct msr_filter *f,
		      uint32_t user_msr)
{
	bool exits = (f && f->active) ||
		     (user_msr & (USER_MSR_UNKNOWN | USER_MSR_INVAL));
	struct msr_filter *old;
	struct vcpu *v;

	vm_quiesce(avm->vm);
	old = avm->msr_filter;
	avm->msr_filter = f;
	avm->vm->user_msr = user_msr;
	avm->vm->msr_exits = exits;
	vcpu_for_each (v, avm->vm)
		v->cpu->msr_exits = exits;
	vm_resume(avm->vm);
	if (old != f)
		msr_filter_free(old);
}

int msr_filter_set(void *object, void *arg, void *user)
{
	struct api_vm *avm = object;
	struct kvm_msr_filter in;
	struct msr_filter *f;
	int r;

	if (copy_from_user(&in, user, sizeof(in)))
		return -EFAULT;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	r = build(f, &in);
	if (r) {
		msr_filter_free(f);
		return r;
	}
	pthread_mutex_lock(&avm->vm->slots_lock);
	msr_filter_apply(avm, f, avm->vm->user_msr);
	pthread_mutex_unlock(&avm->vm->slots_lock);
	return 0;
}

static bool is_x2apic(uint32_t msr)
{
	return msr >= 0x800 && msr <= 0x8ff;
}

bool msr_filter_denied(void *owner, uint32_t msr, bool write)
{
	const struct msr_filter *f = ((struct api_vm *)owner)->msr_filter;
	uint32_t access = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;

	if (!f || !f->active || is_x2apic(msr))
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(f->range); i++) {
		uint32_t n = msr - f->range[i].base;

		if (n < f->range[i].nmsrs && (f->range[i].flags & access))
			return !(f->range[i].bitmap[n / 8] & BIT(n % 8));
	}
	return f->default_deny;
}

#include "vmm/slots.h"

#include <linux/kvm.h>

void slots_init(struct slots *s, const struct kvmfd *vm)
{
	*s = (struct slots){ .vm = vm, .lock = PTHREAD_MUTEX_INITIALIZER };
}

static int slots_apply(struct slots *s, unsigned slot, gpa_t gpa, uint64_t size,
		       void *hva, enum slot_kind kind)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = size && kind == SLOT_READONLY ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	int r;

	r = kvmfd_ioctl(s->vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (r >= 0)
		s->set[slot] = size > 0;
	return r < 0 ? r : 0;
}

/* KVM lets neither the kind nor the host memory of a slot change. */
int slots_set(struct slots *s, unsigned slot, gpa_t gpa, uint64_t size,
	      void *hva, enum slot_kind kind)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (s->set[slot])
		r = slots_apply(s, slot, 0, 0, NULL, SLOT_WRITABLE);
	if (!r && size)
		r = slots_apply(s, slot, gpa, size, hva, kind);
	pthread_mutex_unlock(&s->lock);
	return r;
}

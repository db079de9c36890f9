#include "api/dirty_ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/fd.h"

_Static_assert(sizeof(struct dirty_gfn) == sizeof(struct kvm_dirty_gfn) &&
		       offsetof(struct dirty_gfn, slot) ==
			       offsetof(struct kvm_dirty_gfn, slot) &&
		       offsetof(struct dirty_gfn, page) ==
			       offsetof(struct kvm_dirty_gfn, offset) &&
		       DIRTY_GFN_DIRTY == KVM_DIRTY_GFN_F_DIRTY &&
		       DIRTY_GFN_RESET == KVM_DIRTY_GFN_F_RESET,
	       "the engine's ring is the API's");

int dirty_ring_enable(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	uint64_t bytes = c->args[0];
	int r = -EINVAL;

	if (!bytes || (bytes & (bytes - 1)) || bytes < PAGE_SIZE ||
	    bytes / sizeof(struct dirty_gfn) <= DIRTY_RING_RESERVED)
		return -EINVAL;
	if (bytes > DIRTY_RING_MAX_BYTES)
		return -E2BIG;
	pthread_mutex_lock(&avm->vm->lock);
	if (!avm->dirty_ring_bytes && !avm->vm->nr_vcpus) {
		avm->dirty_ring_bytes = bytes;
		r = 0;
	}
	pthread_mutex_unlock(&avm->vm->lock);
	return r;
}

int dirty_ring_alloc(struct api_vcpu *av)
{
	size_t bytes = av->avm->dirty_ring_bytes;
	void *p;

	if (!bytes)
		return 0;
	av->dirty_fd = fd_memfd("kvm-dirty-ring", bytes);
	if (av->dirty_fd < 0)
		return -ENOMEM;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, av->dirty_fd,
		 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	av->dirty_ring.gfn = p;
	av->dirty_ring.size = bytes / sizeof(struct dirty_gfn);
	return 0;
}

void dirty_ring_free(struct api_vcpu *av)
{
	if (av->dirty_ring.gfn)
		munmap(av->dirty_ring.gfn, av->avm->dirty_ring_bytes);
	if (av->dirty_fd >= 0)
		close(av->dirty_fd);
}

int dirty_ring_mmap(struct api_vcpu *av, void *addr, size_t len, int prot,
		    int flags, off_t offset, void **out)
{
	size_t bytes = av->avm->dirty_ring_bytes;

	/* A copy of the ring would be of no use, nor is it code. */
	if (!(flags & MAP_SHARED) || (prot & PROT_EXEC) || len > bytes ||
	    (size_t)offset > bytes - len)
		return -EINVAL;
	*out = mmap(addr, len, prot, flags, av->dirty_fd, offset);
	return *out == MAP_FAILED ? -errno : 0;
}

/* forget - the next write to the page is logged again.  The world is stopped.
 */
static void forget(const struct memslots *slots, uint32_t id, uint64_t page)
{
	for (uint32_t i = 0; slots && i < slots->nr; i++) {
		const struct memslot *s = &slots->slot[i];

		if (s->id != id)
			continue;
		if (s->dirty && page < s->size >> PAGE_SHIFT)
			s->dirty[page / 64] &= ~BIT(page % 64);
		return;
	}
}

static uint32_t reset_one(struct vm *vm, struct dirty_ring *r)
{
	uint32_t slot, n;
	uint64_t page;

	for (n = 0; n < r->size && dirty_ring_harvested(r, &slot, &page); n++) {
		forget(vm->slots, slot, page);
		dirty_ring_reset(r);
	}
	return n;
}

static bool any_harvested(struct vm *vm)
{
	struct vcpu *v;
	uint32_t slot;
	uint64_t page;

	vcpu_for_each (v, vm) {
		if (dirty_ring_harvested(v->cpu->mmu.dirty_ring, &slot, &page))
			return true;
	}
	return false;
}

int dirty_ring_reset_all(void *object, void *arg, void *user)
{
	struct api_vm *avm = object;
	struct vm *vm = avm->vm;
	struct vcpu *v;
	int n = 0;

	if (!avm->dirty_ring_bytes)
		return -EINVAL;
	pthread_mutex_lock(&vm->slots_lock);
	if (any_harvested(vm)) {
		vm_quiesce(vm);
		vcpu_for_each (v, vm)
			n += reset_one(vm, v->cpu->mmu.dirty_ring);
		dbt_rearm_dirty(vm->dbt);
		vm_resume(vm);
	}
	pthread_mutex_unlock(&vm->slots_lock);
	return n;
}

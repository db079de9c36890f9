#include "root/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/share.h"
#include "root/vcpu.h"
#include "root/vm_irq.h"

struct vm *vm_create(const struct vm_ops *ops, void *owner)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->ops = ops;
	vm->owner = owner;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->slots_lock, NULL);
	clock_vm_init(&vm->clock);
	hv_vm_init(&vm->hv);
	vm->dbt = dbt_create();
	if (!vm->dbt) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

void vm_destroy(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->nr_vcpus; i++)
		vcpu_destroy(vm->vcpu[i]);
	vm_destroy_irqchip(vm);
	if (vm->dbt)
		dbt_destroy(vm->dbt);
	memslots_free(vm->slots);
	share_forget(NULL, SIZE_MAX);
	clock_vm_finish(&vm->clock);
	pthread_mutex_destroy(&vm->slots_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

struct vcpu *vm_vcpu_by_id(struct vm *vm, uint32_t id)
{
	struct vcpu *v;

	vcpu_for_each (v, vm) {
		if (v->id == id)
			return v;
	}
	return NULL;
}

void vm_quiesce(struct vm *vm)
{
	struct vcpu *v;

	dbt_enter_quiet(vm->dbt);
	vcpu_for_each (v, vm)
		lock_take(&v->mem_lock);
}

void vm_resume(struct vm *vm)
{
	struct vcpu *v;

	vcpu_for_each (v, vm)
		lock_drop(&v->mem_lock);
	dbt_leave_quiet(vm->dbt);
}

/* Smaller slots are firmware's and devices'. */
#define SHARE_MIN_SIZE (256 * 1024)

static bool share_wanted(void)
{
#ifdef RING3_SANITIZE
	return false;
#else
	static int wanted;

	if (!wanted) {
		const char *s = getenv("RING3_DIRECT");

		wanted = s && !strcmp(s, "off") ? -1 : 1;
	}
	return wanted > 0;
#endif
}

/*
 * slot_share - makes a new slot's memory such that runners can map it; what
 * cannot be shared is used as it is.  The world is stopped.
 */
static void slot_share(const struct memslots *old, uint32_t id, uint32_t flags,
		       uint64_t size, uint8_t *hva)
{
	if (size < SHARE_MIN_SIZE || (flags & MEMSLOT_READONLY) ||
	    !share_wanted())
		return;
	for (uint32_t i = 0; old && i < old->nr; i++)
		if (old->slot[i].id == id)
			return;
	(void)share_convert(hva, size);
}

int vm_set_slot(struct vm *vm, uint32_t id, uint32_t flags, gpa_t gpa,
		uint64_t size, uint8_t *hva)
{
	struct memslots *old, *new;
	int r;

	pthread_mutex_lock(&vm->slots_lock);
	old = vm->slots;
	r = memslots_update(old, id, flags, gpa, size, hva, &new);
	if (!r && new != old) {
		vm_quiesce(vm);
		slot_share(old, id, flags, size, hva);
		vm->slots = new;
		dbt_slots_changed(vm->dbt, new);
		vm_resume(vm);
		memslots_retire(old, new);
	}
	pthread_mutex_unlock(&vm->slots_lock);
	return r;
}

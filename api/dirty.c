#include "api/dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/copy.h"

/*
 * Bits are cleared while no vCPU runs, and write entries of TLBs are dropped
 * in the same stop, so that the next write to each page is logged again.
 */

/* find - slot @id if it logs; under slots_lock. */
static const struct memslot *find(struct api_vm *avm, uint32_t id)
{
	const struct memslots *slots = avm->vm->slots;

	for (uint32_t i = 0; slots && i < slots->nr; i++) {
		if (slots->slot[i].id == id)
			return slots->slot[i].dirty ? &slots->slot[i] : NULL;
	}
	return NULL;
}

static uint64_t nr_pages(const struct memslot *s)
{
	return s->size >> PAGE_SHIFT;
}

static uint64_t nr_words(const struct memslot *s)
{
	return (nr_pages(s) + 63) / 64;
}

bool dirty_is_logged(struct api_vm *avm, uint32_t id)
{
	bool logged;

	pthread_mutex_lock(&avm->vm->slots_lock);
	logged = find(avm, id);
	pthread_mutex_unlock(&avm->vm->slots_lock);
	return logged;
}

void dirty_log_started(struct api_vm *avm, uint32_t id)
{
	const struct memslot *s;

	if (!(avm->dirty_manual & KVM_DIRTY_LOG_INITIALLY_SET) ||
	    avm->dirty_ring_bytes)
		return;
	pthread_mutex_lock(&avm->vm->slots_lock);
	s = find(avm, id);
	for (uint64_t i = 0; s && i < nr_words(s); i++)
		__atomic_store_n(&s->dirty[i], ~0ull, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&avm->vm->slots_lock);
}

/* harvest - copies the log to @out and clears it. */
static void harvest(struct vm *vm, const struct memslot *s, uint64_t *out)
{
	vm_quiesce(vm);
	for (uint64_t i = 0; i < nr_words(s); i++)
		out[i] = __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_RELAXED);
	dbt_rearm_dirty(vm->dbt);
	vm_resume(vm);
}

static int get_locked(struct api_vm *avm, const struct kvm_dirty_log *log)
{
	const struct memslot *s = find(avm, log->slot);
	uint64_t *bits;
	int r;

	if (!s)
		return -ENOENT;
	if (avm->dirty_manual)
		return copy_to_user(log->dirty_bitmap, s->dirty,
				    nr_words(s) * sizeof(*bits));
	bits = calloc(nr_words(s), sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	harvest(avm->vm, s, bits);
	r = copy_to_user(log->dirty_bitmap, bits, nr_words(s) * sizeof(*bits));
	free(bits);
	return r;
}

int dirty_get(void *object, void *arg, void *user)
{
	const struct kvm_dirty_log *log = arg;
	struct api_vm *avm = object;
	int r;

	if (avm->dirty_ring_bytes)
		return -ENXIO;
	if (log->slot >= MEMSLOT_MAX)
		return -EINVAL;
	pthread_mutex_lock(&avm->vm->slots_lock);
	r = get_locked(avm, log);
	pthread_mutex_unlock(&avm->vm->slots_lock);
	return r;
}

/* clear_bits - the pages from @first (a multiple of 64) whose bit is set. */
static void clear_bits(struct vm *vm, const struct memslot *s, uint64_t first,
		       const uint64_t *bits, uint64_t words)
{
	vm_quiesce(vm);
	for (uint64_t i = 0; i < words; i++)
		__atomic_fetch_and(&s->dirty[first / 64 + i], ~bits[i],
				   __ATOMIC_RELAXED);
	dbt_rearm_dirty(vm->dbt);
	vm_resume(vm);
}

static int clear_locked(struct api_vm *avm,
			const struct kvm_clear_dirty_log *log)
{
	const struct memslot *s = find(avm, log->slot);
	uint64_t *bits, words, left;
	int r;

	if (!s)
		return -ENOENT;
	if (log->first_page > nr_pages(s))
		return -EINVAL;
	left = nr_pages(s) - log->first_page;
	if (log->num_pages > left ||
	    (log->num_pages < left && log->num_pages % 64))
		return -EINVAL;
	words = (log->num_pages + 63) / 64;
	bits = calloc(words + 1, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	r = copy_from_user(bits, log->dirty_bitmap, words * sizeof(*bits));
	if (!r)
		clear_bits(avm->vm, s, log->first_page, bits, words);
	free(bits);
	return r;
}

int dirty_clear(void *object, void *arg, void *user)
{
	const struct kvm_clear_dirty_log *log = arg;
	struct api_vm *avm = object;
	int r;

	if (avm->dirty_ring_bytes)
		return -ENXIO;
	if (log->slot >= MEMSLOT_MAX || log->first_page % 64)
		return -EINVAL;
	pthread_mutex_lock(&avm->vm->slots_lock);
	r = clear_locked(avm, log);
	pthread_mutex_unlock(&avm->vm->slots_lock);
	return r;
}

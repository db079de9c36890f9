#include "api/coalesced.h"

#include <errno.h>
#include <string.h>

#define RING_ENTRIES                                                           \
	((PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) /                \
	 sizeof(struct kvm_coalesced_mmio))

int coalesced_register(void *object, void *arg, void *user)
{
	struct kvm_coalesced_mmio_zone *zone = arg;
	struct api_vm *avm = object;
	int r = 0;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&avm->ring_lock);
	if (avm->nr_zones < MAX_COALESCED_ZONES)
		avm->zones[avm->nr_zones++] = *zone;
	else
		r = -ENOSPC;
	pthread_mutex_unlock(&avm->ring_lock);
	return r;
}

/* contains - whether [addr, addr + len) lies in the zone. */
static bool contains(const struct kvm_coalesced_mmio_zone *z, bool pio,
		     uint64_t addr, uint64_t len)
{
	return !!z->pio == pio && addr >= z->addr && len <= z->size &&
	       addr - z->addr <= z->size - len;
}

/* Every zone that holds the given one goes, as in Linux. */
int coalesced_unregister(void *object, void *arg, void *user)
{
	struct kvm_coalesced_mmio_zone *zone = arg;
	struct api_vm *avm = object;
	uint32_t kept = 0;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&avm->ring_lock);
	for (uint32_t i = 0; i < avm->nr_zones; i++) {
		if (!contains(&avm->zones[i], zone->pio, zone->addr,
			      zone->size))
			avm->zones[kept++] = avm->zones[i];
	}
	__atomic_store_n(&avm->nr_zones, kept, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&avm->ring_lock);
	return 0;
}

/* push - under the lock; false if the ring is full.  The ring is the client's
 * memory: its indices are not to be trusted. */
static bool push(struct kvm_coalesced_mmio_ring *ring, bool pio, uint64_t addr,
		 unsigned int len, const void *data)
{
	uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
	uint32_t first = __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE);
	struct kvm_coalesced_mmio *e;

	if (last >= RING_ENTRIES || (last + 1) % RING_ENTRIES == first)
		return false;
	e = &ring->coalesced_mmio[last];
	e->phys_addr = addr;
	e->len = len;
	e->pio = pio;
	memcpy(e->data, data, len);
	__atomic_store_n(&ring->last, (last + 1) % RING_ENTRIES,
			 __ATOMIC_RELEASE);
	return true;
}

bool coalesced_write(struct api_vm *avm, bool pio, uint64_t addr,
		     unsigned int len, const void *data)
{
	bool done = false;

	if (!__atomic_load_n(&avm->nr_zones, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&avm->ring_lock);
	for (uint32_t i = 0; i < avm->nr_zones; i++) {
		if (contains(&avm->zones[i], pio, addr, len)) {
			done = push(avm->ring, pio, addr, len, data);
			break;
		}
	}
	pthread_mutex_unlock(&avm->ring_lock);
	return done;
}

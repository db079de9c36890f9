#pragma once

#include "api/object.h"

/* KVM's limit: 65536 entries. */
#define DIRTY_RING_MAX_BYTES (65536 * sizeof(struct kvm_dirty_gfn))

/* Where a vCPU's ring is in its descriptor, in pages. */
#define DIRTY_RING_PAGE 64

/* dirty_ring_enable - KVM_CAP_DIRTY_LOG_RING: rings for the vCPUs to come. */
int dirty_ring_enable(struct api_vm *avm, const struct kvm_enable_cap *c);

/* dirty_ring_alloc - the ring of a new vCPU, if its VM has them. */
int dirty_ring_alloc(struct api_vcpu *av) __must_check;
void dirty_ring_free(struct api_vcpu *av);

/* dirty_ring_mmap - the part of a vCPU's mapping that is its ring, at offset
 * @offset in it.  Returns 0 or -errno. */
int dirty_ring_mmap(struct api_vcpu *av, void *addr, size_t len, int prot,
		    int flags, off_t offset, void **out);

/* KVM_RESET_DIRTY_RINGS, an ioctl handler: returns how many were reset. */
int dirty_ring_reset_all(void *object, void *arg, void *user);

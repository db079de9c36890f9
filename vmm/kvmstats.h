#pragma once

#include <linux/kvm.h>

#include "base/types.h"
#include "vmm/kvmfd.h"

/*
 * KVM's binary statistics of a VM or a vCPU.  Source: Linux
 * Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD".
 */
struct kvmstat {
	char *name;
	uint32_t flags; /* type, unit, base */
	int16_t exponent;
	uint16_t size; /* number of values; more than one in histograms */
	uint64_t *vals;
};

struct kvmstats {
	unsigned nr;
	struct kvmstat *stat;
};

/* kvmstats_read - 0 or -errno; -ENOTTY or so where KVM has none. */
int kvmstats_read(const struct kvmfd *f, struct kvmstats *s);

/* kvmstats_add - sum up the same statistics of another vCPU. */
void kvmstats_add(struct kvmstats *sum, const struct kvmstats *s);
void kvmstats_free(struct kvmstats *s);

/* kvmstats_find - the statistic of this name, or NULL. */
const struct kvmstat *kvmstats_find(const struct kvmstats *s, const char *name);

/* kvmstats_unit - "", "bytes", "ns", ...: @buf of at least 16 bytes. */
void kvmstats_unit(const struct kvmstat *s, char *buf, size_t size);

#pragma once

#include <linux/kvm.h>

#include "base/types.h"

/*
 * The processor a guest is shown, said as QEMU's -cpu says it: a model, which
 * is a set of CPUID features, and changes to it.
 */

#define CPUMODEL_FEATURES_MAX 256

struct cpumodel {
	const char *features; /* of the model; NULL: all that KVM offers */
	uint8_t changed[CPUMODEL_FEATURES_MAX]; /* enum, in cpumodel.c */
	unsigned phys_bits;			/* 0: as KVM says */
	char vendor[13];			/* empty: as KVM says */
	bool hyperv; /* hv-passthrough: all of Hyper-V that KVM has */
};

/*
 * cpumodel_parse - MODEL[,+FEATURE][,-FEATURE][,PROPERTY=VALUE]...; says on
 * stderr what is wrong with it.  0 or -EINVAL.
 */
int cpumodel_parse(struct cpumodel *model, const char *text);

/*
 * cpumodel_apply - take from @list, what KVM supports, the features that the
 * model lacks.  With @warn, features that were asked for and that KVM does not
 * offer are named on stderr.
 */
void cpumodel_apply(const struct cpumodel *model, struct kvm_cpuid2 *list,
		    bool warn);

/*
 * cpumodel_help - the models, and each feature with + or - for whether @list
 * has it, on stdout.
 */
void cpumodel_help(const struct kvm_cpuid2 *list);

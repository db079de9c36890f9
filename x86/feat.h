#pragma once

#include "base/types.h"

/*
 * CPUID features: one per bit (x86/feat.def), so that one list serves the
 * instruction table's feature column and the CPUID model.
 */
enum x86_feat {
	FEAT_BASE, /* always there */
#define FEAT(name, leaf, subleaf, reg, bit) FEAT_##name,
#include "x86/feat.def"
#undef FEAT
	NR_FEATS,
};

/* Output registers in the order EAX, EBX, ECX, EDX. */
enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct x86_feat_bit {
	const char *name;
	uint32_t leaf;
	uint8_t subleaf;
	uint8_t reg; /* enum cpuid_reg */
	uint8_t bit; /* 0..31 */
};

/* Indexed by enum x86_feat; [FEAT_BASE] names no bit. */
extern const struct x86_feat_bit x86_feats[NR_FEATS];

#include "x86/feat.h"

const struct x86_feat_bit x86_feats[NR_FEATS] = {
	[FEAT_BASE] = { .name = "BASE" },
#define FEAT(name_, leaf_, subleaf_, reg_, bit_)                               \
	[FEAT_##name_] = { #name_, leaf_, subleaf_, CPUID_##reg_, bit_ },
#include "x86/feat.def"
#undef FEAT
};

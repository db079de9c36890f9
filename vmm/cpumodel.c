#include "vmm/cpumodel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmm/log.h"

enum reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

static const struct feature {
	const char *name;
	uint32_t function, index;
	enum reg reg;
	unsigned bit;
} features[] = {
#define FEATURE(name, leaf, subleaf, reg, bit)                                 \
	{ name, leaf, subleaf, REG_##reg, bit },
#include "vmm/cpumodel.def"
#undef FEATURE
};
_Static_assert(ARRAY_SIZE(features) <= CPUMODEL_FEATURES_MAX, "features");

/* What struct cpumodel has in changed[]. */
enum change { CHANGE_NONE, CHANGE_ON, CHANGE_OFF };

#define PENTIUM2                                                               \
	"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 " \
	"clflush mmx fxsr sse sse2 "
#define X86_64 PENTIUM2 "pni lm syscall nx "
#define NEHALEM                                                                \
	X86_64 "vme cx16 ssse3 sse4.1 sse4.2 popcnt lahf-lm tsc-deadline aes " \
	       "pclmulqdq xsave avx xsaveopt rdtscp "
#define IVYBRIDGE NEHALEM "f16c rdrand fsgsbase smep erms "
#define SKYLAKE                                                                \
	IVYBRIDGE "movbe fma pcid invpcid bmi1 bmi2 hle rtm avx2 rdseed adx "  \
		  "smap clwb clflushopt mpx avx512f avx512dq avx512bw "        \
		  "avx512cd avx512vl pku spec-ctrl xsavec xgetbv1 arat abm "   \
		  "3dnowprefetch pdpe1gb "

/* What every model has, as with QEMU's accel=kvm, or by its topology. */
#define ALWAYS "x2apic hypervisor arat ht cmp-legacy "

static const struct {
	const char *name, *vendor, *features;
} models[] = {
	{ "max", "", NULL },
	{ "host", "", NULL },
	{ "qemu64", "", X86_64 "cx16 lahf-lm " ALWAYS },
	{ "Opteron_G1", "AuthenticAMD", X86_64 "vme " ALWAYS },
	{ "IvyBridge", "GenuineIntel", IVYBRIDGE ALWAYS },
	{ "Skylake-Server", "GenuineIntel", SKYLAKE ALWAYS },
};

/* Properties of QEMU's that change nothing here. */
static const char *const ignored[] = { "migratable", "host-phys-bits",
				       "vmx-mbec", "pmu" };

/* Compares without regard to '-', '_' and '.', which are used as one likes. */
static bool name_is(const char *text, size_t len, const char *name)
{
	const char *end = text + len;

	for (;;) {
		while (text < end && strchr("-_.", *text))
			text++;
		while (*name && strchr("-_.", *name))
			name++;
		if (text == end || !*name)
			return text == end && !*name;
		if (*text++ != *name++)
			return false;
	}
}

static int feature_find(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (name_is(text, len, features[i].name))
			return i;
	return -ENOENT;
}

static bool is_ignored(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (name_is(text, len, ignored[i]))
			return true;
	return false;
}

static int bad(const char *what, const char *text, size_t len)
{
	return log_error(-EINVAL, "--cpu: %s \"%.*s\"; see --cpu help", what,
			 (int)len, text);
}

static int cpumodel_set_base(struct cpumodel *m, const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		if (strncasecmp(text, models[i].name, len) ||
		    models[i].name[len])
			continue;
		m->features = models[i].features;
		strcpy(m->vendor, models[i].vendor);
		return 0;
	}
	return bad("unknown model", text, len);
}

static int cpumodel_change(struct cpumodel *m, const char *text, size_t len,
			   enum change change)
{
	int i = feature_find(text, len);

	if (i >= 0)
		m->changed[i] = change;
	else if (name_is(text, len, "hv-passthrough"))
		m->hyperv = change == CHANGE_ON;
	else if (!is_ignored(text, len))
		return bad("unknown feature", text, len);
	return 0;
}

static int cpumodel_set_phys_bits(struct cpumodel *m, const char *val,
				  size_t len)
{
	unsigned long bits = strtoul(val, NULL, 10);

	if (bits < 32 || bits > 52)
		return bad("from 32 to 52 bits, not", val, len);
	m->phys_bits = bits;
	return 0;
}

static int cpumodel_set_vendor(struct cpumodel *m, const char *val, size_t len)
{
	if (len != sizeof(m->vendor) - 1)
		return bad("a vendor's name has 12 letters, not", val, len);
	memcpy(m->vendor, val, len);
	return 0;
}

/* One word behind the model's name. */
static int cpumodel_set_word(struct cpumodel *m, const char *text, size_t len)
{
	const char *val = memchr(text, '=', len);
	size_t name = val ? (size_t)(val - text) : len;
	size_t rest = val ? len - name - 1 : 0;

	if (len && *text == '+')
		return cpumodel_change(m, text + 1, len - 1, CHANGE_ON);
	if (len && *text == '-')
		return cpumodel_change(m, text + 1, len - 1, CHANGE_OFF);
	if (val && name_is(text, name, "phys-bits"))
		return cpumodel_set_phys_bits(m, val + 1, rest);
	if (val && name_is(text, name, "vendor"))
		return cpumodel_set_vendor(m, val + 1, rest);
	if (!val || name_is(val + 1, rest, "on"))
		return cpumodel_change(m, text, name, CHANGE_ON);
	if (name_is(val + 1, rest, "off") || name_is(val + 1, rest, "no"))
		return cpumodel_change(m, text, name, CHANGE_OFF);
	return bad("neither on nor off:", text, len);
}

int cpumodel_parse(struct cpumodel *model, const char *text)
{
	size_t len = strcspn(text, ",");
	int r;

	*model = (struct cpumodel){ 0 };
	r = cpumodel_set_base(model, text, len);
	while (!r && text[len]) {
		text += len + 1;
		len = strcspn(text, ",");
		r = cpumodel_set_word(model, text, len);
	}
	return r;
}

static struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *list,
					   uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < list->nent; i++)
		if (list->entries[i].function == function &&
		    list->entries[i].index == index)
			return (struct kvm_cpuid_entry2 *)&list->entries[i];
	return NULL;
}

/* The register that has the feature; NULL without its leaf. */
static uint32_t *feature_reg(const struct kvm_cpuid2 *list,
			     const struct feature *f)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(list, f->function, f->index);

	if (!e)
		return NULL;
	switch (f->reg) {
	case REG_EAX:
		return &e->eax;
	case REG_EBX:
		return &e->ebx;
	case REG_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

static bool feature_there(const struct kvm_cpuid2 *list,
			  const struct feature *f)
{
	const uint32_t *reg = feature_reg(list, f);

	return reg && (*reg & 1u << f->bit);
}

/* Is this word among others with blanks between? */
static bool in_words(const char *words, const char *word)
{
	size_t len = strlen(word);

	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == len && !memcmp(words, word, n))
			return true;
		words += n + (words[n] == ' ');
	}
	return false;
}

static bool cpumodel_wants(const struct cpumodel *m, size_t i)
{
	const struct feature *f = &features[i];

	if (m->changed[i] != CHANGE_NONE)
		return m->changed[i] == CHANGE_ON;
	/* KVM's own leaves belong to no model. */
	return !m->features || f->function == 0x40000001 ||
	       in_words(m->features, f->name);
}

/* What a leaf says beyond single bits follows the features. */
static void cpumodel_fit(struct kvm_cpuid2 *list)
{
	struct kvm_cpuid_entry2 *leaf1 = cpuid_find(list, 1, 0);
	struct kvm_cpuid_entry2 *leaf7 = cpuid_find(list, 7, 0);
	struct kvm_cpuid_entry2 *ext8 = cpuid_find(list, 0x80000008, 0);
	unsigned n = 0;

	if (ext8 && !(leaf7 && leaf7->ecx & 1 << 16)) /* LA57 */
		ext8->eax = (ext8->eax & ~0xff00) | 48 << 8;
	if (leaf1 && leaf1->ecx & 1 << 26) /* XSAVE */
		return;
	for (unsigned i = 0; i < list->nent; i++)
		if (list->entries[i].function != 0xd)
			list->entries[n++] = list->entries[i];
	list->nent = n;
}

static void cpumodel_set_leaves(const struct cpumodel *m,
				struct kvm_cpuid2 *list)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(list, 0x80000008, 0);

	if (e && m->phys_bits)
		e->eax = (e->eax & ~0xff) | m->phys_bits;
	for (unsigned i = 0; *m->vendor && i < list->nent; i++) {
		e = &list->entries[i];
		if (e->function != 0 && e->function != 0x80000000)
			continue;
		memcpy(&e->ebx, m->vendor, 4);
		memcpy(&e->edx, m->vendor + 4, 4);
		memcpy(&e->ecx, m->vendor + 8, 4);
	}
}

void cpumodel_apply(const struct cpumodel *model, struct kvm_cpuid2 *list,
		    bool warn)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (!feature_there(list, f)) {
			if (warn && model->changed[i] == CHANGE_ON)
				log_error(0,
					  "warning: KVM does not offer the "
					  "CPU feature %s",
					  f->name);
		} else if (!cpumodel_wants(model, i)) {
			*feature_reg(list, f) &= ~(1u << f->bit);
		}
	}
	cpumodel_fit(list);
	cpumodel_set_leaves(model, list);
}

void cpumodel_help(const struct kvm_cpuid2 *list)
{
	puts("MODEL[,+FEATURE][,-FEATURE][,vendor=NAME][,phys-bits=N]...\n\n"
	     "models:");
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		printf("  %s\n", models[i].name);
	puts("\nfeatures that can be offered here (+) and those that cannot:");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		printf("  %c%s\n",
		       feature_there(list, &features[i]) ? '+' : '-',
		       features[i].name);
}

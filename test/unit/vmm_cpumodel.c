#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test/test.h"
#include "vmm/cpumodel.h"
#include "vmm/log.h"

#define X2APIC BIT(21) /* leaf 1 ECX */
#define XSAVE  BIT(26)
#define PCID   BIT(17)
#define SSE4_2 BIT(20)
#define LA57   BIT(16) /* leaf 7 ECX */

static char message[200];

static struct kvm_cpuid2 *make_list(void)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 0x1f, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .function = 1, .ecx = X2APIC | XSAVE | PCID | SSE4_2 },
		{ .function = 7, .index = 0, .flags = 1, .ecx = LA57 },
		{ .function = 0xd, .index = 0, .flags = 1, .eax = 7 },
		{ .function = 0xd, .index = 1, .flags = 1, .eax = 15 },
		{ .function = 0x40000001, .eax = 0xff },
		{ .function = 0x80000000, .eax = 0x80000008 },
		{ .function = 0x80000008, .eax = 57 << 8 | 46 },
	};
	struct kvm_cpuid2 *l = calloc(1, sizeof(*l) + sizeof(entries));

	l->nent = ARRAY_SIZE(entries);
	memcpy(l->entries, entries, sizeof(entries));
	return l;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *l,
					   uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < l->nent; i++)
		if (l->entries[i].function == function &&
		    l->entries[i].index == index)
			return &l->entries[i];
	return NULL;
}

static struct kvm_cpuid2 *apply(const char *text)
{
	struct kvm_cpuid2 *l = make_list();
	struct cpumodel m;

	*message = 0;
	CHECK_EQ(cpumodel_parse(&m, text), 0);
	cpumodel_apply(&m, l, true);
	return l;
}

static void test_max(void)
{
	struct kvm_cpuid2 *l = apply("max"), *all = make_list();

	CHECK_EQ(l->nent, all->nent);
	CHECK(!memcmp(l->entries, all->entries,
		      l->nent * sizeof(l->entries[0])));
	free(l);
	l = apply("host,migratable=no,host-phys-bits,hv_passthrough,-x2apic");
	CHECK_EQ(find(l, 1, 0)->ecx, XSAVE | PCID | SSE4_2);
	CHECK(!*message);
	free(l);
	free(all);
}

/* A model has its own features, and those that are asked for beside. */
static void test_model(void)
{
	struct kvm_cpuid2 *l = apply("qemu64");

	CHECK_EQ(find(l, 1, 0)->ecx, X2APIC);
	CHECK_EQ(find(l, 7, 0)->ecx, 0);
	CHECK(!find(l, 0xd, 0) && !find(l, 0xd, 1));
	CHECK_EQ(find(l, 0x40000001, 0)->eax, 0xff);
	CHECK_EQ(find(l, 0x80000008, 0)->eax, 48 << 8 | 46);
	free(l);
	l = apply("qemu64,+pcid,+sse4_2,-x2apic,kvm-pv-eoi=off");
	CHECK_EQ(find(l, 1, 0)->ecx, PCID | SSE4_2);
	CHECK_EQ(find(l, 0x40000001, 0)->eax, 0xbf);
	free(l);
}

static void test_properties(void)
{
	struct kvm_cpuid2 *l =
		apply("IvyBridge,phys-bits=36,host-phys-bits=off");

	CHECK_EQ(find(l, 0x80000008, 0)->eax, 48 << 8 | 36);
	CHECK(!memcmp(&find(l, 0, 0)->ebx, "Genu", 4));
	free(l);
	l = apply("max,vendor=AuthenticAMD");
	CHECK(!memcmp(&find(l, 0, 0)->ebx, "Auth", 4));
	CHECK(!memcmp(&find(l, 0, 0)->edx, "enti", 4));
	CHECK(!memcmp(&find(l, 0x80000000, 0)->ecx, "cAMD", 4));
	CHECK(find(l, 0xd, 0) != NULL);
	free(l);
}

static void test_warning(void)
{
	free(apply("max,+vmx"));
	CHECK(strstr(message, "warning") && strstr(message, "vmx"));
	free(apply("max,-vmx"));
	CHECK(!*message);
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",
		"486",
		"ma",
		"maxi",
		"max,+frob",
		"max,frob=on",
		"max,x2apic=maybe",
		"max,phys-bits=64",
		"max,phys-bits=",
		"max,vendor=me",
		"max,",
		"max,+",
	};
	struct cpumodel m;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		*message = 0;
		CHECK_EQ(cpumodel_parse(&m, bad[i]), -EINVAL);
		CHECK(strstr(message, "--cpu") != NULL);
	}
}

int main(void)
{
	log_capture(message, sizeof(message));
	test_max();
	test_model();
	test_properties();
	test_warning();
	test_bad();
	return test_done();
}

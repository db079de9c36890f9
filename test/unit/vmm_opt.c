#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "cli/opt.h"
#include "test/test.h"
#include "vmm/cpuid.h"
#include "vmm/exits.h"
#include "vmm/json.h"
#include "vmm/status.h"

static const struct {
	const char *text;
	int result;
	uint64_t bytes;
} sizes[] = {
	{ "128M", 0, 128ull << 20 },
	{ "8G", 0, 8ull << 30 },
	{ "512", 0, 512ull << 20 },
	{ "4096k", 0, 4ull << 20 },
	{ "1T", 0, 1ull << 40 },
	{ "1GiB", 0, 1ull << 30 },
	{ "2mb", 0, 2ull << 20 },
	{ "0", 0, 0 },
	{ "", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "1X", -EINVAL, 0 },
	{ "1.5G", -EINVAL, 0 },
	{ " 1G", -EINVAL, 0 },
	{ "1G ", -EINVAL, 0 },
	{ "99999999999999999999", -ERANGE, 0 },
	{ "99999999999T", -ERANGE, 0 },
	{ "18446744073709551615", -ERANGE, 0 },
};

static void test_size(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t bytes = 0;
		int r = opt_size(sizes[i].text, &bytes);

		CHECK_EQ(r, sizes[i].result);
		if (!r)
			CHECK_EQ(bytes, sizes[i].bytes);
	}
}

static void test_uint(void)
{
	uint64_t val;

	CHECK_EQ(opt_uint("254", 254, &val), 0);
	CHECK_EQ(val, 254);
	CHECK_EQ(opt_uint("0x7c00", 0xffff, &val), 0);
	CHECK_EQ(val, 0x7c00);
	CHECK_EQ(opt_uint("255", 254, &val), -ERANGE);
	CHECK_EQ(opt_uint("99999999999999999999", ~0ull, &val), -ERANGE);
	CHECK_EQ(opt_uint("4x", 254, &val), -EINVAL);
	CHECK_EQ(opt_uint("-4", 254, &val), -EINVAL);
	CHECK_EQ(opt_uint("", 254, &val), -EINVAL);
}

/* Nothing of ours can be taken for a debug exit, or for a signal's status. */
static void test_status(void)
{
#define CHECK_STATUS_(id, value, name, text)                                   \
	CHECK((value) % 2 == 0 && (value) < 128);                              \
	CHECK(!strcmp(status_name(value), name));
	STATUS_LIST(CHECK_STATUS_)
	CHECK_EQ(STATUS_DEBUG_EXIT(0), 1);
	CHECK_EQ(STATUS_DEBUG_EXIT(0x10), 0x21);
	CHECK_EQ(STATUS_DEBUG_EXIT(0xff), 0xff);
	CHECK(!strcmp(status_name(0x21), "debug-exit"));
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *l, uint32_t function,
				     uint32_t index)
{
	for (unsigned i = 0; i < l->nent; i++)
		if (l->entries[i].function == function &&
		    l->entries[i].index == index)
			return &l->entries[i];
	return NULL;
}

static void test_cpuid(void)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 0x1f },
		{ .function = 1, .ebx = 0xff10800, .ecx = 0x8, .edx = 0x1 },
		{ .function = 4, .index = 3, .flags = 1, .eax = 0xfffffc63 },
		{ .function = 0xb, .index = 0, .flags = 1, .ebx = 99 },
		{ .function = 0x1f, .index = 0, .flags = 1, .ebx = 99 },
		{ .function = 0x80000008, .eax = 0x3030 },
	};
	struct kvm_cpuid2 *l =
		calloc(1, sizeof(*l) + (ARRAY_SIZE(entries) + CPUID_ROOM) *
					       sizeof(entries[0]));
	struct kvm_cpuid_entry2 *e;

	l->nent = ARRAY_SIZE(entries);
	memcpy(l->entries, entries, sizeof(entries));
	cpuid_set_vcpu(l, 5, 6, true);
	e = find(l, 1, 0);
	CHECK_EQ(e->ebx, 0x05060800);
	CHECK_EQ(e->ecx, 1u << 31 | 1 << 24);
	CHECK_EQ(e->edx, 1 << 28 | 1);
	e = find(l, 4, 3);
	CHECK_EQ(e->eax >> 26, 5);
	CHECK_EQ(e->eax >> 14 & 0xfff, 5);
	e = find(l, 0xb, 1);
	CHECK_EQ(e->eax, 3);
	CHECK_EQ(e->ebx, 6);
	CHECK_EQ(e->edx, 5);
	CHECK_EQ(e->ecx, 0x201);
	CHECK_EQ(find(l, 0xb, 0)->ebx, 1);
	CHECK(find(l, 0x1f, 0) == NULL);
	CHECK_EQ(find(l, 0x80000008, 0)->ecx, 0x3005);
	free(l);
}

static void test_json(void)
{
	char buf[256] = "";
	FILE *out = fmemopen(buf, sizeof(buf), "w");
	struct json j;

	json_begin(&j, out);
	json_string(&j, "a\"b", "x\\y\n");
	json_array(&j, "list");
	json_u64(&j, NULL, 1);
	json_u64(&j, NULL, 18446744073709551615ull);
	json_close(&j);
	json_object(&j, "empty");
	json_end(&j);
	fclose(out);
	CHECK(!strcmp(buf, "{\"a\\\"b\":\"x\\\\y\\u000a\",\"list\":[1,"
			   "18446744073709551615],\"empty\":{}}\n"));
}

static void test_exits(void)
{
	static uint64_t page[1024];
	struct kvm_run *run = (struct kvm_run *)page;
	struct exits x = { 0 };
	char text[96];

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.size = 1;
	run->io.port = 0x3f8;
	run->io.count = 1;
	run->io.data_offset = 4096;
	page[512] = 0xffffff41;
	for (unsigned i = 0; i < 20; i++) {
		exits_note(&x, run, 1000 * i);
		exits_done(&x, 1000 * i + 10);
	}
	CHECK_EQ(x.count[KVM_EXIT_IO], 20);
	CHECK_EQ(x.time_ns[KVM_EXIT_IO], 200);
	CHECK_EQ(x.total, 20);
	exits_text(&x.recent[3], text, sizeof(text));
	CHECK(!strcmp(text, "IO write 0x3f8, 1 byte: 0x41"));
	run->exit_reason = 12345;
	exits_note(&x, run, 0);
	exits_done(&x, 5);
	CHECK_EQ(x.count[KVM_EXIT_UNKNOWN], 1);
}

int main(void)
{
	test_size();
	test_uint();
	test_status();
	test_cpuid();
	test_json();
	test_exits();
	return test_done();
}

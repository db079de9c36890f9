#include <stdlib.h>
#include <unistd.h>

#include "test/api/kt.h"

/* find - the value of the statistic called @name, or -1. */
static int64_t find(int fd, const char *name)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc *d;
	int64_t value = -1;
	size_t size;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		return -1;
	size = sizeof(*d) + h.name_size;
	d = malloc(size);
	for (uint32_t i = 0; i < h.num_desc && value < 0; i++) {
		if (pread(fd, d, size, h.desc_offset + i * size) !=
		    (ssize_t)size)
			break;
		if (strcmp((char *)(d + 1), name))
			continue;
		if (pread(fd, &value, 8, h.data_offset + d->offset) != 8)
			value = -1;
	}
	free(d);
	return value;
}

static void layout(int fd)
{
	struct kvm_stats_header h;
	char id[64];

	GIVES(pread(fd, &h, sizeof(h), 0), sizeof(h));
	GIVES(h.flags, 0);
	KT_CHECK(h.num_desc > 0 && h.name_size > 0);
	KT_CHECK(h.id_offset >= sizeof(h));
	KT_CHECK(h.desc_offset > h.id_offset);
	KT_CHECK(h.data_offset > h.desc_offset);
	KT_CHECK(pread(fd, id, sizeof(id), h.id_offset) > 0);
	GIVES(strncmp(id, "kvm-", 4), 0);
}

void test_stats(void)
{
	struct kt_vm t;
	int vm, vcpu;

	kt_vm_open(&t, 0);
	vm = kt_ioctl(t.vm, KVM_GET_STATS_FD, NULL);
	vcpu = kt_ioctl(t.vcpu, KVM_GET_STATS_FD, NULL);
	KT_CHECK(vm >= 0 && vcpu >= 0);
	layout(vm);
	layout(vcpu);
	KT_CODE(&t, 0xe6, 0x10, 0xe6, 0x10, 0xe6, 0x10, 0xf4);
	for (int i = 0; i < 4; i++)
		OK(kt_run(&t));
	if (!kt_real) {
		GIVES(find(vcpu, "exits_io_instruction"), 3);
		GIVES(find(vcpu, "exits_hlt"), 1);
		GIVES(find(vcpu, "runs"), 4);
		GIVES(find(vm, "exits_io_instruction"), 3);
		KT_CHECK(find(vcpu, "cycles_io_instruction") > 0);
		FAILS(kt_ioctl(vcpu, KVM_GET_REGS, NULL), ENOTTY);
	}
	OK(kt_close(vm));
	OK(kt_close(vcpu));
	kt_vm_close(&t);
}

#include <sys/mman.h>

#include "test/api/kt.h"

#define PAGES 130

static uint8_t *host;
static uint64_t bits[3];

static int slot(struct kt_vm *t, uint32_t flags, uint64_t size)
{
	struct kvm_userspace_memory_region r = {
		.slot = 1,
		.flags = flags,
		.guest_phys_addr = KT_MEM_SIZE,
		.memory_size = size,
		.userspace_addr = (uint64_t)host,
	};

	return kt_ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static int get(struct kt_vm *t, uint32_t id)
{
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = bits };

	memset(bits, 0x55, sizeof(bits));
	return kt_ioctl(t->vm, KVM_GET_DIRTY_LOG, &log);
}

static int clear(struct kt_vm *t, uint64_t first, uint32_t n)
{
	struct kvm_clear_dirty_log log = {
		.slot = 1,
		.num_pages = n,
		.first_page = first,
		.dirty_bitmap = bits,
	};

	return kt_ioctl(t->vm, KVM_CLEAR_DIRTY_LOG, &log);
}

/* ds=0xffff; mov [0x10],al; mov [0x3010],al; hlt; again */
static void load(struct kt_vm *t)
{
	KT_CODE(t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa2, 0x10, 0x00, 0xa2, 0x10,
		0x30, 0xf4, 0xeb, 0xf2);
}

static void arguments(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.vm, KVM_GET_DIRTY_LOG, NULL), EFAULT);
	FAILS(get(&t, 1), ENOENT);
	FAILS(get(&t, 0), ENOENT); /* does not log */
	FAILS(get(&t, 40000), EINVAL);
	FAILS(get(&t, 1u << 16), EINVAL);
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	OK(get(&t, 1));
	GIVES(bits[0] | bits[1] | bits[2], 0);
	FAILS(clear(&t, 1, 64), EINVAL);
	FAILS(clear(&t, 0, 63), EINVAL);
	FAILS(clear(&t, 128, 3), EINVAL);
	FAILS(clear(&t, 192, 1), EINVAL);
	OK(clear(&t, 128, 2));
	OK(clear(&t, 0, 64));
	FAILS(kt_ioctl(t.vm, KVM_CLEAR_DIRTY_LOG, NULL), EFAULT);
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = BAD_PTR };
	FAILS(kt_ioctl(t.vm, KVM_GET_DIRTY_LOG, &log), EFAULT);
	kt_vm_close(&t);
}

/* Reading the log clears it, and the next write is logged again. */
static void plain(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	load(&t);
	for (int i = 0; i < 3; i++) {
		OK(kt_run(&t));
		GIVES(t.run->exit_reason, KVM_EXIT_HLT);
		OK(get(&t, 1));
		GIVES(bits[0], 1 | 1 << 3);
		GIVES(bits[1] | bits[2], 0);
		OK(get(&t, 1));
		GIVES(bits[0], 0);
	}
	/* User mode's own writes are not logged. */
	host[0x5000] = 1;
	OK(get(&t, 1));
	GIVES(bits[0], 0);
	/* Without the flag there is no log, and it starts empty again. */
	OK(kt_run(&t));
	OK(slot(&t, 0, PAGES * 0x1000));
	FAILS(get(&t, 1), ENOENT);
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	OK(get(&t, 1));
	GIVES(bits[0], 0);
	kt_vm_close(&t);
}

static void manual(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .args[0] = 1 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vm, KVM_ENABLE_CAP, &cap));
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	load(&t);
	OK(kt_run(&t));
	OK(get(&t, 1));
	GIVES(bits[0], 9);
	OK(get(&t, 1));
	GIVES(bits[0], 9); /* reading does not clear */
	bits[0] = 8;
	OK(clear(&t, 0, 64));
	OK(get(&t, 1));
	GIVES(bits[0], 1);
	OK(kt_run(&t));
	OK(get(&t, 1));
	GIVES(bits[0], 9);
	kt_vm_close(&t);
}

static void initially_set(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .args[0] = 3 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vm, KVM_ENABLE_CAP, &cap));
	OK(slot(&t, 0, PAGES * 0x1000));
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	OK(get(&t, 1));
	GIVES(bits[0], -1);
	GIVES(bits[1], -1);
	GIVES(bits[2] & 3, 3);
	OK(clear(&t, 0, PAGES));
	OK(get(&t, 1));
	GIVES(bits[0] | bits[1], 0);
	/* The same slot again does not start it over. */
	OK(slot(&t, KVM_MEM_LOG_DIRTY_PAGES, PAGES * 0x1000));
	OK(get(&t, 1));
	GIVES(bits[0] | bits[1], 0);
	kt_vm_close(&t);
}

void test_dirty(void)
{
	host = mmap(NULL, PAGES * 0x1000, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arguments();
	plain();
	manual();
	initially_set();
	munmap(host, PAGES * 0x1000);
}

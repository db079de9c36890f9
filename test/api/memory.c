#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "test/api/kt.h"

/* From this size on the soft KVM changes what is behind a slot. */
#define LARGE 0x40000

static uint8_t *host;

static int slot(int vm, uint32_t id, uint32_t flags, uint64_t gpa,
		uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)hva,
	};

	return kt_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void arguments(int vm)
{
	FAILS(kt_ioctl(vm, KVM_SET_USER_MEMORY_REGION, NULL), EFAULT);
	FAILS(slot(vm, 1, 0, 0x200000, 0x1001, host), EINVAL);
	FAILS(slot(vm, 1, 0, 0x200001, 0x1000, host), EINVAL);
	FAILS(slot(vm, 1, 0, 0x200000, 0x1000, host + 1), EINVAL);
	FAILS(slot(vm, 1, 4, 0x200000, 0x1000, host), EINVAL);
	FAILS(slot(vm, 1, 0x80000000, 0x200000, 0x1000, host), EINVAL);
	FAILS(slot(vm, 32764, 0, 0x200000, 0x1000, host), EINVAL);
	FAILS(slot(vm, 0xffff, 0, 0x200000, 0x1000, host), EINVAL);
	FAILS(slot(vm, 1 << 16 | 1, 0, 0x200000, 0x1000, host), EINVAL);
	FAILS(slot(vm, 1, 0, ~0xfffull, 0x2000, host), EINVAL);
	FAILS(slot(vm, 1, 0, 0x200000, 0x1000, (void *)~0xfffull), EINVAL);
	FAILS(slot(vm, 1, 0, 0x200000, 0x1000, (void *)(1ull << 63)), EINVAL);
}

static void life(int vm)
{
	/* Deleting what is not there. */
	FAILS(slot(vm, 1, 0, 0x200000, 0, host), EINVAL);
	OK(slot(vm, 1, 0, 0x200000, 0x4000, host));
	/* The same again changes nothing. */
	OK(slot(vm, 1, 0, 0x200000, 0x4000, host));
	/* Size, host address and the read-only flag are fixed. */
	FAILS(slot(vm, 1, 0, 0x200000, 0x2000, host), EINVAL);
	FAILS(slot(vm, 1, 0, 0x200000, 0x4000, host + 0x1000), EINVAL);
	FAILS(slot(vm, 1, KVM_MEM_READONLY, 0x200000, 0x4000, host), EINVAL);
	/* The dirty log and the guest address are not. */
	OK(slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x200000, 0x4000, host));
	OK(slot(vm, 1, 0, 0x200000, 0x4000, host));
	OK(slot(vm, 1, 0, 0x300000, 0x4000, host));
	OK(slot(vm, 1, 0, 0x301000, 0x4000, host));
	/* Overlaps. */
	FAILS(slot(vm, 2, 0, 0x301000, 0x4000, host), EEXIST);
	FAILS(slot(vm, 2, 0, 0x304000, 0x1000, host), EEXIST);
	FAILS(slot(vm, 2, 0, 0x300000, 0x2000, host), EEXIST);
	FAILS(slot(vm, 1, 0, 0, 0x4000, host), EEXIST);
	OK(slot(vm, 2, 0, 0x305000, 0x1000, host));
	OK(slot(vm, 2, 0, 0, 0, NULL));
	OK(slot(vm, 1, 0, 0, 0, NULL));
	FAILS(slot(vm, 1, 0, 0, 0, NULL), EINVAL);
	OK(slot(vm, 1, KVM_MEM_READONLY, 0x200000, 0x4000, host));
	OK(slot(vm, 1, 0, 0, 0, NULL));
	OK(slot(vm, 32763, 0, 0x200000, 0x4000, host));
	OK(slot(vm, 32763, 0, 0, 0, NULL));
}

/* Slots whose memory is not there are fine until the guest touches them. */
static void unmapped(int vm)
{
	OK(slot(vm, 3, 0, 0x400000, 0x1000, (void *)0x10000000));
	OK(slot(vm, 3, 0, 0, 0, NULL));
}

/* A changed slot takes effect at once: code sees other memory behind it. */
static void remap(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	host[0] = 0x11;
	host[0x1000] = 0x22;
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, 0x1000, host));
	/* mov ax, 0xffff; mov ds, ax; mov al, [0x10]; hlt; jmp back */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa0, 0x10, 0x00, 0xf4, 0xeb,
		0xf5);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	struct kvm_regs regs;
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rax & 0xff, 0x11);
	OK(slot(t.vm, 1, 0, 0, 0, NULL));
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, 0x1000, host + 0x1000));
	OK(kt_run(&t));
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rax & 0xff, 0x22);
	/* Without the slot it is a device's. */
	OK(slot(t.vm, 1, 0, 0, 0, NULL));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	GIVES(t.run->mmio.phys_addr, KT_MEM_SIZE);
	GIVES(t.run->mmio.len, 1);
	GIVES(t.run->mmio.is_write, 0);
	kt_vm_close(&t);
}

/* Reads of a read-only slot are plain, writes are a device's. */
static void readonly(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	host[0] = 0x33;
	OK(slot(t.vm, 1, KVM_MEM_READONLY, KT_MEM_SIZE, 0x1000, host));
	/* mov ax,0xffff; mov ds,ax; mov al,[0x10]; mov [0x10],ah; hlt */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa0, 0x10, 0x00, 0x88, 0x26,
		0x10, 0x00, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	GIVES(t.run->mmio.is_write, 1);
	GIVES(t.run->mmio.data[0], 0xff);
	GIVES(t.run->mmio.phys_addr, KT_MEM_SIZE);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rax & 0xff, 0x33);
	GIVES(host[0], 0x33);
	kt_vm_close(&t);
}

/* Memory that went away behind a slot is EFAULT, not a signal. */
static void vanished(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, 0x1000, host + 0x8000));
	munmap(host + 0x8000, 0x1000);
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa0, 0x10, 0x00, 0xf4);
	if (!kt_real) {
		/* The page of the interrupt vectors goes while one is due. */
		struct kvm_vcpu_events e = { .exception = { .injected = 1,
							    .nr = 6 } };

		munmap(t.mem, 0x1000);
		OK(kt_ioctl(t.vcpu, KVM_SET_VCPU_EVENTS, &e));
		FAILS(kt_run(&t), EFAULT);
		memset(&e, 0, sizeof(e));
		OK(kt_ioctl(t.vcpu, KVM_SET_VCPU_EVENTS, &e));
	}
	/* Hosts that emulate guest kernel code have answered MMIO instead. */
	if (!kt_real)
		FAILS(kt_run(&t), EFAULT);
	kt_vm_close(&t);
}

static uint8_t *large(void *at)
{
	return mmap(at, LARGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

/*
 * However the soft KVM backs large memory, guest and client see the same bytes,
 * and what the client does to the mapping shows.
 */
static void same_memory(void)
{
	uint8_t *p = large(NULL);
	struct kt_vm t;

	kt_vm_open(&t, 0);
	p[0] = 0x11;
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, LARGE, p));
	/* 1: mov ax, 0xffff; mov ds, ax; inc byte [0x10]; hlt; jmp 1b */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xfe, 0x06, 0x10, 0x00, 0xf4,
		0xeb, 0xf4);
	OK(kt_run(&t));
	GIVES(p[0], 0x12);
	p[0] = 0x20;
	OK(kt_run(&t));
	GIVES(p[0], 0x21);
	OK(slot(t.vm, 1, 0, 0, 0, NULL));
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, LARGE, p));
	OK(slot(t.vm, 2, 0, KT_MEM_SIZE + LARGE, LARGE, p));
	OK(kt_run(&t));
	GIVES(p[0], 0x22);
	/* Other memory at the same address. */
	OK(slot(t.vm, 1, 0, 0, 0, NULL));
	OK(slot(t.vm, 2, 0, 0, 0, NULL));
	munmap(p, LARGE);
	KT_CHECK(large(p) == p);
	GIVES(p[0], 0);
	p[0] = 0x30;
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, LARGE, p));
	OK(kt_run(&t));
	GIVES(p[0], 0x31);
	if (!kt_real) {
		mprotect(p, LARGE, PROT_READ);
		FAILS(kt_run(&t), EFAULT);
		mprotect(p, LARGE, PROT_READ | PROT_WRITE);
		OK(kt_run(&t));
		GIVES(p[0], 0x32);
		munmap(p, LARGE);
		FAILS(kt_run(&t), EFAULT);
		KT_CHECK(large(p) == p);
		OK(kt_run(&t));
		GIVES(p[0], 1);
	}
	kt_vm_close(&t);
	munmap(p, LARGE);
}

/* Memory of the C library's heaps goes on to be theirs afterwards. */
static void *on_heap(void *arg)
{
	uint8_t *p = aligned_alloc(0x1000, LARGE), *q;
	struct kt_vm t;

	memset(p, 0x44, LARGE);
	kt_vm_open(&t, 0);
	OK(slot(t.vm, 1, 0, KT_MEM_SIZE, LARGE, p));
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xfe, 0x06, 0x10, 0x00, 0xf4,
		0xeb, 0xf4);
	OK(kt_run(&t));
	GIVES(p[0], 0x45);
	kt_vm_close(&t);
	q = realloc(p, 4 * LARGE);
	GIVES(q[0], 0x45);
	GIVES(q[LARGE - 1], 0x44);
	memset(q, 1, 4 * LARGE);
	free(q);
	p = calloc(1, LARGE);
	for (int i = 0; i < LARGE; i += 0x100)
		if (p[i])
			KT_CHECK(!p[i]);
	free(p);
	return NULL;
}

static void heaps(void)
{
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		on_heap(NULL);
		pthread_create(&thread, NULL, on_heap, NULL);
		pthread_join(thread, NULL);
		/* From now on they are not mapped one by one. */
		free(malloc(16 * LARGE));
	}
}

void test_memory(void)
{
	struct kt_vm t;

	host = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kt_vm_open(&t, KT_NO_VCPU);
	arguments(t.vm);
	life(t.vm);
	unmapped(t.vm);
	kt_vm_close(&t);
	remap();
	readonly();
	vanished();
	same_memory();
	heaps();
	munmap(host, 0x10000);
}

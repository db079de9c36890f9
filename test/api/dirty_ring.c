/* KVM_CAP_DIRTY_LOG_RING: what vCPUs write is told in rings. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "test/api/kt_long.h"

#define ENTRIES	    1024u
#define BYTES	    (ENTRIES * sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET (64 * 0x1000)
#define PAGES	    3000u
#define AT	    0x200000

/* One byte of each page from RDI on, RCX of them; again from RSI. */
KT_ASM(touch, "1: movb $1, (%rdi)\n"
	      "add $0x1000, %rdi\n"
	      "dec %rcx\n"
	      "jnz 1b\n"
	      "hlt\n");

/* The same by one instruction that writes them all, RCX bytes. */
KT_ASM(fill_pages, "rep stosb\n"
		   "hlt\n");

struct rig {
	struct kt_vm t;
	uint8_t *mem;
	volatile struct kvm_dirty_gfn *ring;
	unsigned int next;   /* the entry that comes next */
	unsigned int exits;  /* KVM_EXIT_DIRTY_RING_FULL */
	uint8_t seen[PAGES]; /* how often each page was told */
};

static int enable(struct kt_vm *t, uint64_t bytes)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING,
				      .args[0] = bytes };

	return kt_ioctl(t->vm, KVM_ENABLE_CAP, &cap);
}

static void *map_ring(struct kt_vm *t, int flags, size_t len)
{
	return kt_mmap_at(t->vcpu, len, flags, RING_OFFSET);
}

static void rig_open(struct rig *r)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 7,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = AT,
		.memory_size = PAGES * 0x1000ul,
	};

	memset(r, 0, sizeof(*r));
	kt_vm_open(&r->t, KT_NO_VCPU);
	OK(enable(&r->t, BYTES));
	r->t.vcpu = kt_ioctl(r->t.vm, KVM_CREATE_VCPU, NULL);
	r->t.run = kt_mmap(r->t.vcpu, 0x3000);
	r->ring = map_ring(&r->t, MAP_SHARED, BYTES);
	KT_CHECK(r->ring != MAP_FAILED);
	r->mem = mmap(NULL, PAGES * 0x1000ul, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uint64_t)r->mem;
	OK(kt_ioctl(r->t.vm, KVM_SET_USER_MEMORY_REGION, &slot));
}

static void rig_close(struct rig *r)
{
	munmap((void *)r->ring, BYTES);
	munmap(r->mem, PAGES * 0x1000ul);
	kt_vm_close(&r->t);
}

/* harvest - takes note of all entries; returns how many. */
static unsigned int harvest(struct rig *r)
{
	unsigned int n = 0;

	for (; n < ENTRIES; n++, r->next++) {
		volatile struct kvm_dirty_gfn *e = &r->ring[r->next % ENTRIES];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) !=
		    KVM_DIRTY_GFN_F_DIRTY)
			break;
		if (e->slot == 7 && e->offset < PAGES)
			r->seen[e->offset]++;
		else
			KT_CHECK(!"a page of the slot");
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET,
				 __ATOMIC_RELEASE);
	}
	return n;
}

/* run - until HLT, with the ring emptied whenever it is full. */
static void run(struct rig *r, uint64_t count)
{
	struct kvm_regs regs;

	memset(r->seen, 0, sizeof(r->seen));
	r->exits = 0;
	OK(kt_ioctl(r->t.vcpu, KVM_GET_REGS, &regs));
	regs.rip = KT_CODE_AT;
	regs.rdi = AT;
	regs.rcx = count;
	OK(kt_ioctl(r->t.vcpu, KVM_SET_REGS, &regs));
	for (;;) {
		unsigned int n;

		OK(kt_run(&r->t));
		n = harvest(r);
		GIVES(kt_ioctl(r->t.vm, KVM_RESET_DIRTY_RINGS, NULL), n);
		if (r->t.run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		KT_CHECK(n > 0);
		if (!n)
			return;
		r->exits++;
	}
	GIVES(r->t.run->exit_reason, KVM_EXIT_HLT);
}

static bool seen(const struct rig *r, unsigned int pages, unsigned int times)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		wrong += r->seen[i] != (i < pages ? times : 0);
	return !wrong;
}

static void writes(void)
{
	for (KT_EXECUTORS(e)) {
		struct rig r;

		rig_open(&r);
		KT_LONG(&r.t, touch);
		kt_executor(&r.t, e);
		/* A page that was reset is told again. */
		for (int i = 0; i < 3; i++) {
			run(&r, PAGES);
			KT_CHECK(seen(&r, PAGES, 1));
			KT_CHECK(r.exits >= PAGES / ENTRIES);
		}
		run(&r, 100);
		KT_CHECK(seen(&r, 100, 1));
		GIVES(r.exits, 0);
		KT_LONG(&r.t, fill_pages);
		run(&r, PAGES * 0x1000);
		KT_CHECK(seen(&r, PAGES, 1));
		KT_CHECK(r.exits >= PAGES / ENTRIES);
		rig_close(&r);
	}
}

/* Nothing runs while the ring is full, and what is not reset stays told. */
static void full(void)
{
	struct kvm_regs regs;
	struct rig r;
	uint64_t rip;

	rig_open(&r);
	KT_LONG(&r.t, touch);
	OK(kt_ioctl(r.t.vcpu, KVM_GET_REGS, &regs));
	regs.rdi = AT;
	regs.rcx = PAGES;
	OK(kt_ioctl(r.t.vcpu, KVM_SET_REGS, &regs));
	OK(kt_run(&r.t));
	GIVES(r.t.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	rip = kt_rip(&r.t);
	OK(kt_run(&r.t));
	GIVES(r.t.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	GIVES(kt_rip(&r.t), rip);
	/* Nobody has harvested. */
	GIVES(kt_ioctl(r.t.vm, KVM_RESET_DIRTY_RINGS, NULL), 0);
	OK(kt_run(&r.t));
	GIVES(r.t.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	KT_CHECK(harvest(&r) > 0);
	KT_CHECK(kt_ioctl(r.t.vm, KVM_RESET_DIRTY_RINGS, NULL) > 0);
	OK(kt_ioctl(r.t.vcpu, KVM_GET_REGS, &regs));
	KT_CHECK(regs.rcx < PAGES);
	rig_close(&r);
}

static void arguments(void)
{
	uint64_t bits[8];
	struct kvm_dirty_log log = { .slot = 7, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .slot = 7, .num_pages = 64 };
	struct kt_vm t;
	struct rig r;

	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.vm, KVM_RESET_DIRTY_RINGS, NULL), EINVAL);
	FAILS(enable(&t, BYTES), EINVAL); /* there is a vCPU */
	kt_vm_close(&t);

	kt_vm_open(&t, KT_NO_VCPU);
	GIVES(kt_ioctl(t.vm, KVM_CHECK_EXTENSION, ARG(KVM_CAP_DIRTY_LOG_RING)),
	      65536 * sizeof(struct kvm_dirty_gfn));
	FAILS(enable(&t, 0), EINVAL);
	FAILS(enable(&t, BYTES + 16), EINVAL);
	FAILS(enable(&t, 16), EINVAL);
	FAILS(enable(&t, 1 << 21), E2BIG);
	OK(enable(&t, BYTES));
	FAILS(enable(&t, BYTES), EINVAL); /* once only */
	kt_vm_close(&t);

	rig_open(&r);
	FAILS(kt_ioctl(r.t.vm, KVM_GET_DIRTY_LOG, &log), ENXIO);
	FAILS(kt_ioctl(r.t.vm, KVM_CLEAR_DIRTY_LOG, &clear), ENXIO);
	GIVES(kt_ioctl(r.t.vm, KVM_RESET_DIRTY_RINGS, NULL), 0);
	KT_CHECK(map_ring(&r.t, MAP_PRIVATE, BYTES) == MAP_FAILED);
	GIVES(errno, EINVAL);
	rig_close(&r);
}

/* Rings are emptied by another thread while the guest writes. */
struct reaper {
	struct rig *r;
	volatile int stop;
};

static void *reap(void *arg)
{
	struct reaper *p = arg;

	while (!p->stop) {
		unsigned int n = harvest(p->r);

		if (kt_ioctl(p->r->t.vm, KVM_RESET_DIRTY_RINGS, NULL) != (int)n)
			return "reset";
	}
	return NULL;
}

static void concurrent(void)
{
	struct kvm_regs regs;
	struct rig r;
	struct reaper p = { .r = &r };
	unsigned int lost = 0;
	pthread_t thread;
	void *wrong;

	rig_open(&r);
	KT_LONG(&r.t, touch);
	pthread_create(&thread, NULL, reap, &p);
	for (int i = 0; i < 5; i++) {
		OK(kt_ioctl(r.t.vcpu, KVM_GET_REGS, &regs));
		regs.rip = KT_CODE_AT;
		regs.rdi = AT;
		regs.rcx = PAGES;
		OK(kt_ioctl(r.t.vcpu, KVM_SET_REGS, &regs));
		do {
			OK(kt_run(&r.t));
		} while (r.t.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL);
	}
	p.stop = 1;
	pthread_join(thread, &wrong);
	KT_CHECK(!wrong);
	harvest(&r);
	for (unsigned int i = 0; i < PAGES; i++)
		lost += !r.seen[i];
	GIVES(lost, 0);
	rig_close(&r);
}

void test_dirty_ring(void)
{
	arguments();
	writes();
	full();
	concurrent();
}

#include "fuzz/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "include/ring3.h"

void guest_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s (errno %d)\n", file, line, what, errno);
	abort();
}

uint64_t take(struct input *in, size_t n)
{
	uint64_t v = 0;

	take_bytes(in, &v, n);
	return v;
}

void take_bytes(struct input *in, void *to, size_t n)
{
	if (n > in->n)
		n = in->n;
	memcpy(to, in->p, n);
	in->p += n;
	in->n -= n;
}

static timer_t timer;

static void on_timer(int sig)
{
	ring3_signal();
}

static void timer_setup(void)
{
	struct sigaction sa = { .sa_handler = on_timer };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID,
			       .sigev_signo = SIGRTMIN + 2 };
	static bool there;

	if (there)
		return;
	there = true;
	sigaction(SIGRTMIN + 2, &sa, NULL);
	ev._sigev_un._tid = syscall(SYS_gettid);
	timer_create(CLOCK_MONOTONIC, &ev, &timer);
}

static void arm(long ns)
{
	struct itimerspec t = { .it_value.tv_sec = ns / 1000000000,
				.it_value.tv_nsec = ns % 1000000000,
				.it_interval.tv_nsec = 1000000 };

	if (!ns)
		t.it_interval.tv_nsec = 0;
	timer_settime(timer, 0, &t, NULL);
}

/* CPUID leaf, register (eax 0 ... edx 3), bit. */
static const struct {
	uint32_t leaf;
	uint8_t reg, bit;
} inexact[] = {
	{ 1, 3, 0 },	       /* FPU; the first one */
	{ 1, 3, 4 },	       /* TSC */
	{ 1, 2, 30 },	       /* RDRAND */
	{ 7, 1, 18 },	       /* RDSEED */
	{ 0x80000001, 3, 27 }, /* RDTSCP */
	{ 0xd, 0, 0 },	       /* sub-leaf 1: XSAVEOPT, XSAVEC, XGETBV 1 */
	{ 0xd, 0, 1 },	       { 0xd, 0, 2 }, { 0xd, 0, 3 },
};

bool guest_direct(void)
{
	const char *s = getenv("RING3_DIRECT");

	return s && !strcmp(s, "always");
}

static void set_cpuid(struct guest *g, int sys, bool exact)
{
	struct kvm_cpuid2 *list =
		calloc(1, sizeof(*list) + 256 * sizeof(list->entries[0]));

	list->nent = 256;
	REQUIRE(!ring3_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list));
	for (uint32_t i = 0; exact && i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entries[i];

		for (size_t k = guest_direct();
		     k < sizeof(inexact) / sizeof(inexact[0]); k++)
			if (e->function == inexact[k].leaf &&
			    e->index == (e->function == 0xd))
				(&e->eax)[inexact[k].reg] &=
					~(1u << inexact[k].bit);
	}
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_CPUID2, list));
	free(list);
}

/* Only MSRs whose values do not depend on time. */
static void filter_msrs(struct guest *g)
{
	static uint8_t all[32];
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	static const struct {
		uint32_t base, nr;
	} ok[] = { { 0x174, 3 },
		   { 0x200, 0x100 },
		   { 0xc0000080, 5 },
		   { 0xc0000100, 4 },
		   { 0x1d9, 1 } };

	memset(all, 0xff, sizeof(all));
	for (int i = 0; i < 5; i++)
		f.ranges[i] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = ok[i].base,
			.nmsrs = ok[i].nr,
			.bitmap = all,
		};
	REQUIRE(!ring3_ioctl(g->vm, KVM_X86_SET_MSR_FILTER, &f));
}

static void save_msrs(struct guest *g, int sys)
{
	struct kvm_msr_list *list =
		calloc(1, sizeof(*list) + GUEST_MAX_MSR * 4);

	list->nmsrs = GUEST_MAX_MSR;
	REQUIRE(!ring3_ioctl(sys, KVM_GET_MSR_INDEX_LIST, list));
	g->msrs = calloc(1, sizeof(*g->msrs) +
				    list->nmsrs * sizeof(g->msrs->entries[0]));
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		uint32_t msr = list->indices[i];

		/* The time goes on. */
		if (msr != 0x10 && msr != 0x3b)
			g->msrs->entries[g->msrs->nmsrs++].index = msr;
	}
	REQUIRE(ring3_ioctl(g->vcpu, KVM_GET_MSRS, g->msrs) > 0);
	free(list);
}

static void save_state(struct guest *g, int sys)
{
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_SREGS, &g->sregs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_XSAVE, &g->xsave));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_XCRS, &g->xcrs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_DEBUGREGS, &g->debugregs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_VCPU_EVENTS, &g->events));
	g->events.flags =
		KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (g->irqchip)
		REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_LAPIC, &g->lapic));
	save_msrs(g, sys);
}

void guest_open(struct guest *g, bool irqchip, bool careful, bool exact)
{
	struct kvm_enable_cap cap = { .cap = RING3_CAP_CAREFUL,
				      .args[0] = careful };
	struct kvm_pit_config pit = { 0 };
	int sys = ring3_open(O_RDWR);

	timer_setup();
	*g = (struct guest){ .irqchip = irqchip };
	g->vm = ring3_ioctl(sys, KVM_CREATE_VM, NULL);
	REQUIRE(g->vm >= 0);
	if (irqchip) {
		REQUIRE(!ring3_ioctl(g->vm, KVM_CREATE_IRQCHIP, NULL));
		REQUIRE(!ring3_ioctl(g->vm, KVM_CREATE_PIT2, &pit));
	}
	g->vcpu = ring3_ioctl(g->vm, KVM_CREATE_VCPU, NULL);
	REQUIRE(g->vcpu >= 0);
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_ENABLE_CAP, &cap));
	g->run = ring3_mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_SHARED,
			    g->vcpu, 0);
	REQUIRE(g->run != MAP_FAILED);
	g->mem = mmap(NULL, GUEST_MEM, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(g->mem != MAP_FAILED);
	set_cpuid(g, sys, exact);
	save_state(g, sys);
	if (exact)
		filter_msrs(g);
	ring3_close(sys);
}

void guest_close(struct guest *g)
{
	munmap(g->run, 0x3000);
	ring3_close(g->vcpu);
	ring3_close(g->vm);
	munmap(g->mem, GUEST_MEM);
	free(g->msrs);
}

void guest_reset(struct guest *g)
{
	struct kvm_userspace_memory_region slot = {
		.userspace_addr = (uint64_t)g->mem,
	};
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rflags = 2 };

	/* A change of slots drops all translations. */
	ring3_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &slot);
	memset(g->mem, 0, GUEST_MEM);
	slot.memory_size = GUEST_MEM;
	REQUIRE(!ring3_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &slot));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_SREGS, &g->sregs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_REGS, &regs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_XCRS, &g->xcrs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_XSAVE, &g->xsave));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_DEBUGREGS, &g->debugregs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_VCPU_EVENTS, &g->events));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_MP_STATE, &mp));
	REQUIRE(ring3_ioctl(g->vcpu, KVM_SET_MSRS, g->msrs) >= 0);
	if (g->irqchip)
		REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_LAPIC, &g->lapic));
	memset(g->run, 0, sizeof(*g->run));
}

int guest_run(struct guest *g, unsigned int patience)
{
	/* For debuggers: FUZZ_SLOW times as long. */
	const char *slow = getenv("FUZZ_SLOW");
	int r, err;

	arm((long)GUEST_RUN_NS * patience * (slow ? atoi(slow) : 1));
	r = ring3_ioctl(g->vcpu, KVM_RUN, NULL);
	err = errno;
	arm(0);
	if (!r)
		return 0;
	/* Its memory is there, and we have no bugs. */
	errno = err;
	REQUIRE(err == EINTR || err == EAGAIN || err == EINVAL);
	return err;
}

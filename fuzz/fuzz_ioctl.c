/*
 * Fuzz target: sequences of ioctls on the soft KVM, guest code included.
 *
 * The input is a list of operations.  Structures keep what earlier calls left
 * in them (one buffer a request number), so that a KVM_GET_* followed by small
 * patches and the KVM_SET_* gets past the first checks.  Pointers and
 * descriptors inside of structures are replaced by the harness's own: the
 * client's memory is not what is tested.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "include/ring3.h"

#define MEM_SIZE    0x100000u
#define BUF_SIZE    0x4000
#define MAX_FDS	    24
#define RUN_TIME_NS 2000000

enum { ON_SYSTEM, ON_VM, ON_VCPU, ON_OTHER, NR_KINDS };

static const struct {
	uint32_t request;
	uint8_t kind;
	bool value; /* a plain number, not a pointer */
} calls[] = {
	{ KVM_GET_API_VERSION, ON_SYSTEM, true },
	{ KVM_CHECK_EXTENSION, ON_SYSTEM, true },
	{ KVM_GET_SUPPORTED_CPUID, ON_SYSTEM, false },
	{ KVM_GET_EMULATED_CPUID, ON_SYSTEM, false },
	{ KVM_GET_MSR_INDEX_LIST, ON_SYSTEM, false },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, ON_SYSTEM, false },
	{ KVM_ENABLE_CAP, ON_VM, false },
	{ KVM_CREATE_VCPU, ON_VM, true },
	{ KVM_SET_USER_MEMORY_REGION, ON_VM, false },
	{ KVM_SET_TSS_ADDR, ON_VM, true },
	{ KVM_SET_IDENTITY_MAP_ADDR, ON_VM, false },
	{ KVM_SET_BOOT_CPU_ID, ON_VM, true },
	{ KVM_SET_NR_MMU_PAGES, ON_VM, true },
	{ KVM_GET_DIRTY_LOG, ON_VM, false },
	{ KVM_CLEAR_DIRTY_LOG, ON_VM, false },
	{ KVM_REGISTER_COALESCED_MMIO, ON_VM, false },
	{ KVM_UNREGISTER_COALESCED_MMIO, ON_VM, false },
	{ KVM_CREATE_IRQCHIP, ON_VM, true },
	{ KVM_GET_IRQCHIP, ON_VM, false },
	{ KVM_SET_IRQCHIP, ON_VM, false },
	{ KVM_CREATE_PIT2, ON_VM, false },
	{ KVM_GET_PIT2, ON_VM, false },
	{ KVM_SET_PIT2, ON_VM, false },
	{ KVM_GET_PIT, ON_VM, false },
	{ KVM_SET_PIT, ON_VM, false },
	{ KVM_REINJECT_CONTROL, ON_VM, false },
	{ KVM_IRQ_LINE, ON_VM, false },
	{ KVM_IRQ_LINE_STATUS, ON_VM, false },
	{ KVM_SET_GSI_ROUTING, ON_VM, false },
	{ KVM_SIGNAL_MSI, ON_VM, false },
	{ KVM_IRQFD, ON_VM, false },
	{ KVM_IOEVENTFD, ON_VM, false },
	{ KVM_GET_CLOCK, ON_VM, false },
	{ KVM_SET_CLOCK, ON_VM, false },
	{ KVM_X86_SET_MSR_FILTER, ON_VM, false },
	{ KVM_CREATE_DEVICE, ON_VM, false },
	{ KVM_GET_STATS_FD, ON_VM, true },
	{ KVM_RUN, ON_VCPU, true },
	{ KVM_RUN, ON_VCPU, true },
	{ KVM_RUN, ON_VCPU, true },
	{ KVM_GET_REGS, ON_VCPU, false },
	{ KVM_SET_REGS, ON_VCPU, false },
	{ KVM_GET_SREGS, ON_VCPU, false },
	{ KVM_SET_SREGS, ON_VCPU, false },
	{ KVM_GET_SREGS2, ON_VCPU, false },
	{ KVM_SET_SREGS2, ON_VCPU, false },
	{ KVM_GET_FPU, ON_VCPU, false },
	{ KVM_SET_FPU, ON_VCPU, false },
	{ KVM_GET_XSAVE, ON_VCPU, false },
	{ KVM_SET_XSAVE, ON_VCPU, false },
	{ KVM_GET_XCRS, ON_VCPU, false },
	{ KVM_SET_XCRS, ON_VCPU, false },
	{ KVM_GET_MSRS, ON_VCPU, false },
	{ KVM_SET_MSRS, ON_VCPU, false },
	{ KVM_SET_CPUID, ON_VCPU, false },
	{ KVM_SET_CPUID2, ON_VCPU, false },
	{ KVM_GET_CPUID2, ON_VCPU, false },
	{ KVM_GET_VCPU_EVENTS, ON_VCPU, false },
	{ KVM_SET_VCPU_EVENTS, ON_VCPU, false },
	{ KVM_GET_DEBUGREGS, ON_VCPU, false },
	{ KVM_SET_DEBUGREGS, ON_VCPU, false },
	{ KVM_SET_GUEST_DEBUG, ON_VCPU, false },
	{ KVM_TRANSLATE, ON_VCPU, false },
	{ KVM_GET_MP_STATE, ON_VCPU, false },
	{ KVM_SET_MP_STATE, ON_VCPU, false },
	{ KVM_GET_LAPIC, ON_VCPU, false },
	{ KVM_SET_LAPIC, ON_VCPU, false },
	{ KVM_INTERRUPT, ON_VCPU, false },
	{ KVM_NMI, ON_VCPU, true },
	{ KVM_SET_VAPIC_ADDR, ON_VCPU, false },
	{ KVM_TPR_ACCESS_REPORTING, ON_VCPU, false },
	{ KVM_X86_SETUP_MCE, ON_VCPU, false },
	{ KVM_X86_SET_MCE, ON_VCPU, false },
	{ KVM_GET_TSC_KHZ, ON_VCPU, true },
	{ KVM_SET_TSC_KHZ, ON_VCPU, true },
	{ KVM_KVMCLOCK_CTRL, ON_VCPU, true },
	{ KVM_HAS_DEVICE_ATTR, ON_VCPU, false },
	{ KVM_GET_DEVICE_ATTR, ON_VCPU, false },
	{ KVM_SET_DEVICE_ATTR, ON_VCPU, false },
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

/* Operations beside the ioctls. */
enum { OP_MEMORY = NR_CALLS, OP_PAGE, OP_PATCH, OP_CLOSE, NR_OPS };

struct input {
	const uint8_t *p;
	size_t n;
};

static struct {
	int fd[MAX_FDS];
	uint8_t kind[MAX_FDS];
	struct kvm_run *run[MAX_FDS];
	unsigned int n;
} open_fds;

static uint8_t *mem;	 /* guest memory: one slot is made of it */
static uint8_t *buffers; /* one a request number */
static uint8_t *answers; /* where pointers inside of structures lead */
static int eventfds[4];
static timer_t timer;

static uint64_t take(struct input *in, size_t n)
{
	uint64_t v = 0;

	if (n > in->n)
		n = in->n;
	memcpy(&v, in->p, n);
	in->p += n;
	in->n -= n;
	return v;
}

static void take_bytes(struct input *in, void *to, size_t n)
{
	if (n > in->n)
		n = in->n;
	memcpy(to, in->p, n);
	in->p += n;
	in->n -= n;
}

static void on_timer(int sig)
{
	ring3_signal();
}

static void setup(void)
{
	struct sigaction sa = { .sa_handler = on_timer };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID,
			       .sigev_signo = SIGRTMIN + 2 };

	if (mem)
		return;
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	buffers = calloc(256, BUF_SIZE);
	answers = calloc(1, 0x10000);
	for (int i = 0; i < 4; i++)
		eventfds[i] = eventfd(0, EFD_NONBLOCK);
	sigaction(SIGRTMIN + 2, &sa, NULL);
	ev._sigev_un._tid = syscall(SYS_gettid);
	timer_create(CLOCK_MONOTONIC, &ev, &timer);
}

static void arm(long ns)
{
	struct itimerspec t = { .it_value.tv_nsec = ns,
				.it_interval.tv_nsec = ns };

	timer_settime(timer, 0, &t, NULL);
}

static void add_fd(int fd, uint8_t kind)
{
	struct kvm_run *run = NULL;

	if (fd < 0)
		return;
	if (open_fds.n == MAX_FDS) {
		ring3_close(fd);
		return;
	}
	if (kind == ON_VCPU)
		run = ring3_mmap(NULL, 0x3000, PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);
	open_fds.fd[open_fds.n] = fd;
	open_fds.kind[open_fds.n] = kind;
	open_fds.run[open_fds.n++] = run == MAP_FAILED ? NULL : run;
}

static void drop_fd(unsigned int i)
{
	if (open_fds.run[i])
		munmap(open_fds.run[i], 0x3000);
	ring3_close(open_fds.fd[i]);
	open_fds.n--;
	open_fds.fd[i] = open_fds.fd[open_fds.n];
	open_fds.kind[i] = open_fds.kind[open_fds.n];
	open_fds.run[i] = open_fds.run[open_fds.n];
}

/* pick - a descriptor of @kind, or now and then any. */
static int pick(uint8_t kind, uint8_t how)
{
	unsigned int start = how % open_fds.n;

	for (unsigned int i = 0; i < open_fds.n && how < 0xf0; i++) {
		unsigned int at = (start + i) % open_fds.n;

		if (open_fds.kind[at] == kind)
			return open_fds.fd[at];
	}
	return open_fds.fd[start];
}

/* tame - pointers and descriptors in the argument become ours. */
static void tame(uint32_t request, void *arg)
{
	struct kvm_userspace_memory_region *slot = arg;
	struct kvm_dirty_log *log = arg;
	struct kvm_clear_dirty_log *clear = arg;
	struct kvm_msr_filter *filter = arg;
	struct kvm_device_attr *attr = arg;
	struct kvm_irqfd *irq = arg;
	struct kvm_ioeventfd *io = arg;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		slot->memory_size &= MEM_SIZE - 1;
		slot->userspace_addr = (uint64_t)mem;
		break;
	case KVM_GET_DIRTY_LOG:
		log->dirty_bitmap = answers;
		break;
	case KVM_CLEAR_DIRTY_LOG:
		clear->dirty_bitmap = answers;
		break;
	case KVM_X86_SET_MSR_FILTER:
		for (int i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
			filter->ranges[i].bitmap = answers;
		break;
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		attr->addr = (uint64_t)answers;
		break;
	case KVM_IRQFD:
		irq->fd = irq->fd == 9 ? -1 : eventfds[irq->fd & 3];
		irq->resamplefd = eventfds[irq->resamplefd & 3];
		break;
	case KVM_IOEVENTFD:
		io->fd = io->fd == 9 ? -1 : eventfds[io->fd & 3];
		break;
	}
}

static uint8_t kind_of_result(uint32_t request)
{
	return request == KVM_CREATE_VCPU ? ON_VCPU : ON_OTHER;
}

static bool makes_fd(uint32_t request)
{
	return request == KVM_CREATE_VCPU || request == KVM_GET_STATS_FD;
}

static void do_call(struct input *in, unsigned int n)
{
	uint32_t request = calls[n].request;
	int fd = pick(calls[n].kind, take(in, 1));
	uint8_t *arg = buffers + _IOC_NR(request) * BUF_SIZE;
	void *user = arg;
	int r;

	if (calls[n].value) {
		user = request == KVM_RUN || request == KVM_GET_STATS_FD
			       ? NULL
			       : (void *)take(in, 2);
	} else {
		tame(request, arg);
		if (take(in, 1) == 0xff)
			user = (void *)0x10;
	}
	if (request == KVM_RUN)
		arm(RUN_TIME_NS);
	r = ring3_ioctl(fd, request, user);
	if (request == KVM_RUN)
		arm(0);
	if (r >= 0 && makes_fd(request))
		add_fd(r, kind_of_result(request));
	if (r >= 0 && request == KVM_CREATE_DEVICE && user == arg &&
	    !(((struct kvm_create_device *)arg)->flags &
	      KVM_CREATE_DEVICE_TEST))
		add_fd(((struct kvm_create_device *)arg)->fd, ON_OTHER);
}

/* A few bytes into an argument; GET buffers serve their SET as well. */
static void patch(struct input *in)
{
	unsigned int from = take(in, 1) % NR_CALLS;
	unsigned int to = take(in, 1) % NR_CALLS;
	uint8_t *a = buffers + _IOC_NR(calls[from].request) * BUF_SIZE;
	uint8_t *b = buffers + _IOC_NR(calls[to].request) * BUF_SIZE;
	unsigned int at = take(in, 2) % (BUF_SIZE - 64);

	if (a != b)
		memcpy(b, a, BUF_SIZE);
	take_bytes(in, b + at, take(in, 1) % 64);
}

static void touch_page(struct input *in)
{
	unsigned int i = take(in, 1) % open_fds.n;
	unsigned int at = take(in, 2) % (0x3000 - 32);

	if (open_fds.run[i])
		take_bytes(in, (uint8_t *)open_fds.run[i] + at,
			   take(in, 1) % 32);
}

static void operation(struct input *in)
{
	unsigned int op = take(in, 1) % NR_OPS, at;

	switch (op) {
	case OP_MEMORY:
		at = take(in, 3) % (MEM_SIZE - 256);
		take_bytes(in, mem + at, take(in, 1));
		break;
	case OP_PAGE:
		touch_page(in);
		break;
	case OP_PATCH:
		patch(in);
		break;
	case OP_CLOSE:
		/* The system and the VM descriptor stay. */
		if (open_fds.n > 2)
			drop_fd(2 + take(in, 1) % (open_fds.n - 2));
		break;
	default:
		do_call(in, op);
	}
}

/* Code from the input at 0x1000, in real mode or (@flat) with 32-bit code. */
static void load_code(struct input *in, int vcpu, bool flat)
{
	struct kvm_regs regs = { .rip = 0x1000, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	take_bytes(in, mem + 0x1000, take(in, 1));
	ring3_ioctl(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 8;
	if (flat) {
		sregs.cr0 |= 1;
		sregs.cs.limit = 0xffffffff;
		sregs.cs.db = sregs.cs.g = 1;
		sregs.ss = sregs.ds;
		sregs.ss.db = 1;
	}
	ring3_ioctl(vcpu, KVM_SET_SREGS, &sregs);
	ring3_ioctl(vcpu, KVM_SET_REGS, &regs);
}

static void begin(struct input *in)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = MEM_SIZE,
		.userspace_addr = (uint64_t)mem,
	};
	uint8_t how = take(in, 1);
	int sys = ring3_open(O_RDWR), vm;

	open_fds.n = 0;
	add_fd(sys, ON_SYSTEM);
	vm = ring3_ioctl(sys, KVM_CREATE_VM, NULL);
	add_fd(vm, ON_VM);
	if (how & 1)
		ring3_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	if (how & 2)
		ring3_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
	if (how & 4)
		add_fd(ring3_ioctl(vm, KVM_CREATE_VCPU, NULL), ON_VCPU);
	if ((how & 5) == 5 && (how & 8))
		load_code(in, open_fds.fd[2], how & 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	setup();
	memset(buffers, 0, 256 * BUF_SIZE);
	madvise(mem, MEM_SIZE, MADV_DONTNEED);
	ring3_discard(mem, MEM_SIZE);
	begin(&in);
	for (int i = 0; i < 200 && in.n; i++)
		operation(&in);
	while (open_fds.n)
		drop_fd(0);
	return 0;
}

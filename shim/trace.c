#include "shim/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/types.h"
#include "shim/options.h"
#include "shim/real.h"

/* clang-format off */
#define REQUEST(name) { (uint32_t)KVM_##name, #name }
static const struct request {
	uint32_t number;
	const char *name;
} requests[] = {
	REQUEST(RUN), REQUEST(GET_API_VERSION), REQUEST(CHECK_EXTENSION),
	REQUEST(CREATE_VM), REQUEST(GET_VCPU_MMAP_SIZE),
	REQUEST(GET_SUPPORTED_CPUID), REQUEST(GET_EMULATED_CPUID),
	REQUEST(GET_MSR_INDEX_LIST), REQUEST(GET_MSR_FEATURE_INDEX_LIST),
	REQUEST(X86_GET_MCE_CAP_SUPPORTED), REQUEST(ENABLE_CAP),
	REQUEST(CREATE_VCPU), REQUEST(SET_USER_MEMORY_REGION),
	REQUEST(SET_TSS_ADDR), REQUEST(SET_IDENTITY_MAP_ADDR),
	REQUEST(SET_BOOT_CPU_ID), REQUEST(SET_NR_MMU_PAGES),
	REQUEST(GET_DIRTY_LOG), REQUEST(CLEAR_DIRTY_LOG),
	REQUEST(RESET_DIRTY_RINGS), REQUEST(REGISTER_COALESCED_MMIO),
	REQUEST(UNREGISTER_COALESCED_MMIO), REQUEST(CREATE_IRQCHIP),
	REQUEST(GET_IRQCHIP), REQUEST(SET_IRQCHIP), REQUEST(CREATE_PIT2),
	REQUEST(GET_PIT2), REQUEST(SET_PIT2), REQUEST(REINJECT_CONTROL),
	REQUEST(IRQ_LINE), REQUEST(IRQ_LINE_STATUS), REQUEST(SET_GSI_ROUTING),
	REQUEST(SIGNAL_MSI), REQUEST(IRQFD), REQUEST(IOEVENTFD),
	REQUEST(GET_CLOCK), REQUEST(SET_CLOCK), REQUEST(X86_SET_MSR_FILTER),
	REQUEST(CREATE_DEVICE), REQUEST(GET_STATS_FD), REQUEST(GET_REGS),
	REQUEST(SET_REGS), REQUEST(GET_SREGS), REQUEST(SET_SREGS),
	REQUEST(GET_SREGS2), REQUEST(SET_SREGS2), REQUEST(GET_FPU),
	REQUEST(SET_FPU), REQUEST(GET_XSAVE), REQUEST(GET_XSAVE2),
	REQUEST(SET_XSAVE), REQUEST(GET_XCRS), REQUEST(SET_XCRS),
	REQUEST(GET_MSRS), REQUEST(SET_MSRS), REQUEST(SET_CPUID),
	REQUEST(SET_CPUID2), REQUEST(GET_CPUID2), REQUEST(GET_VCPU_EVENTS),
	REQUEST(SET_VCPU_EVENTS), REQUEST(GET_DEBUGREGS),
	REQUEST(SET_DEBUGREGS), REQUEST(SET_GUEST_DEBUG), REQUEST(TRANSLATE),
	REQUEST(GET_MP_STATE), REQUEST(SET_MP_STATE), REQUEST(GET_LAPIC),
	REQUEST(SET_LAPIC), REQUEST(INTERRUPT), REQUEST(NMI), REQUEST(SMI),
	REQUEST(SET_VAPIC_ADDR), REQUEST(TPR_ACCESS_REPORTING),
	REQUEST(SET_SIGNAL_MASK), REQUEST(X86_SETUP_MCE), REQUEST(X86_SET_MCE),
	REQUEST(GET_TSC_KHZ), REQUEST(SET_TSC_KHZ), REQUEST(KVMCLOCK_CTRL),
	REQUEST(HAS_DEVICE_ATTR), REQUEST(GET_DEVICE_ATTR),
	REQUEST(SET_DEVICE_ATTR), REQUEST(GET_NESTED_STATE),
	REQUEST(SET_NESTED_STATE), REQUEST(GET_SUPPORTED_HV_CPUID),
};
/* clang-format on */

/* clang-format off */
#define EXIT(name) [KVM_EXIT_##name] = #name
static const char *const exits[] = {
	EXIT(UNKNOWN), EXIT(EXCEPTION), EXIT(IO), EXIT(HYPERCALL), EXIT(DEBUG),
	EXIT(HLT), EXIT(MMIO), EXIT(IRQ_WINDOW_OPEN), EXIT(SHUTDOWN),
	EXIT(FAIL_ENTRY), EXIT(INTR), EXIT(SET_TPR), EXIT(TPR_ACCESS),
	EXIT(NMI), EXIT(INTERNAL_ERROR), EXIT(SYSTEM_EVENT), EXIT(IOAPIC_EOI),
	EXIT(HYPERV), EXIT(X86_RDMSR), EXIT(X86_WRMSR), EXIT(DIRTY_RING_FULL),
	EXIT(X86_BUS_LOCK), EXIT(NOTIFY),
};
/* clang-format on */

/* The vCPUs' kvm_run pages, by descriptor. */
#define MAX_TRACED 1024
static struct kvm_run *runs[MAX_TRACED];

struct count {
	uint64_t calls, failed, ns;
};

/* One more for requests that have no name here. */
static struct count counts[ARRAY_SIZE(requests) + 1];
static uint64_t exit_counts[ARRAY_SIZE(exits)];
static int log_fd = -1;
static bool on, known;

static int open_file(enum option o)
{
	const char *path = option_value(o);

	if (!path)
		return -1;
	return real()->open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			    0666);
}

bool trace_on(void)
{
	return __atomic_load_n(&on, __ATOMIC_RELAXED);
}

static size_t request_index(uint32_t number)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].number == number)
			break;
	return i;
}

/* put - one write a line, so that those of threads do not mix. */
static void __attribute__((format(printf, 2, 3)))
put(int fd, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (fd >= 0 && n > 0)
		(void)!write(fd, line, n < 255 ? n : 255);
}

static long thread_id(void)
{
	return real()->syscall(SYS_gettid);
}

void trace_open(int fd)
{
	int saved = errno;

	if (!known) {
		known = true;
		log_fd = open_file(OPTION_LOG);
		on = log_fd >= 0 || option_value(OPTION_STATS);
	}
	put(log_fd, "%ld open /dev/kvm = %d\n", thread_id(), fd);
	errno = saved;
}

void trace_close(int fd)
{
	int saved = errno;

	if (trace_on()) {
		put(log_fd, "%ld close %d\n", thread_id(), fd);
		if (fd < MAX_TRACED)
			runs[fd] = NULL;
	}
	errno = saved;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static const struct kvm_run *run_of(const struct trace *t)
{
	if (t->request != KVM_RUN || t->fd >= MAX_TRACED)
		return NULL;
	return runs[t->fd];
}

/* describe_answer - what the client has read for the guest. */
static void describe_answer(const struct kvm_run *run, char *buf, size_t size)
{
	uint64_t data = 0;

	if (run->exit_reason == KVM_EXIT_IO && run->io.size <= 4 &&
	    run->io.direction == KVM_EXIT_IO_IN)
		memcpy(&data, (const uint8_t *)run + run->io.data_offset,
		       run->io.size);
	else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
		memcpy(&data, run->mmio.data, sizeof(data));
	else
		return;
	snprintf(buf, size, " answer %#lx", data);
}

void trace_begin(struct trace *t, int fd, unsigned long request, void *arg)
{
	const struct kvm_run *run;

	t->fd = fd;
	t->request = (unsigned int)request;
	t->arg = arg;
	t->answer[0] = 0;
	run = run_of(t);
	if (run)
		describe_answer(run, t->answer, sizeof(t->answer));
	t->start_ns = now_ns();
}

/* describe_exit - why KVM_RUN has returned. */
static void describe_exit(const struct kvm_run *run, char *buf, size_t size)
{
	unsigned int reason = run->exit_reason;
	const char *name = reason < ARRAY_SIZE(exits) ? exits[reason] : NULL;
	uint64_t data = 0;

	switch (reason) {
	case KVM_EXIT_IO:
		if (run->io.direction)
			memcpy(&data,
			       (const uint8_t *)run + run->io.data_offset,
			       run->io.size);
		snprintf(buf, size, " IO %s %#x size %u count %u %#lx",
			 run->io.direction ? "out" : "in", run->io.port,
			 run->io.size, run->io.count, data);
		break;
	case KVM_EXIT_MMIO:
		memcpy(&data, run->mmio.data, sizeof(data));
		snprintf(buf, size, " MMIO %s %#llx len %u %#lx",
			 run->mmio.is_write ? "write" : "read",
			 run->mmio.phys_addr, run->mmio.len,
			 run->mmio.is_write ? data : 0);
		break;
	default:
		snprintf(buf, size, " %s (%u)", name ? name : "?", reason);
	}
	if (name)
		__atomic_fetch_add(&exit_counts[reason], 1, __ATOMIC_RELAXED);
}

void trace_mmap(int fd, void *p, off_t offset)
{
	if (trace_on() && fd < MAX_TRACED && !offset)
		runs[fd] = p;
}

void trace_end(const struct trace *t, int result)
{
	uint64_t ns = now_ns() - t->start_ns;
	size_t i = request_index(t->request);
	char name[16], why[64] = "";
	int err = errno;

	__atomic_fetch_add(&counts[i].calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts[i].ns, ns, __ATOMIC_RELAXED);
	if (result < 0)
		__atomic_fetch_add(&counts[i].failed, 1, __ATOMIC_RELAXED);
	if (run_of(t))
		describe_exit(run_of(t), why, sizeof(why));
	snprintf(name, sizeof(name), "%#x", t->request);
	put(log_fd, "%ld ioctl %d %s %#lx%s = %d%s%s%s (%lu us)\n", thread_id(),
	    t->fd, i < ARRAY_SIZE(requests) ? requests[i].name : name,
	    (unsigned long)t->arg, t->answer, result, result < 0 ? " " : "",
	    result < 0 ? strerrorname_np(err) : "", why, ns / 1000);
	errno = err;
}

/* At the process's end, if anything was asked of KVM. */
static void __attribute__((destructor)) put_stats(void)
{
	int fd;

	if (!trace_on() || (fd = open_file(OPTION_STATS)) < 0)
		return;
	put(fd, "%-28s %12s %8s %12s\n", "request", "calls", "failed", "us");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct count *c = &counts[i];

		if (c->calls)
			put(fd, "%-28s %12lu %8lu %12lu\n",
			    i < ARRAY_SIZE(requests) ? requests[i].name
						     : "(other)",
			    c->calls, c->failed, c->ns / 1000);
	}
	for (size_t i = 0; i < ARRAY_SIZE(exits); i++)
		if (exit_counts[i])
			put(fd, "exit %-23s %12lu\n", exits[i], exit_counts[i]);
	real()->close(fd);
}

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

struct count {
	uint64_t calls, failed, ns;
};

/* One more for requests that have no name here. */
static struct count counts[ARRAY_SIZE(requests) + 1];
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

	if (trace_on())
		put(log_fd, "%ld close %d\n", thread_id(), fd);
	errno = saved;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void trace_begin(struct trace *t, int fd, unsigned long request, void *arg)
{
	t->fd = fd;
	t->request = (unsigned int)request;
	t->arg = arg;
	t->start_ns = now_ns();
}

void trace_end(const struct trace *t, int result)
{
	uint64_t ns = now_ns() - t->start_ns;
	size_t i = request_index(t->request);
	int err = errno;
	char name[16];

	__atomic_fetch_add(&counts[i].calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts[i].ns, ns, __ATOMIC_RELAXED);
	if (result < 0)
		__atomic_fetch_add(&counts[i].failed, 1, __ATOMIC_RELAXED);
	snprintf(name, sizeof(name), "%#x", t->request);
	put(log_fd, "%ld ioctl %d %s %#lx = %d%s%s (%lu us)\n", thread_id(),
	    t->fd, i < ARRAY_SIZE(requests) ? requests[i].name : name,
	    (unsigned long)t->arg, result, result < 0 ? " " : "",
	    result < 0 ? strerrorname_np(err) : "", ns / 1000);
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
	real()->close(fd);
}

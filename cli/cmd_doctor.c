#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/types.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "vmm/direct.h"
#include "vmm/log.h"
#include "vmm/probe.h"
#include "vmm/status.h"

/* What `ring3 doctor` says of each thing that the engine needs or likes. */
enum verdict { GOOD, NOTE, BAD };

static const char *const words[] = { "ok", "note", "BAD" };

struct finding {
	enum verdict verdict;
	char text[512];
};

static void __attribute__((format(printf, 3, 4)))
say(struct finding *f, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	f->verdict = v;
}

/* read_word - the first word of a small file; false if there is none. */
static bool read_word(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	buf[strcspn(buf, " \n")] = 0;
	return true;
}

static void check_cpu(struct finding *f)
{
	unsigned int a, b, c = 0, d, b7 = 0, xcr0 = 0, hi;
	bool bmi2, avx;

	__get_cpuid(1, &a, &b, &c, &d);
	__get_cpuid_count(7, 0, &a, &b7, &d, &hi);
	bmi2 = b7 & BIT(8);
	if (c & BIT(27))
		__asm__("xgetbv" : "=a"(xcr0), "=d"(hi) : "c"(0));
	avx = (c & BIT(28)) && (xcr0 & 6) == 6;
	if (bmi2 && avx)
		say(f, GOOD, "BMI2, AVX and XSAVE are there");
	else
		say(f, BAD,
		    "this needs BMI2, AVX and XSAVE (Intel Haswell or AMD Zen "
		    "and later);%s%s missing: translated code cannot run here",
		    bmi2 ? "" : " BMI2 is", avx ? "" : " AVX is");
}

static void check_fsgsbase(struct finding *f)
{
	/* AT_HWCAP2 bit 1: the kernel allows the instructions. */
	if (getauxval(AT_HWCAP2) & BIT(1))
		say(f, GOOD, "the kernel allows WRGSBASE");
	else
		say(f, NOTE,
		    "no WRGSBASE in user mode (Linux 5.9 and later have it): "
		    "each entry to the guest costs a system call more");
}

static void check_tsc(struct finding *f)
{
	unsigned int a, b, c, d = 0;
	char source[64] = "?";

	__get_cpuid(0x80000007, &a, &b, &c, &d);
	read_word("/sys/devices/system/clocksource/clocksource0/"
		  "current_clocksource",
		  source, sizeof(source));
	if (d & BIT(8))
		say(f, GOOD, "the TSC runs at one rate (clock source %s)",
		    source);
	else
		say(f, NOTE,
		    "the processor does not promise a TSC of constant rate "
		    "(clock source %s): guests' clocks may drift",
		    source);
}

/* Tables of 1 TiB, reserved and not used, up to 14 a vCPU. */
static void check_address_space(struct finding *f)
{
	const size_t table = 1ull << 40;
	unsigned int nr = 0;
	void *p[24];
	struct rlimit lim;
	char mode[16] = "?";

	while (nr < ARRAY_SIZE(p)) {
		p[nr] = mmap(NULL, table, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0);
		if (p[nr] == MAP_FAILED)
			break;
		nr++;
	}
	for (unsigned int i = 0; i < nr; i++)
		munmap(p[i], table);
	if (nr == ARRAY_SIZE(p)) {
		say(f, GOOD, "24 TiB and more can be reserved");
		return;
	}
	read_word("/proc/sys/vm/overcommit_memory", mode, sizeof(mode));
	if (!getrlimit(RLIMIT_AS, &lim) && lim.rlim_cur != RLIM_INFINITY)
		say(f, BAD,
		    "only %u TiB of address space: lift the limit (ulimit -v "
		    "unlimited); a vCPU takes up to 14 TiB, reserved only",
		    nr);
	else if (!strcmp(mode, "2"))
		say(f, BAD,
		    "only %u TiB of address space: vm.overcommit_memory is 2, "
		    "set it to 0 or 1; a vCPU takes up to 14 TiB, reserved "
		    "only",
		    nr);
	else
		say(f, nr < 14 ? BAD : NOTE,
		    "only %u TiB of address space; a vCPU takes up to 14", nr);
}

static bool maps_exec(int flags, int fd)
{
	int prot = PROT_READ | PROT_EXEC;
	void *p = mmap(NULL, 4096, fd < 0 ? prot | PROT_WRITE : prot, flags, fd,
		       0);

	if (p != MAP_FAILED)
		munmap(p, 4096);
	return p != MAP_FAILED;
}

static void check_code(struct finding *f)
{
	int fd = memfd_create("ring3-doctor", MFD_CLOEXEC);
	bool shared, anonymous;

	if (fd < 0 || ftruncate(fd, 4096)) {
		say(f, BAD, "memfd_create: %s; a seccomp profile must allow it",
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	shared = maps_exec(MAP_SHARED, fd);
	anonymous = maps_exec(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	close(fd);
	if (shared)
		say(f, GOOD, "memory files can be mapped executable");
	else if (anonymous)
		say(f, NOTE,
		    "memory files cannot be mapped executable "
		    "(vm.memfd_noexec?): code will be in pages both writable "
		    "and executable");
	else
		say(f, BAD,
		    "no executable memory (SELinux execmem, PaX or so): "
		    "translated code needs it");
}

static void check_copy(struct finding *f)
{
	char from = 1, to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1)
		say(f, GOOD, "process_vm_readv works");
	else
		say(f, NOTE,
		    "process_vm_readv: %s: a client's bad pointer ends it, "
		    "where Linux answers EFAULT",
		    strerror(errno));
}

static void check_userfaultfd(struct finding *f)
{
	/* 1: UFFD_USER_MODE_ONLY, which needs no privilege. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | 1);

	if (fd >= 0) {
		close(fd);
		say(f, GOOD, "userfaultfd works");
	} else {
		say(f, NOTE, "userfaultfd: %s: no host swapping of guests",
		    strerror(errno));
	}
}

static void check_seccomp(struct finding *f)
{
	char line[256], mode = '?';
	FILE *in = fopen("/proc/self/status", "re");

	while (in && fgets(line, sizeof(line), in))
		if (!strncmp(line, "Seccomp:", 8))
			mode = line[9];
	if (in)
		fclose(in);
	if (mode == '2')
		say(f, NOTE,
		    "a seccomp filter is on (a container's?); what it takes "
		    "away shows above");
	else
		say(f, GOOD, "no seccomp filter");
}

static void check_run_delay(struct finding *f)
{
	if (!access("/proc/thread-self/schedstat", R_OK))
		say(f, GOOD,
		    "the scheduler tells run delays: guests see "
		    "steal time");
	else
		say(f, NOTE,
		    "no /proc/thread-self/schedstat: guests see no steal time, "
		    "and flush each other's TLBs by interrupts");
}

static void check_direct(struct finding *f)
{
	char why[384];

	if (direct_why(why, sizeof(why)))
		say(f, NOTE,
		    "%s. User code is translated like all other: everything "
		    "works, but slower",
		    why);
	else if (strcmp(direct_mode(), "auto") != 0)
		say(f, NOTE,
		    "guest user code can run natively; " DIRECT_VARIABLE
		    " in the environment says \"%s\"",
		    direct_mode());
	else
		say(f, GOOD, "guest user code can run natively");
}

static void check_library(struct finding *f)
{
	char path[4096], why[256] = "";

	log_capture(why, sizeof(why));
	if (client_library(NULL, path, sizeof(path)))
		say(f, NOTE, "%s: no `ring3 exec`", why);
	else
		say(f, GOOD, "%.400s", path);
	log_capture(NULL, 0);
}

static void check_kvm(struct finding *f)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	long ps;

	if (fd < 0) {
		say(f, GOOD, "none (%s); ring3 does without", strerror(errno));
		return;
	}
	close(fd);
	ps = probe_ps(ACCEL_KVM);
	if (ps < 0)
		say(f, GOOD,
		    "opens but cannot run a guest (%s); ring3 does "
		    "without",
		    strerror(-ps));
	else
		say(f, GOOD, "takes %ld.%03ld ns a guest instruction%s",
		    ps / 1000, ps % 1000,
		    ps > 50000 ? ": too slow, ring3 is chosen instead"
			       : ": `ring3 run` will use it; --accel ring3 "
				 "does not");
}

static void check_engine(struct finding *f)
{
	long ps = probe_ps(ACCEL_RING3);

	if (ps < 0)
		say(f, BAD, "a small guest does not run: %s", strerror(-ps));
	else
		say(f, GOOD, "runs a small guest, %ld.%03ld ns an instruction",
		    ps / 1000, ps % 1000);
}

static const struct {
	const char *name;
	void (*check)(struct finding *f);
} checks[] = {
	{ "processor", check_cpu },
	{ "GS base", check_fsgsbase },
	{ "time", check_tsc },
	{ "address space", check_address_space },
	{ "code", check_code },
	{ "copying", check_copy },
	{ "page faults", check_userfaultfd },
	{ "scheduler", check_run_delay },
	{ "seccomp", check_seccomp },
	{ "direct", check_direct },
	{ "library", check_library },
	{ "/dev/kvm", check_kvm },
	{ "engine", check_engine },
};

static const char help[] =
	"usage: ring3 doctor\n\n"
	"Says what this host can and cannot do for ring3: a line each, with\n"
	"what to do about it.  \"note\" is a limitation, \"BAD\" a thing that "
	"is\n"
	"needed and missing.\n\n"
	"exit status: 0 if guests can run, 6 if they cannot, 2 for bad "
	"usage\n";

int cmd_doctor(int argc, char **argv)
{
	int status = 0;

	if (argc == 2 &&
	    (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help, stdout);
		return 0;
	}
	if (argc > 1)
		return log_error(STATUS_USAGE,
				 "%s: doctor takes no arguments; see \"ring3 "
				 "doctor --help\"",
				 argv[1]);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct finding f = { 0 };

		/* Without the instructions the engine would end by SIGILL. */
		if (status && checks[i].check == check_engine)
			break;
		checks[i].check(&f);
		printf("%-5s %-14s %s\n", words[f.verdict], checks[i].name,
		       f.text);
		if (f.verdict == BAD)
			status = STATUS_HOST;
	}
	puts(status ? "guests cannot run here" : "guests can run here");
	return status;
}

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt_long.h"

/*
 * A vCPU whose user code runs in a host process of its own: what comes from
 * other threads reaches it, and nothing of it is left behind.
 */
#define MEM2	   0x200000 /* of the second slot */
#define MEM2_SIZE  0x80000
#define SEEN	   0x4010
#define KICKS	   50
#define SLOW_NS	   1000000000ull
#define VALUE(gpa) (*(volatile uint64_t *)(vm.mem + (gpa)))

/* Counts, and tells what is at MEM2. */
KT_ASM(user_loop, "1: incq 0x4000; mov 0x200000, %rax; mov %rax, 0x4010; "
		  "jmp 1b");
KT_ASM(user_both, "1: incq 0x4000; incq 0x200000; jmp 1b");
KT_ASM(user_count, "1: incq 0x4000; jmp 1b");

static struct kt_vm vm;
static volatile bool stopped;
static volatile unsigned int runs, errors;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Child processes of this one: their number, and the first few. */
static int children(int *pids, int max)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		char path[64], state;
		int pid = atoi(e->d_name), parent = 0;
		FILE *f;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fscanf(f, "%*d %*s %c %d", &state, &parent) == 2 &&
		    parent == getpid()) {
			if (n < max)
				pids[n] = pid;
			n++;
		}
		fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void nothing(int sig)
{
	ring3_signal();
}

static struct kvm_segment user_segment(unsigned int sel, bool code)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = sel,
				     .type = code ? 11 : 3,
				     .present = 1,
				     .dpl = 3,
				     .db = !code,
				     .s = 1,
				     .l = code,
				     .g = 1 };
}

/* User mode, with all that a 64-bit Linux has switched on. */
static void go_user(void)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_xcrs x = { 0 };
	uint64_t gdt[] = { 0x00cff3000000ffff, 0x00affb000000ffff };

	memcpy(vm.mem + KT_GDT + 0x28, gdt, sizeof(gdt));
	OK(kt_ioctl(vm.vcpu, KVM_GET_SREGS, &s));
	s.cs = user_segment(0x33, true);
	s.ss = user_segment(0x2b, false);
	s.ds = s.es = s.fs = s.gs = (struct kvm_segment){ .unusable = 1 };
	s.gdt.limit = 0x3f;
	s.cr4 |= 1 << 18 | 1 << 16; /* OSXSAVE, FSGSBASE */
	s.efer |= 1;		    /* SCE */
	OK(kt_ioctl(vm.vcpu, KVM_SET_SREGS, &s));
	OK(kt_ioctl(vm.vcpu, KVM_GET_XCRS, &x));
	x.nr_xcrs = 1;
	x.xcrs[0].xcr = 0;
	x.xcrs[0].value = 7;
	OK(kt_ioctl(vm.vcpu, KVM_SET_XCRS, &x));
	OK(kt_ioctl(vm.vcpu, KVM_GET_REGS, &r));
	r.rflags = 0x202;
	r.rsp = 0x30000;
	OK(kt_ioctl(vm.vcpu, KVM_SET_REGS, &r));
}

static void begin_with(const uint8_t *code, size_t len)
{
	/* incq KT_COUNTER + 8; mov $0x20, %al; out %al, $0x20; iretq */
	static const uint8_t handle[] = { 0x48, 0xff, 0x04, 0x25, 0x08,
					  0x40, 0x00, 0x00, 0xb0, 0x20,
					  0xe6, 0x20, 0x48, 0xcf };
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGUSR1, &sa, NULL);
	kt_vm_open(&vm, KT_IRQCHIP);
	kt_pic(&vm);
	kt_long(&vm, code, len);
	go_user();
	kt_handler(&vm, 0x24, handle, sizeof(handle));
	stopped = false;
	errors = runs = 0;
}
#define BEGIN(name) begin_with(code64_##name##_start, KT_ASM_LEN(name))

/* Runs until it is told to stop; what MMIO reads is 0x99. */
static void *run(void *arg)
{
	for (;;) {
		int r = kt_run(&vm);

		runs++;
		if (r < 0 && errno == EINTR && vm.run->immediate_exit)
			break;
		if (!r && vm.run->exit_reason == KVM_EXIT_MMIO) {
			memset(vm.run->mmio.data, 0x99, 8);
			continue;
		}
		if (r < 0 && errno == EINTR)
			continue;
		errors++;
		break;
	}
	stopped = true;
	return NULL;
}

static pthread_t start(void)
{
	pthread_t thread;

	vm.run->immediate_exit = 0;
	stopped = false;
	pthread_create(&thread, NULL, run, NULL);
	return thread;
}

static void stop(pthread_t thread)
{
	vm.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
}

static bool moves(uint64_t gpa)
{
	uint64_t before = VALUE(gpa), end = now_ns() + 5 * SLOW_NS;

	while (VALUE(gpa) == before && now_ns() < end && !stopped)
		sched_yield();
	return VALUE(gpa) != before;
}

static bool becomes(uint64_t gpa, uint64_t want)
{
	uint64_t end = now_ns() + 5 * SLOW_NS;

	while (VALUE(gpa) != want && now_ns() < end)
		sched_yield();
	return VALUE(gpa) == want;
}

/* From a signal to the end of KVM_RUN; a runner stays for the next time. */
static bool kicks(void)
{
	uint64_t worst = 0;
	int pid;

	BEGIN(user_count);
	for (int i = 0; i < KICKS; i++) {
		pthread_t thread = start();
		uint64_t begun;

		KT_CHECK(moves(KT_COUNTER));
		if (i == 0 && !children(&pid, 1)) {
			printf("SKIP: no runner\n");
			stop(thread);
			kt_vm_close(&vm);
			return false;
		}
		begun = now_ns();
		stop(thread);
		if (now_ns() - begun > worst)
			worst = now_ns() - begun;
		KT_CHECK(!errors);
		KT_CHECK(children(&pid, 1) <= 1);
	}
	KT_CHECK(worst < SLOW_NS);
	kt_vm_close(&vm);
	GIVES(children(&pid, 1), 0);
	return true;
}

static void interrupts(void)
{
	struct kvm_irq_level irq = { .irq = 4 };
	pthread_t thread;
	int lost = 0;

	BEGIN(user_count);
	thread = start();
	KT_CHECK(moves(KT_COUNTER));
	for (uint64_t i = 1; i <= 300 && !lost; i++) {
		irq.level = 1;
		OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
		irq.level = 0;
		OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
		lost += !becomes(KT_COUNTER + 8, i);
	}
	GIVES(lost, 0);
	KT_CHECK(moves(KT_COUNTER));
	stop(thread);
	KT_CHECK(!errors);
	kt_vm_close(&vm);
}

static void set_slot(uint32_t flags, void *mem, size_t size)
{
	struct kvm_userspace_memory_region r = {
		.slot = 5,
		.flags = flags,
		.guest_phys_addr = MEM2,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	OK(kt_ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &r));
}

static uint64_t *some_memory(void)
{
	return mmap(NULL, MEM2_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Slots that come, go, and are replaced under running user code. */
static void slots(void)
{
	uint64_t *mem[2] = { some_memory(), some_memory() };
	pthread_t thread;

	*mem[0] = 0x1000;
	*mem[1] = 0x2000;
	BEGIN(user_loop);
	thread = start();
	KT_CHECK(becomes(SEEN, 0x9999999999999999));
	for (int i = 0; i < 20; i++) {
		set_slot(i & 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0, mem[i & 1],
			 MEM2_SIZE);
		*mem[i & 1] = 0x1000 + i;
		KT_CHECK(becomes(SEEN, 0x1000 + i));
		*mem[i & 1] = 0x2000 + i;
		KT_CHECK(becomes(SEEN, 0x2000 + i));
		set_slot(0, NULL, 0);
		KT_CHECK(becomes(SEEN, 0x9999999999999999));
	}
	stop(thread);
	KT_CHECK(!errors);
	kt_vm_close(&vm);
	munmap(mem[0], MEM2_SIZE);
	munmap(mem[1], MEM2_SIZE);
}

static void set_main(uint32_t flags)
{
	struct kvm_userspace_memory_region r = {
		.flags = flags,
		.memory_size = KT_MEM_SIZE,
		.userspace_addr = (uintptr_t)vm.mem,
	};

	OK(kt_ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &r));
}

/* Pages that were written before must be noted again. */
static void dirty_log(void)
{
	uint8_t map[KT_MEM_SIZE / 4096 / 8];
	struct kvm_dirty_log log = { .dirty_bitmap = map };
	pthread_t thread;

	BEGIN(user_count);
	thread = start();
	for (int i = 0; i < 5; i++) {
		KT_CHECK(moves(KT_COUNTER));
		set_main(KVM_MEM_LOG_DIRTY_PAGES);
		for (int k = 0; k < 3; k++) {
			memset(map, 0, sizeof(map));
			KT_CHECK(moves(KT_COUNTER));
			KT_CHECK(moves(KT_COUNTER));
			OK(kt_ioctl(vm.vm, KVM_GET_DIRTY_LOG, &log));
			KT_CHECK(map[0] & 1 << 4);
		}
		set_main(0);
	}
	stop(thread);
	KT_CHECK(!errors);
	kt_vm_close(&vm);
}

/* Memory of a display: the guest runs natively, what it writes there is noted.
 */
static void dirty_log_other(void)
{
	uint8_t map[MEM2_SIZE / 4096 / 8];
	struct kvm_dirty_log log = { .slot = 5, .dirty_bitmap = map };
	uint64_t *mem = some_memory();
	pthread_t thread;
	int pids[4];

	BEGIN(user_both);
	set_slot(KVM_MEM_LOG_DIRTY_PAGES, mem, MEM2_SIZE);
	thread = start();
	for (int k = 0; k < 3; k++) {
		KT_CHECK(moves(KT_COUNTER));
		KT_CHECK(moves(KT_COUNTER));
		memset(map, 0, sizeof(map));
		OK(kt_ioctl(vm.vm, KVM_GET_DIRTY_LOG, &log));
		KT_CHECK(map[0] == 1);
	}
	KT_CHECK(children(pids, 4) == 1);
	stop(thread);
	KT_CHECK(!errors);
	kt_vm_close(&vm);
	munmap(mem, MEM2_SIZE);
}

/* Whoever runs the vCPU, and whether he stays. */
static void threads(void)
{
	int pids[4];

	BEGIN(user_count);
	for (int i = 0; i < 20; i++) {
		pthread_t thread = start();

		KT_CHECK(moves(KT_COUNTER));
		stop(thread);
		KT_CHECK(!errors);
	}
	KT_CHECK(children(pids, 4) <= 1);
	kt_vm_close(&vm);
	GIVES(children(pids, 4), 0);
}

/* A runner is killed while nobody uses it: nothing is lost. */
static void killed_idle(void)
{
	int pid;

	BEGIN(user_count);
	vm.run->immediate_exit = 0;
	for (int i = 0; i < 5; i++) {
		uint64_t before = VALUE(KT_COUNTER);

		/* In this thread, whose runners stay. */
		alarm(0);
		ualarm(20000, 0);
		FAILS(kt_run(&vm), EINTR);
		KT_CHECK(VALUE(KT_COUNTER) > before);
		if (children(&pid, 1))
			kill(pid, SIGKILL);
	}
	alarm(60);
	kt_vm_close(&vm);
	GIVES(children(&pid, 1), 0);
}

/* ... while it runs: the vCPU cannot go on, the client can. */
static void killed(void)
{
	pthread_t thread;
	int pid;

	for (int i = 0; i < 5; i++) {
		BEGIN(user_count);
		thread = start();
		KT_CHECK(moves(KT_COUNTER));
		if (children(&pid, 1))
			kill(pid, SIGKILL);
		/* Unless it was between two stays. */
		KT_CHECK(moves(KT_COUNTER) || stopped);
		if (stopped)
			GIVES(vm.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
		stop(thread);
		kt_vm_close(&vm);
		GIVES(children(&pid, 1), 0);
	}
}

/* Nothing is left of many VMs, nor by a client that forks. */
static void many(void)
{
	int before = open_files(), pid, status;

	for (int i = 0; i < 100; i++) {
		pthread_t thread;

		BEGIN(user_count);
		thread = start();
		KT_CHECK(moves(KT_COUNTER));
		if (i % 10 == 0) {
			pid = fork();
			if (!pid)
				_exit(7);
			GIVES(waitpid(pid, &status, 0), pid);
			GIVES(WEXITSTATUS(status), 7);
			KT_CHECK(moves(KT_COUNTER));
		}
		stop(thread);
		kt_vm_close(&vm);
	}
	GIVES(children(&pid, 1), 0);
	GIVES(open_files(), before);
}

/* A mask for KVM_RUN, and a signal that is blocked elsewhere. */
static void *run_masked(void *arg)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t bits;
	} __attribute__((packed)) mask = { .head.len = 8 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	OK(kt_ioctl(vm.vcpu, KVM_SET_SIGNAL_MASK, &mask));
	for (int i = 0; i < 20; i++) {
		FAILS(kt_run(&vm), EINTR);
		runs++;
	}
	OK(kt_ioctl(vm.vcpu, KVM_SET_SIGNAL_MASK, NULL));
	stopped = true;
	return NULL;
}

static void signal_mask(void)
{
	pthread_t thread;

	BEGIN(user_count);
	pthread_create(&thread, NULL, run_masked, NULL);
	for (unsigned int i = 0; i < 20; i++) {
		KT_CHECK(moves(KT_COUNTER));
		pthread_kill(thread, SIGUSR1);
		for (int k = 0; k < 5000 && runs == i; k++)
			usleep(1000);
		KT_CHECK(runs == i + 1);
	}
	pthread_join(thread, NULL);
	kt_vm_close(&vm);
}

void test_direct(void)
{
	const char *was = getenv("RING3_DIRECT");
	struct sigaction sa = { .sa_handler = nothing }, old;

	if (kt_real)
		return;
	if (was && !strcmp(was, "off"))
		return;
	setenv("RING3_DIRECT", "always", 1);
	sigaction(SIGALRM, &sa, &old);
	if (kicks()) {
		interrupts();
		slots();
		dirty_log();
		dirty_log_other();
		threads();
		killed_idle();
		killed();
		many();
		signal_mask();
	}
	sigaction(SIGALRM, &old, NULL);
	if (was)
		setenv("RING3_DIRECT", was, 1);
	else
		unsetenv("RING3_DIRECT");
}

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt_long.h"

/*
 * From an event to its delivery, or to KVM_RUN's return, in a bounded number
 * of guest instructions.  Each guest counts its rounds in memory; the count is
 * taken when the event is there for the vCPU to see, and again when the
 * handler runs.  The bound is that of docs/dbt.md: straight code and forward
 * jumps within a page, or 64 KiB of a repeated string instruction.  What the
 * host's processor has in flight comes on top if the event is another
 * thread's.
 */
#define PAGE_INSNS 4096
#define IN_FLIGHT  600
#define SAMPLES	   6

#define LOOP(name, body) KT_ASM(name, "1: incq 0x4000\n" body "\njmp 1b")
LOOP(tight, "");
LOOP(branches, ".rept 60; test %eax, %eax; jnz 2f; inc %edx; 2:; .endr");
LOOP(block, ".rept 900; lea 1(%rax), %rax; .endr");
LOOP(indirect, "lea 2f(%rip), %rbx; jmp *%rbx; nop; 2:");
LOOP(calls,
     "call 2f; jmp 3f; 2: lea 4f(%rip), %rbx; call *%rbx; ret; 4: ret; 3:");
LOOP(counted, "mov $50, %ecx; 2: loop 2b");
LOOP(pages, "jmp 3f; .fill 4096, 1, 0x90; 3: inc %eax");
LOOP(memory, "add $4096, %rbx; and $0xfffff, %rbx; mov 0x200(%rbx), %rax");
LOOP(small_rep, "mov $0x30000, %edi; mov $1000, %ecx; rep stosb");
LOOP(smc, "incl 2f+1(%rip); 2: mov $0, %eax");
LOOP(vector, "movups 0x5000, %xmm0; mulpd %xmm0, %xmm1; cvtsi2sd %rax, %xmm2");
LOOP(trapped, "xor %eax, %eax; cpuid; rdtsc");
LOOP(port, "in $0x21, %al");
LOOP(fault, "ud2");
LOOP(cli_sti, "cli; nop; sti; nop");
LOOP(popf, "pushf; cli; popf");
LOOP(mov_ss, "mov %ss, %eax; mov %eax, %ss; mov %eax, %ss; mov %eax, %ss");
LOOP(pause_hint, "pause");

#define ROW(name, n)                                                           \
	{                                                                      \
#name, code64_##name##_start, code64_##name##_end, n           \
	}
static const struct loop {
	const char *name;
	const uint8_t *start, *end;
	unsigned int insns; /* of a round, at least */
} loops[] = {
	ROW(tight, 2),	  ROW(branches, 180), ROW(block, 900),
	ROW(indirect, 4), ROW(calls, 8),      ROW(counted, 50),
	ROW(pages, 3),	  ROW(memory, 4),     ROW(small_rep, 4),
	ROW(smc, 3),	  ROW(vector, 4),     ROW(trapped, 4),
	ROW(port, 2),	  ROW(fault, 4),      ROW(cli_sti, 6),
	ROW(popf, 4),	  ROW(mov_ss, 6),     ROW(pause_hint, 2),
};
#define NR_LOOPS (sizeof(loops) / sizeof(loops[0]))

static struct kt_vm vm;
static volatile bool stopped;
static int run_result, run_errno;

static void *run(void *arg)
{
	run_result = kt_run(&vm);
	run_errno = errno;
	stopped = true;
	return NULL;
}

static uint64_t rounds(void)
{
	return kt_u64(&vm, KT_COUNTER);
}

static void begin(const struct loop *l, int executor)
{
	static const uint8_t tell[] = { 0xe6, 0x99, 0xf4 };
	/* addq $2, (%rsp); iretq */
	static const uint8_t skip[] = {
		0x48, 0x83, 0x04, 0x24, 0x02, 0x48, 0xcf
	};
	struct kvm_regs regs;

	kt_vm_open(&vm, KT_IRQCHIP);
	kt_executor(&vm, executor);
	kt_pic(&vm);
	kt_long(&vm, l->start, l->end - l->start);
	kt_handler(&vm, 0x24, tell, sizeof(tell));
	kt_handler(&vm, 6, skip, sizeof(skip));
	OK(kt_ioctl(vm.vcpu, KVM_GET_REGS, &regs));
	regs.rflags |= 1 << 9;
	OK(kt_ioctl(vm.vcpu, KVM_SET_REGS, &regs));
	stopped = false;
}

/* Until the guest has gone round @n times more; false if it does not. */
static bool wait_rounds(uint64_t n)
{
	uint64_t want = rounds() + n;

	for (int i = 0; i < 200000 && rounds() < want; i++)
		i % 16 ? (void)sched_yield() : (void)usleep(50);
	return rounds() >= want;
}

/* A /dev/kvm without virtualization hardware may not know an instruction. */
static bool not_emulated(void)
{
	return kt_real && stopped &&
	       vm.run->exit_reason == KVM_EXIT_INTERNAL_ERROR;
}

static void within(const struct loop *l, const char *what, uint64_t seen,
		   uint64_t slack)
{
	uint64_t n = rounds() - seen;
	uint64_t most = (PAGE_INSNS + slack) / l->insns + 2;

	if (kt_real || (int64_t)n <= (int64_t)most) {
		kt_passed++;
		return;
	}
	kt_failed++;
	printf("%s, %s: %llu rounds of %u instructions, at most %llu\n",
	       l->name, what, (unsigned long long)n, l->insns,
	       (unsigned long long)most);
}

static void set_line(int level)
{
	struct kvm_irq_level irq = { .irq = 4, .level = level };

	OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
}

/* Makes the event happen; the count when it was there to be seen. */
static uint64_t by_line(void)
{
	uint64_t n;

	set_line(1);
	__sync_synchronize();
	n = rounds();
	set_line(0);
	return n;
}

static bool line_seen(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	OK(kt_ioctl(vm.vm, KVM_GET_IRQCHIP, &chip));
	return (chip.chip.pic.irr | chip.chip.pic.isr) & 1 << 4;
}

static uint64_t by_irqfd(void)
{
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_NONBLOCK), .gsi = 4 };
	uint64_t one = 1, n;

	OK(kt_ioctl(vm.vm, KVM_IRQFD, &irqfd));
	GIVES(write(irqfd.fd, &one, sizeof(one)), sizeof(one));
	/* A service thread takes it on; no instruction counts until then. */
	for (int i = 0; i < 2000 && !line_seen(); i++)
		usleep(500);
	KT_CHECK(line_seen());
	n = rounds();
	/* It may still be the same kick; the next one is no later. */
	close(irqfd.fd);
	return n;
}

static void interrupts(const struct loop *l, int executor, const char *what,
		       uint64_t (*raise)(void))
{
	pthread_t thread;
	uint64_t seen;

	begin(l, executor);
	pthread_create(&thread, NULL, run, NULL);
	if (!wait_rounds(3) && not_emulated()) {
		pthread_join(thread, NULL);
		kt_vm_close(&vm);
		return;
	}
	KT_CHECK(rounds());
	seen = raise();
	pthread_join(thread, NULL);
	OK(run_result);
	GIVES(vm.run->exit_reason, KVM_EXIT_IO);
	GIVES(vm.run->io.port, 0x99);
	within(l, what, seen, IN_FLIGHT);
	kt_vm_close(&vm);
}

static volatile uint64_t signalled_at;

static void on_signal(int sig)
{
	signalled_at = rounds();
	/* /dev/kvm needs neither. */
	vm.run->immediate_exit = 1;
	ring3_signal();
}

/* The handler runs on the vCPU's thread: nothing is in flight. */
static void signals(const struct loop *l, int executor)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t thread;

	begin(l, executor);
	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < SAMPLES; i++) {
		stopped = false;
		vm.run->immediate_exit = 0;
		pthread_create(&thread, NULL, run, NULL);
		KT_CHECK(wait_rounds(1 + i) || not_emulated());
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
		if (not_emulated())
			break;
		GIVES(run_result, -1);
		GIVES(run_errno, EINTR);
		GIVES(vm.run->exit_reason, KVM_EXIT_INTR);
		within(l, "signal", signalled_at, 0);
	}
	signal(SIGUSR1, SIG_DFL);
	kt_vm_close(&vm);
}

KT_ASM(fill, "1: mov $0x40000, %edi; mov $0x80000, %ecx; inc %eax; rep stosb; "
	     "incq 0x4000; jmp 1b");

static uint8_t byte(uint32_t i)
{
	return *(volatile uint8_t *)(vm.mem + 0x40000 + i);
}

/* A repeated string instruction: how much of it is done. */
static uint64_t filled(void)
{
	uint64_t passes;
	uint8_t first;
	uint32_t n;

	do {
		passes = rounds();
		first = byte(0);
		for (n = 0; n < 0x80000 && byte(n) == first;)
			n++;
	} while (passes != rounds());
	return passes * 0x80000 + (n == 0x80000 ? 0 : n);
}

static void repeated(int executor)
{
	const struct loop l = { "rep stosb", code64_fill_start, code64_fill_end,
				1 };
	struct kvm_regs regs;
	pthread_t thread;
	uint64_t seen, end;

	for (int i = 0; i < SAMPLES; i++) {
		begin(&l, executor);
		pthread_create(&thread, NULL, run, NULL);
		KT_CHECK(wait_rounds(2));
		set_line(1);
		seen = filled();
		set_line(0);
		pthread_join(thread, NULL);
		GIVES(vm.run->exit_reason, KVM_EXIT_IO);
		OK(kt_ioctl(vm.vcpu, KVM_GET_REGS, &regs));
		end = rounds() * 0x80000 + (0x80000 - regs.rcx) % 0x80000;
		KT_CHECK(kt_real || (int64_t)(end - seen) <= 65536 + IN_FLIGHT);
		kt_vm_close(&vm);
	}
}

void test_latency(void)
{
	for (KT_EXECUTORS(e)) {
		for (size_t i = 0; i < NR_LOOPS; i++) {
			for (int n = 0; n < SAMPLES / 2; n++)
				interrupts(&loops[i], e, "line", by_line);
			interrupts(&loops[i], e, "irqfd", by_irqfd);
			signals(&loops[i], e);
		}
		repeated(e);
	}
}

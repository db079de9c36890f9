#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt_long.h"

/*
 * A halted vCPU misses no wake-up, whenever it comes: interrupts from another
 * thread at odd moments around HLT, IPIs between vCPUs, signals with and
 * without a mask for KVM_RUN.  A lost one shows as a count that stands still.
 */
#define EVENTS 500

KT_ASM(halt, "1: sti; hlt; jmp 1b");
/* The same with code around HLT, so that other moments are met. */
KT_ASM(halt_work, "1: cli; mov 0x4000, %rax; mov %rax, 0x4008; sti; hlt; "
		  "mov $30, %ecx; 2: loop 2b; jmp 1b");

static struct kt_vm vm;
static unsigned int seed = 1;

static uint64_t count(void)
{
	return kt_u64(&vm, KT_COUNTER);
}

static void *run(void *arg)
{
	while (kt_run(&vm) < 0 && errno == EINTR && !vm.run->immediate_exit)
		;
	return NULL;
}

static bool reaches(uint64_t want)
{
	for (int i = 0; i < 200000; i++) {
		if (count() >= want)
			return true;
		if (i % 64 == 63)
			usleep(100);
		else
			sched_yield();
	}
	return false;
}

/* A moment that does not repeat, up to some microseconds. */
static void odd_moment(void)
{
	for (int n = rand_r(&seed) % 3000; n > 0; n--)
		__asm__ volatile("pause");
	if (rand_r(&seed) % 16 == 0)
		usleep(rand_r(&seed) % 100);
}

static void nothing(int sig)
{
	ring3_signal();
}

static void begin(const uint8_t *code, size_t len, int executor)
{
	/* incq KT_COUNTER; mov $0x20, %al; out %al, $0x20; iretq */
	static const uint8_t handle[] = { 0x48, 0xff, 0x04, 0x25, 0x00,
					  0x40, 0x00, 0x00, 0xb0, 0x20,
					  0xe6, 0x20, 0x48, 0xcf };
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGUSR1, &sa, NULL);
	kt_vm_open(&vm, KT_IRQCHIP);
	kt_executor(&vm, executor);
	kt_pic(&vm);
	kt_long(&vm, code, len);
	kt_handler(&vm, 0x24, handle, sizeof(handle));
}

static void end(pthread_t thread)
{
	vm.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	kt_vm_close(&vm);
}

static int irqfd;

static void by_line(void)
{
	struct kvm_irq_level irq = { .irq = 4, .level = 1 };

	OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
	irq.level = 0;
	OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
}

static void by_irqfd(void)
{
	uint64_t one = 1;

	GIVES(write(irqfd, &one, sizeof(one)), sizeof(one));
}

static void interrupts(const uint8_t *code, size_t len, int executor,
		       void (*raise)(void))
{
	struct kvm_irqfd fd = { .gsi = 4 };
	pthread_t thread;
	int lost = 0;

	begin(code, len, executor);
	irqfd = fd.fd = eventfd(0, EFD_NONBLOCK);
	OK(kt_ioctl(vm.vm, KVM_IRQFD, &fd));
	pthread_create(&thread, NULL, run, NULL);
	for (uint64_t i = 1; i <= EVENTS && !lost; i++) {
		odd_moment();
		raise();
		lost += !reaches(i);
	}
	GIVES(lost, 0);
	GIVES(count(), EVENTS);
	close(irqfd);
	end(thread);
}

/* Two vCPUs send each other x2APIC IPIs and halt in between. */
KT_ASM(ping, "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr; "
	     "mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr; "
	     "mov $0x802, %ecx; rdmsr; mov %eax, %ebx; xor $1, %ebx; "
	     "lock incq 0x4020; 3: pause; cmpq $2, 0x4020; jb 3b; "
	     /* APIC id 0 begins. */
	     "test %ebx, %ebx; jz 2f; "
	     "1: mov $0x830, %ecx; mov $0x30, %eax; mov %ebx, %edx; wrmsr; "
	     "2: cli; cmpq $0, 0x4030(,%rbx,8); jne 4f; sti; hlt; jmp 2b; "
	     "4: lock decq 0x4030(,%rbx,8); sti; "
	     "cmpq $1000, 0x4000; jb 1b; out %al, $0x99; hlt");

struct peer {
	int fd, result;
	struct kvm_run *run;
};

static void *run_peer(void *arg)
{
	struct peer *p = arg;

	do
		p->result = kt_ioctl(p->fd, KVM_RUN, NULL);
	while (p->result < 0 && errno == EAGAIN);
	return NULL;
}

/*
 * The handler of vector 0x30 counts the IPI for the vCPU that got it:
 * incq KT_COUNTER; jmp to the rest.
 */
KT_ASM(ping_handler,
       "lock incq 0x4000; push %rax; push %rcx; push %rdx; push %rbx; "
       "mov $0x802, %ecx; rdmsr; mov %eax, %ebx; xor $1, %ebx; "
       "lock incq 0x4030(,%rbx,8); mov $0x80b, %ecx; xor %eax, %eax; "
       "xor %edx, %edx; wrmsr; pop %rbx; pop %rdx; pop %rcx; pop %rax; iretq");

static void ipis(int executor)
{
	struct peer p[2];
	pthread_t thread[2];
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_mp_state mp = { 0 };

	begin(code64_ping_start, KT_ASM_LEN(ping), executor);
	memcpy(vm.mem + 0x3300, code64_ping_handler_start,
	       KT_ASM_LEN(ping_handler));
	p[0].fd = vm.vcpu;
	p[0].run = vm.run;
	p[1].fd = kt_ioctl(vm.vm, KVM_CREATE_VCPU, ARG(1));
	p[1].run = kt_mmap(p[1].fd, 0x3000);
	OK(kt_ioctl(vm.vcpu, KVM_GET_SREGS, &sregs));
	OK(kt_ioctl(vm.vcpu, KVM_GET_REGS, &regs));
	vm.vcpu = p[1].fd;
	kt_set_cpuid(&vm);
	kt_executor(&vm, executor);
	vm.vcpu = p[0].fd;
	sregs.apic_base &= ~0x100ull;
	regs.rsp -= 0x1000;
	OK(kt_ioctl(p[1].fd, KVM_SET_SREGS, &sregs));
	OK(kt_ioctl(p[1].fd, KVM_SET_REGS, &regs));
	OK(kt_ioctl(p[1].fd, KVM_SET_MP_STATE, &mp));
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, run_peer, &p[i]);
	KT_CHECK(reaches(999));
	/* One leaves first and owes the other an IPI: wake it up. */
	while (p[0].run->exit_reason != KVM_EXIT_IO &&
	       p[1].run->exit_reason != KVM_EXIT_IO && count() < 1000)
		sched_yield();
	for (int i = 0; i < 2; i++) {
		usleep(2000);
		p[i].run->immediate_exit = 1;
		pthread_kill(thread[i], SIGUSR1);
		pthread_join(thread[i], NULL);
	}
	KT_CHECK(count() >= 999);
	munmap(p[1].run, 0x3000);
	kt_close(p[1].fd);
	kt_vm_close(&vm);
}

/*
 * A signal that KVM_SET_SIGNAL_MASK alone lets through ends KVM_RUN, or the
 * next one, whenever it comes; here and in a loop that does not halt.
 */
static volatile bool done;
static pthread_t masked_thread;

static void *send_signals(void *arg)
{
	while (!done) {
		odd_moment();
		pthread_kill(masked_thread, SIGUSR1);
	}
	return NULL;
}

KT_ASM(spin, "1: incq 0x4000; jmp 1b");

static void masked(const uint8_t *code, size_t len, int executor)
{
	union {
		struct kvm_signal_mask head;
		uint8_t bytes[sizeof(struct kvm_signal_mask) + 8];
	} none = { .bytes = { 8 } };
	const struct timespec now = { 0 };
	sigset_t block, old;
	pthread_t thread;

	begin(code, len, executor);
	OK(kt_ioctl(vm.vcpu, KVM_SET_SIGNAL_MASK, &none));
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	masked_thread = pthread_self();
	done = false;
	pthread_create(&thread, NULL, send_signals, NULL);
	/* Each of them returns, or the alarm ends the test. */
	for (int i = 0; i < EVENTS; i++) {
		FAILS(kt_run(&vm), EINTR);
		sigtimedwait(&block, NULL, &now);
	}
	done = true;
	pthread_join(thread, NULL);
	while (sigtimedwait(&block, NULL, &now) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	kt_vm_close(&vm);
}

/* immediate_exit wins over everything but the last exit's completion. */
static void immediate(int executor)
{
	struct kvm_irq_level irq = { .irq = 4, .level = 1 };

	begin(code64_halt_start, KT_ASM_LEN(halt), executor);
	vm.run->immediate_exit = 1;
	OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &irq));
	for (int i = 0; i < 3; i++) {
		FAILS(kt_run(&vm), EINTR);
		GIVES(kt_rip(&vm), KT_CODE_AT);
	}
	GIVES(count(), 0);
	kt_vm_close(&vm);
}

void test_wake(void)
{
	for (KT_EXECUTORS(e)) {
		interrupts(code64_halt_start, KT_ASM_LEN(halt), e, by_line);
		interrupts(code64_halt_work_start, KT_ASM_LEN(halt_work), e,
			   by_line);
		interrupts(code64_halt_start, KT_ASM_LEN(halt), e, by_irqfd);
		ipis(e);
		masked(code64_halt_start, KT_ASM_LEN(halt), e);
		masked(code64_spin_start, KT_ASM_LEN(spin), e);
		immediate(e);
	}
	signal(SIGUSR1, SIG_DFL);
}

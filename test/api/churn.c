/*
 * Everything that makes translations go away, at once: several vCPUs call code
 * that one of them and user mode change all the time, while slots come and go.
 * The code is one instruction that lies in two pages.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "test/api/kt_long.h"

#define NR_VCPUS 4
#define RUNS	 1000
/* mov eax, imm32: the number is in the second page */
#define CODE   0x5fff
#define NUMBER 0x6000

KT_ASM(churn_reader, "1: mov $64, %ecx; mov $0x5fff, %ebx; "
		     "2: call *%rbx; dec %ecx; jnz 2b; "
		     "out %al, $0x99; jmp 1b");
/* It writes into the code and calls it, too. */
KT_ASM(churn_writer, "1: mov $16, %ecx; mov $0x5fff, %ebx; "
		     "2: lock incl 0x6000; call *%rbx; dec %ecx; jnz 2b; "
		     "out %al, $0x99; jmp 1b");

struct reader {
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	unsigned int runs, bad;
};

static struct kt_vm vm;
static bool done;

static uint32_t number(void)
{
	return __atomic_load_n((uint32_t *)(vm.mem + NUMBER), __ATOMIC_SEQ_CST);
}

/* The last number that it saw is none from before KVM_RUN. */
static void *read_numbers(void *arg)
{
	struct reader *r = arg;
	struct kvm_regs regs;
	uint32_t before;

	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		before = number();
		if (kt_ioctl(r->fd, KVM_RUN, NULL) ||
		    r->run->exit_reason != KVM_EXIT_IO ||
		    kt_ioctl(r->fd, KVM_GET_REGS, &regs) ||
		    (uint32_t)regs.rax < before ||
		    (uint32_t)regs.rax > number())
			r->bad++;
		__atomic_add_fetch(&r->runs, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static bool all_have_run(const struct reader *r)
{
	for (int i = 0; i < NR_VCPUS; i++)
		if (__atomic_load_n(&r[i].runs, __ATOMIC_SEQ_CST) < RUNS)
			return false;
	return true;
}

static void change(struct reader *r, uint8_t *host)
{
	struct kvm_userspace_memory_region s = {
		.slot = 1,
		.guest_phys_addr = 0x40000000,
		.userspace_addr = (uint64_t)host,
	};
	unsigned int failed = 0;

	for (int n = 0; !all_have_run(r); n++) {
		__atomic_add_fetch((uint32_t *)(vm.mem + NUMBER), 1,
				   __ATOMIC_SEQ_CST);
		if (n % 4 == 0) {
			s.memory_size = n % 8 ? 0 : 0x10000;
			failed += kt_ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION,
					   &s) != 0;
		}
		sched_yield();
	}
	GIVES(failed, 0);
}

/* Another vCPU in the state of the first, with a stack and code of its own. */
static void add_vcpu(struct reader *r, int id, int executor)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int first = vm.vcpu;

	OK(kt_ioctl(vm.vcpu, KVM_GET_SREGS, &sregs));
	OK(kt_ioctl(vm.vcpu, KVM_GET_REGS, &regs));
	r->fd = vm.vcpu = kt_ioctl(vm.vm, KVM_CREATE_VCPU, ARG(id));
	r->run = kt_mmap(r->fd, 0x3000);
	kt_set_cpuid(&vm);
	kt_executor(&vm, executor);
	vm.vcpu = first;
	sregs.apic_base &= ~0x100ull;
	regs.rsp -= 0x1000 * id;
	if (id == 1)
		regs.rip = 0x2000;
	OK(kt_ioctl(r->fd, KVM_SET_SREGS, &sregs));
	OK(kt_ioctl(r->fd, KVM_SET_REGS, &regs));
}

static void churn(int executor)
{
	static const uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
	struct reader r[NR_VCPUS] = { 0 };
	uint8_t *host = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	kt_vm_open(&vm, 0);
	KT_LONG(&vm, churn_reader);
	kt_executor(&vm, executor);
	memcpy(vm.mem + 0x2000, code64_churn_writer_start,
	       KT_ASM_LEN(churn_writer));
	memcpy(vm.mem + CODE, code, sizeof(code));
	r[0].fd = vm.vcpu;
	r[0].run = vm.run;
	for (int i = 1; i < NR_VCPUS; i++)
		add_vcpu(&r[i], i, executor);
	__atomic_store_n(&done, false, __ATOMIC_SEQ_CST);
	for (int i = 0; i < NR_VCPUS; i++)
		pthread_create(&r[i].thread, NULL, read_numbers, &r[i]);
	change(r, host);
	__atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < NR_VCPUS; i++) {
		pthread_join(r[i].thread, NULL);
		GIVES(r[i].bad, 0);
		if (!i)
			continue;
		munmap(r[i].run, 0x3000);
		kt_close(r[i].fd);
	}
	kt_vm_close(&vm);
	munmap(host, 0x10000);
}

void test_churn(void)
{
	for (KT_EXECUTORS(e))
		churn(e);
}

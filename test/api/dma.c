#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/api/kt_long.h"

/*
 * User mode writes guest memory that holds code which has run: what the guest
 * executes after the next exit, interrupt or serializing instruction is new.
 * The code is reached by calls and direct jumps, in one page and across two.
 */
enum { CODE = 0x5000, FAR = 0x180, EDGE = 0xffe, FLAG = 0x8000 };

/* Both executors; the second round meets linked blocks. */
KT_ASM(caller, "1: call 0x5000 - 0x1000 + code64_caller_start\n"
	       "out %al, $0x99\n"
	       "call 0x5ffe - 0x1000 + code64_caller_start\n"
	       "out %al, $0x99\n"
	       "jmp 1b");
/* Waits for the flag to change; nothing here leaves for user mode. */
KT_ASM(waiter, "xor %esi, %esi\n"
	       "1: call 0x5000 - 0x1000 + code64_waiter_start\n"
	       "cmp %esi, 0x8000\n"
	       "je 1b\n"
	       "inc %esi\n"
	       "xor %eax, %eax\n"
	       "cpuid\n"
	       "call 0x5000 - 0x1000 + code64_waiter_start\n"
	       "out %al, $0x99\n"
	       "jmp 1b");
/* The same by an interrupt. */
KT_ASM(sleeper, "sti\n"
		"1: call 0x5000 - 0x1000 + code64_sleeper_start\n"
		"jmp 1b");

static struct kt_vm vm;

/* mov $value, %eax; ret */
static void put_code(uint8_t *at, uint32_t value)
{
	uint8_t text[6] = { 0xb8 };

	memcpy(text + 1, &value, 4);
	text[5] = 0xc3;
	memcpy(at, text, sizeof(text));
}

/* At CODE a jump within the page, and at its end code that crosses. */
static void put_all(uint32_t value)
{
	uint8_t *page = vm.mem + CODE;
	int32_t rel = FAR - 5;

	page[0] = 0xe9;
	memcpy(page + 1, &rel, 4);
	put_code(page + FAR, value);
	put_code(page + EDGE, value << 16);
}

static unsigned int out_value(void)
{
	GIVES(vm.run->exit_reason, KVM_EXIT_IO);
	return *((uint8_t *)vm.run + vm.run->io.data_offset);
}

static unsigned int next_value(void)
{
	OK(kt_run(&vm));
	return out_value();
}

/* Stores into the code between two runs. */
static void by_stores(int executor)
{
	kt_vm_open(&vm, 0);
	kt_executor(&vm, executor);
	KT_LONG(&vm, caller);
	put_all(1);
	for (unsigned int i = 0; i < 4; i++) {
		GIVES(next_value(), 1);
		GIVES(next_value(), 0);
	}
	for (unsigned int i = 2; i < 40; i++) {
		put_code(vm.mem + CODE + FAR, i);
		GIVES(next_value(), i);
		/* The third byte of the immediate is in the second page. */
		vm.mem[CODE + EDGE + 1] = i;
		GIVES(next_value(), i);
	}
	/* Other instructions at the same place. */
	memcpy(vm.mem + CODE, "\x31\xc0\xff\xc0\xc3", 5);
	GIVES(next_value(), 1);
	kt_vm_close(&vm);
}

/* A read from a file, as a disk's DMA is; and pages that are dropped. */
static void by_kernel(int executor)
{
	int fd = memfd_create("disk", 0);
	uint8_t *page;

	kt_vm_open(&vm, 0);
	kt_executor(&vm, executor);
	KT_LONG(&vm, caller);
	page = vm.mem + CODE;
	for (unsigned int i = 1; i < 20; i++) {
		put_all(i);
		GIVES(pwrite(fd, page, 0x2000, 0x2000 * i), 0x2000);
	}
	for (unsigned int i = 1; i < 20; i++) {
		GIVES(pread(fd, page, 0x2000, 0x2000 * i), 0x2000);
		GIVES(next_value(), i);
		GIVES(next_value(), 0);
	}
	close(fd);
	kt_vm_close(&vm);
}

static void *run(void *arg)
{
	OK(kt_run(&vm));
	return NULL;
}

/* While the vCPU runs. */
static void by_thread(int executor)
{
	volatile uint32_t *flag;
	pthread_t thread;

	kt_vm_open(&vm, 0);
	kt_executor(&vm, executor);
	kt_set_cpuid(&vm);
	KT_LONG(&vm, waiter);
	flag = (volatile uint32_t *)(vm.mem + FLAG);
	put_all(0);
	for (unsigned int i = 1; i < 30; i++) {
		pthread_create(&thread, NULL, run, NULL);
		usleep(i % 3 ? 200 : 5000);
		put_code(vm.mem + CODE + FAR, i);
		__atomic_store_n(flag, i, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
		GIVES(out_value(), i);
	}
	kt_vm_close(&vm);
}

static void by_interrupt(int executor)
{
	static const uint8_t handler[] = {
		0xe8, 0,    0,	  0,	0, /* call CODE */
		0xe6, 0x99, 0x48, 0xcf,	   /* out %al, $0x99; iretq */
	};
	uint8_t text[sizeof(handler)];
	int32_t rel = CODE - (KT_HANDLER + 16 * 0x24 + 5);
	struct kvm_irq_level line = { .irq = 4 };
	pthread_t thread;

	kt_vm_open(&vm, KT_IRQCHIP);
	kt_executor(&vm, executor);
	kt_pic(&vm);
	KT_LONG(&vm, sleeper);
	memcpy(text, handler, sizeof(text));
	memcpy(text + 1, &rel, 4);
	kt_handler(&vm, 0x24, text, sizeof(text));
	put_all(7);
	pthread_create(&thread, NULL, run, NULL);
	usleep(20000);
	put_code(vm.mem + CODE + FAR, 8);
	line.level = 1;
	OK(kt_ioctl(vm.vm, KVM_IRQ_LINE, &line));
	pthread_join(thread, NULL);
	GIVES(out_value(), 8);
	kt_vm_close(&vm);
}

void test_dma(void)
{
	for (KT_EXECUTORS(e)) {
		by_stores(e);
		by_kernel(e);
		by_thread(e);
		by_interrupt(e);
	}
}

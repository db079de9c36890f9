#include <sys/mman.h>

#include "test/api/kt.h"

static uint8_t *pio(struct kt_vm *t)
{
	return (uint8_t *)t->run + t->run->io.data_offset;
}

static void answer(struct kt_vm *t, uint32_t value)
{
	memcpy(pio(t), &value, t->run->io.size);
}

static uint64_t reg_ax(struct kt_vm *t)
{
	struct kvm_regs regs;

	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &regs));
	return regs.rax;
}

static uint64_t reg_ip(struct kt_vm *t)
{
	struct kvm_regs regs;

	OK(kt_ioctl(t->vcpu, KVM_GET_REGS, &regs));
	return regs.rip;
}

static void in_out(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	/* in al,0x10; in ax,0x20; in eax,0x30; out 0x40,eax; hlt */
	KT_CODE(&t, 0xe4, 0x10, 0xe5, 0x20, 0x66, 0xe5, 0x30, 0x66, 0xe7, 0x40,
		0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(t.run->io.direction, KVM_EXIT_IO_IN);
	GIVES(t.run->io.port, 0x10);
	GIVES(t.run->io.size, 1);
	GIVES(t.run->io.count, 1);
	GIVES(t.run->io.data_offset, 0x1000);
	GIVES(pio(&t)[0], 0);
	GIVES(reg_ip(&t), 0x1000);
	answer(&t, 0xab);
	OK(kt_run(&t));
	GIVES(reg_ax(&t) & 0xff, 0xab);
	GIVES(t.run->io.size, 2);
	answer(&t, 0x1234);
	OK(kt_run(&t));
	GIVES(t.run->io.size, 4);
	answer(&t, 0x89abcdef);
	OK(kt_run(&t));
	GIVES(t.run->io.direction, KVM_EXIT_IO_OUT);
	GIVES(t.run->io.port, 0x40);
	GIVES(*(uint32_t *)pio(&t), 0x89abcdef);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(reg_ax(&t), 0x89abcdef);
	kt_vm_close(&t);
}

/* With immediate_exit the instruction is finished and nothing else done. */
static void finish_only(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xe4, 0x10, 0x90, 0xe6, 0x11, 0xf4);
	OK(kt_run(&t));
	answer(&t, 0x77);
	t.run->immediate_exit = 1;
	FAILS(kt_run(&t), EINTR);
	GIVES(reg_ax(&t) & 0xff, 0x77);
	GIVES(reg_ip(&t), 0x1002);
	FAILS(kt_run(&t), EINTR);
	GIVES(reg_ip(&t), 0x1002);
	t.run->immediate_exit = 0;
	OK(kt_run(&t));
	GIVES(t.run->io.direction, KVM_EXIT_IO_OUT);
	t.run->immediate_exit = 1;
	FAILS(kt_run(&t), EINTR);
	GIVES(reg_ip(&t), 0x1005);
	t.run->immediate_exit = 0;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

/* rep insb is batched or not, as the implementation likes. */
static void strings(void)
{
	struct kvm_regs regs;
	unsigned int total = 0;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	/* mov dx,0x10; mov cx,100; mov di,0x3000; rep insb;
	 * mov cx,3; mov si,0x3000; rep outsw; hlt */
	KT_CODE(&t, 0xba, 0x10, 0x00, 0xb9, 0x64, 0x00, 0xbf, 0x00, 0x30, 0xf3,
		0x6c, 0xb9, 0x03, 0x00, 0xbe, 0x00, 0x30, 0xf3, 0x6f, 0xf4);
	OK(kt_run(&t));
	while (t.run->exit_reason == KVM_EXIT_IO &&
	       t.run->io.direction == KVM_EXIT_IO_IN && total < 100) {
		GIVES(t.run->io.size, 1);
		for (unsigned int i = 0; i < t.run->io.count; i++)
			pio(&t)[i] = total++;
		OK(kt_run(&t));
	}
	GIVES(total, 100);
	for (unsigned int i = 0; i < 100; i++)
		total -= t.mem[0x3000 + i] == i;
	GIVES(total, 0);
	while (t.run->exit_reason == KVM_EXIT_IO && total < 3) {
		GIVES(t.run->io.direction, KVM_EXIT_IO_OUT);
		GIVES(t.run->io.size, 2);
		for (unsigned int i = 0; i < t.run->io.count; i++, total++)
			GIVES(((uint16_t *)pio(&t))[i], total * 0x202 + 0x100);
		OK(kt_run(&t));
	}
	GIVES(total, 3);
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rcx, 0);
	GIVES(regs.rdi, 0x3064);
	GIVES(regs.rsi, 0x3006);
	kt_vm_close(&t);
}

/* User mode changes RCX between the exit and the re-entry. */
static void meddling(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xba, 0x10, 0x00, 0xb9, 0x64, 0x00, 0xbf, 0x00, 0x30, 0xf3,
		0x6c, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	for (int i = 0; i < 200 && t.run->exit_reason == KVM_EXIT_IO; i++) {
		OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
		regs.rcx = i < 3 ? 0xffff : 1;
		memset(pio(&t), 0xaa, 4096);
		OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs));
		OK(kt_run(&t));
	}
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(t.mem[0x3000], 0xaa);
	kt_vm_close(&t);
}

/* Between the exit and the re-entry the vCPU is moved elsewhere. */
static void moved(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xe4, 0x10, 0xf4);
	memcpy(t.mem + 0x2000, "\xe4\x20\xf4", 3);
	OK(kt_run(&t));
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	regs.rip = 0x2000;
	OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(t.run->io.port, 0x20);
	kt_vm_close(&t);
}

static void mmio(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	/* mov ax,0xffff; mov ds,ax; mov eax,[0x20]; mov [0x28],eax;
	 * add word [0x30],1; hlt */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0x66, 0xa1, 0x20, 0x00, 0x66,
		0xa3, 0x28, 0x00, 0x83, 0x06, 0x30, 0x00, 0x01, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	GIVES(t.run->mmio.phys_addr, 0x100010);
	GIVES(t.run->mmio.len, 4);
	GIVES(t.run->mmio.is_write, 0);
	GIVES(reg_ip(&t), 0x1005);
	*(uint32_t *)t.run->mmio.data = 0xcafe1234;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	GIVES(t.run->mmio.is_write, 1);
	GIVES(t.run->mmio.phys_addr, 0x100018);
	GIVES(*(uint32_t *)t.run->mmio.data, 0xcafe1234);
	GIVES(reg_ip(&t), 0x100d); /* a write is done when it exits */
	OK(kt_run(&t));
	GIVES(t.run->mmio.is_write, 0);
	GIVES(t.run->mmio.len, 2);
	*(uint16_t *)t.run->mmio.data = 41;
	OK(kt_run(&t));
	GIVES(t.run->mmio.is_write, 1);
	GIVES(t.run->mmio.phys_addr, 0x100020);
	GIVES(*(uint16_t *)t.run->mmio.data, 42);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

static void mmio_finish_only(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa0, 0x20, 0x00, 0x90, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	t.run->mmio.data[0] = 0x5a;
	t.run->immediate_exit = 1;
	FAILS(kt_run(&t), EINTR);
	GIVES(reg_ax(&t) & 0xff, 0x5a);
	GIVES(reg_ip(&t), 0x1008);
	t.run->immediate_exit = 0;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

/* Writes wait in the ring until something else exits. */
static void coalesced(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x100010, .size = 4 };
	struct kvm_coalesced_mmio_zone port = { .addr = 0x70,
						.size = 1,
						.pio = 1 };
	struct kvm_coalesced_mmio_ring *ring;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	ring = (void *)((uint8_t *)t.run + 0x2000);
	OK(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, &zone));
	OK(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, &port));
	/* ds=0xffff; mov byte [0x20],0x11; mov word [0x22],0x2222; out 0x70,al;
	 * mov byte [0x24],0x33; hlt */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xc6, 0x06, 0x20, 0x00, 0x11,
		0xc7, 0x06, 0x22, 0x00, 0x22, 0x22, 0xe6, 0x70, 0xc6, 0x06,
		0x24, 0x00, 0x33, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_MMIO);
	GIVES(t.run->mmio.phys_addr, 0x100014);
	GIVES(ring->last - ring->first, 3);
	GIVES(ring->coalesced_mmio[0].phys_addr, 0x100010);
	GIVES(ring->coalesced_mmio[0].len, 1);
	GIVES(ring->coalesced_mmio[0].data[0], 0x11);
	GIVES(ring->coalesced_mmio[1].len, 2);
	GIVES(ring->coalesced_mmio[2].pio, 1);
	GIVES(ring->coalesced_mmio[2].phys_addr, 0x70);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

/* A full ring makes writes exit. */
static void ring_full(void)
{
	struct kvm_coalesced_mmio_zone port = { .addr = 0x70,
						.size = 1,
						.pio = 1 };
	struct kvm_coalesced_mmio_ring *ring;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	ring = (void *)((uint8_t *)t.run + 0x2000);
	OK(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, &port));
	KT_CODE(&t, 0xe6, 0x70, 0xeb, 0xfc); /* out 0x70,al; jmp back */
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(ring->first, 0);
	GIVES(ring->last, 169);
	/* An index that makes no sense does no harm. */
	ring->last = 100000;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	kt_vm_close(&t);
}

void test_io(void)
{
	in_out();
	finish_only();
	strings();
	meddling();
	moved();
	mmio();
	mmio_finish_only();
	coalesced();
	ring_full();
}

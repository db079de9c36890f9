#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test/api/kt.h"

static int assign(struct kt_vm *t, uint64_t addr, uint32_t len, int fd,
		  uint32_t flags, uint64_t data)
{
	struct kvm_ioeventfd io = { .addr = addr,
				    .len = len,
				    .fd = fd,
				    .flags = flags,
				    .datamatch = data };

	return kt_ioctl(t->vm, KVM_IOEVENTFD, &io);
}

#define PIO	 KVM_IOEVENTFD_FLAG_PIO
#define MATCH	 KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static void io_arguments(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, 0), p[2];
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	(void)!pipe(p);
	FAILS(kt_ioctl(t.vm, KVM_IOEVENTFD, NULL), EFAULT);
	FAILS(assign(&t, 0x100, 3, fd, PIO, 0), EINVAL);
	FAILS(assign(&t, 0x100, 16, fd, PIO, 0), EINVAL);
	FAILS(assign(&t, ~0ull, 4, fd, 0, 0), EINVAL);
	FAILS(assign(&t, 0x100, 2, fd, 1u << 30, 0), EINVAL);
	FAILS(assign(&t, 0x100, 0, fd, PIO | MATCH, 0), EINVAL);
	FAILS(assign(&t, 0x100, 2, -1, PIO, 0), EBADF);
	FAILS(assign(&t, 0x100, 2, p[0], PIO, 0), EINVAL);
	OK(assign(&t, 0x100, 2, fd, PIO | MATCH, 1));
	OK(assign(&t, 0x100, 2, other, PIO | MATCH, 2));
	FAILS(assign(&t, 0x100, 2, other, PIO | MATCH, 1), EEXIST);
	FAILS(assign(&t, 0x100, 2, other, PIO, 0), EEXIST);
	FAILS(assign(&t, 0x100, 0, other, PIO, 0), EEXIST);
	OK(assign(&t, 0x100, 1, other, PIO, 0));
	OK(assign(&t, 0x100, 2, other, 0, 0)); /* another bus */
	FAILS(assign(&t, 0x100, 2, fd, PIO | MATCH | DEASSIGN, 3), ENOENT);
	FAILS(assign(&t, 0x100, 2, other, PIO | MATCH | DEASSIGN, 1), ENOENT);
	OK(assign(&t, 0x100, 2, fd, PIO | MATCH | DEASSIGN, 1));
	FAILS(assign(&t, 0x100, 2, fd, PIO | MATCH | DEASSIGN, 1), ENOENT);
	FAILS(assign(&t, 0x100, 2, -1, PIO | DEASSIGN, 0), EBADF);
	FAILS(assign(&t, 0x100, 2, p[0], PIO | DEASSIGN, 0), EINVAL);
	/* The number may differ, the eventfd counts. */
	int copy = dup(other);
	OK(assign(&t, 0x100, 2, copy, PIO | MATCH | DEASSIGN, 2));
	close(copy);
	kt_vm_close(&t);
	close(fd);
	close(other);
	close(p[0]);
	close(p[1]);
}

static uint64_t count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Writes that match exit no more; the others do. */
static void io_hits(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), any = eventfd(0, EFD_NONBLOCK);
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(assign(&t, 0x100, 2, fd, PIO | MATCH, 0x11));
	OK(assign(&t, 0x110, 0, any, PIO, 0));
	/* mov dx,0x100; mov ax,0x11; out dx,ax; mov ax,0x12; out dx,ax;
	 * mov dx,0x110; out dx,al; out dx,ax; hlt */
	KT_CODE(&t, 0xba, 0x00, 0x01, 0xb8, 0x11, 0x00, 0xef, 0xb8, 0x12, 0x00,
		0xef, 0xba, 0x10, 0x01, 0xee, 0xef, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(t.run->io.port, 0x100);
	GIVES(*(uint16_t *)((uint8_t *)t.run + t.run->io.data_offset), 0x12);
	GIVES(count(fd), 1);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(count(any), 2);
	kt_vm_close(&t);
	close(fd);
	close(any);
}

static void mmio_hits(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(assign(&t, KT_MEM_SIZE, 1, fd, 0, 0));
	/* mov ax,0xffff; mov ds,ax; mov [0x10],al; hlt */
	KT_CODE(&t, 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa2, 0x10, 0x00, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(count(fd), 1);
	kt_vm_close(&t);
	close(fd);
}

static int bind_irq(struct kt_vm *t, int fd, uint32_t gsi, uint32_t flags,
		    int resample)
{
	struct kvm_irqfd f = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample
	};

	return kt_ioctl(t->vm, KVM_IRQFD, &f);
}

static void irq_arguments(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, 0), p[2];
	struct kt_vm t;

	(void)!pipe(p);
	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(bind_irq(&t, fd, 4, 0, 0), EINVAL); /* no irqchip */
	FAILS(kt_ioctl(t.vm, KVM_IRQFD, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	FAILS(bind_irq(&t, fd, 4, 1u << 30, 0), EINVAL);
	FAILS(bind_irq(&t, -1, 4, 0, 0), EBADF);
	FAILS(bind_irq(&t, p[0], 4, 0, 0), EINVAL);
	OK(bind_irq(&t, fd, 4, 0, 0));
	FAILS(bind_irq(&t, fd, 4, 0, 0), EBUSY);
	FAILS(bind_irq(&t, fd, 5, 0, 0), EBUSY);
	OK(bind_irq(&t, other, 4, 0, 0)); /* two eventfds, one line */
	OK(bind_irq(&t, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	FAILS(bind_irq(&t, fd, 4, 0, 0), EBUSY);
	OK(bind_irq(&t, fd, 4, KVM_IRQFD_FLAG_DEASSIGN, 0));
	OK(bind_irq(&t, fd, 4, KVM_IRQFD_FLAG_DEASSIGN, 0));
	FAILS(bind_irq(&t, -1, 4, KVM_IRQFD_FLAG_DEASSIGN, 0), EBADF);
	FAILS(bind_irq(&t, fd, 10, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	FAILS(bind_irq(&t, fd, 10, KVM_IRQFD_FLAG_RESAMPLE, p[0]), EINVAL);
	OK(bind_irq(&t, fd, 10, KVM_IRQFD_FLAG_RESAMPLE, other));
	OK(bind_irq(&t, fd, 10, KVM_IRQFD_FLAG_DEASSIGN, 0));
	kt_vm_close(&t);
	close(fd);
	close(other);
	close(p[0]);
	close(p[1]);
}

/* pic_irr - the master PIC's request register. */
static uint8_t pic_irr(struct kt_vm *t)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	OK(kt_ioctl(t->vm, KVM_GET_IRQCHIP, &chip));
	return chip.chip.pic.irr;
}

/* A signal arrives at the controllers, one that was there before too. */
static void irq_delivery(void)
{
	int fd = eventfd(1, EFD_NONBLOCK);
	uint64_t one = 1;
	struct kt_vm t;
	int tries;

	kt_vm_open(&t, KT_NO_VCPU);
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	OK(bind_irq(&t, fd, 3, 0, 0));
	for (tries = 0; tries < 1000 && !(pic_irr(&t) & 8); tries++)
		usleep(1000);
	KT_CHECK(tries < 1000);
	OK(bind_irq(&t, fd, 3, KVM_IRQFD_FLAG_DEASSIGN, 0));
	OK(bind_irq(&t, fd, 4, 0, 0));
	GIVES(write(fd, &one, sizeof(one)), sizeof(one));
	for (tries = 0; tries < 1000 && !(pic_irr(&t) & 16); tries++)
		usleep(1000);
	KT_CHECK(tries < 1000);
	kt_vm_close(&t);
	close(fd);
}

void test_eventfd(void)
{
	io_arguments();
	io_hits();
	mmio_hits();
	irq_arguments();
	irq_delivery();
}

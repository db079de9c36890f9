#include "vmm/probe.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/boot/entry.h"
#include "vmm/log.h"
#include "vmm/loop.h"
#include "vmm/ram.h"

#define PROBE_LOOPS 4000
#define PROBE_INSNS (PROBE_LOOPS * 4)
#define PROBE_ADDR  0x10000
#define PROBE_DATA  0x20000
#define PROBE_PORT  0xf4

/* Slower than this is no use; hardware takes well below 1 ns. */
#define PROBE_LIMIT_PS 50000

/* clang-format off */
static const uint8_t probe_code[] = {
	0xb9, PROBE_LOOPS & 0xff, PROBE_LOOPS >> 8, 0, 0, /* mov ecx, LOOPS */
	0xff, 0x03,			/* 1: inc dword [rbx] */
	0x48, 0x8d, 0x40, 0x01,		/* lea rax, [rax + 1] */
	0xff, 0xc9,			/* dec ecx */
	0x75, 0xf6,			/* jnz 1b */
	0xe6, PROBE_PORT,		/* out PROBE_PORT, al */
	0xeb, 0xed,			/* jmp to the start */
};
/* clang-format on */

struct probe {
	struct kvmfd sys, vm, vcpu;
	struct ram ram;
	struct kvm_run *run;
	size_t run_size;
};

static int probe_set_regs(struct probe *p, const struct entry *entry)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int r = kvmfd_ioctl(&p->vcpu, KVM_GET_SREGS, &sregs);

	if (r < 0)
		return r;
	entry_set_regs(entry, &regs, &sregs);
	r = kvmfd_ioctl(&p->vcpu, KVM_SET_SREGS, &sregs);
	return r < 0 ? r : kvmfd_ioctl(&p->vcpu, KVM_SET_REGS, &regs);
}

static int probe_fill(struct probe *p, const struct entry *entry)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = RAM_VGA_START,
		.userspace_addr = (uintptr_t)p->ram.base,
	};

	if (ram_write(&p->ram, PROBE_ADDR, probe_code, sizeof(probe_code)) ||
	    entry_write_tables(entry, &p->ram))
		return -EFAULT;
	return kvmfd_ioctl(&p->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static int probe_build(struct probe *p, enum accel accel)
{
	struct entry entry = { .mode = ENTRY_LONG64,
			       .rip = PROBE_ADDR,
			       .rbx = PROBE_DATA };
	int r = kvmfd_open(&p->sys, accel);

	if (r < 0)
		return r;
	r = kvmfd_ioctl_val(&p->sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(*p->run))
		return r < 0 ? r : -EINVAL;
	p->run_size = r;
	r = kvmfd_create(&p->sys, KVM_CREATE_VM, 0, &p->vm);
	if (r >= 0)
		r = ram_init(&p->ram, RAM_MIN);
	if (r >= 0)
		r = probe_fill(p, &entry);
	if (r >= 0)
		r = kvmfd_create(&p->vm, KVM_CREATE_VCPU, 0, &p->vcpu);
	if (r < 0)
		return r;
	p->run = kvmfd_mmap(&p->vcpu, p->run_size);
	return p->run ? probe_set_regs(p, &entry) : -errno;
}

/* One round of the loop; its time, or -errno. */
static long probe_round_ns(struct probe *p)
{
	uint64_t start = loop_now_ns();
	int r;

	do {
		r = kvmfd_ioctl_val(&p->vcpu, KVM_RUN, 0);
	} while (r == -EINTR || r == -EAGAIN);
	if (r < 0)
		return r;
	if (p->run->exit_reason != KVM_EXIT_IO || p->run->io.port != PROBE_PORT)
		return -EIO;
	return loop_now_ns() - start;
}

static void probe_destroy(struct probe *p)
{
	if (p->run)
		munmap(p->run, p->run_size);
	kvmfd_close(&p->vcpu);
	kvmfd_close(&p->vm);
	kvmfd_close(&p->sys);
	ram_exit(&p->ram);
}

long probe_ps(enum accel accel)
{
	struct probe p = { 0 };
	long ns = probe_build(&p, accel);

	/* The first rounds fault the memory in and translate; the last counts.
	 */
	for (unsigned i = 0; i < 4 && ns >= 0; i++)
		ns = probe_round_ns(&p);
	probe_destroy(&p);
	return ns < 0 ? ns : ns * 1000 / PROBE_INSNS;
}

enum accel probe_accel(void)
{
	long ps = probe_ps(ACCEL_KVM);

	if (ps < 0) {
		log_info("/dev/kvm is not usable (%s): using ring3",
			 strerror(-ps));
		return ACCEL_RING3;
	}
	log_info("/dev/kvm takes %ld.%03ld ns a guest instruction: using %s",
		 ps / 1000, ps % 1000,
		 ps > PROBE_LIMIT_PS ? "ring3" : "/dev/kvm");
	return ps > PROBE_LIMIT_PS ? ACCEL_RING3 : ACCEL_KVM;
}

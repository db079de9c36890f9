#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/test.h"

/*
 * A client of /dev/kvm that knows nothing of ring3: a machine with one vCPU in
 * real mode and a page of code at 0.
 */
struct machine {
	int sys, vm, vcpu;
	unsigned char *mem;
	struct kvm_run *run;
};

#define MACHINE_MEM 0x10000
#define MACHINE_RUN 0x3000

static inline void machine_open(struct machine *m, const void *code, size_t len)
{
	struct kvm_userspace_memory_region slot = { .memory_size =
							    MACHINE_MEM };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;

	m->sys = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	m->vm = ioctl(m->sys, KVM_CREATE_VM, 0);
	m->mem = mmap(NULL, MACHINE_MEM, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(m->mem, code, len);
	slot.userspace_addr = (unsigned long)m->mem;
	CHECK_EQ(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	m->run = mmap(NULL, MACHINE_RUN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      m->vcpu, 0);
	CHECK(m->run != MAP_FAILED);
	CHECK_EQ(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	CHECK_EQ(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), 0);
	CHECK_EQ(ioctl(m->vcpu, KVM_SET_REGS, &regs), 0);
}

static inline void machine_close(struct machine *m)
{
	munmap(m->run, MACHINE_RUN);
	CHECK_EQ(close(m->vcpu), 0);
	CHECK_EQ(close(m->vm), 0);
	CHECK_EQ(close(m->sys), 0);
	munmap(m->mem, MACHINE_MEM);
}

/* machine_run - KVM_RUN: the exit's reason, or -errno. */
static inline int machine_run(struct machine *m)
{
	return ioctl(m->vcpu, KVM_RUN, 0) < 0 ? -errno
					      : (int)m->run->exit_reason;
}

#define MACHINE_OPEN(m, ...)                                                   \
	machine_open(m, (const unsigned char[]){ __VA_ARGS__ },                \
		     sizeof((const unsigned char[]){ __VA_ARGS__ }))

void test_signals(void);

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/api/kt.h"

/* Descriptors are real, and requests of one kind fail on another. */
static void wrong_kind(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.sys, KVM_GET_REGS, &regs), EINVAL);
	FAILS(kt_ioctl(t.sys, KVM_CREATE_VCPU, NULL), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_GET_REGS, &regs), ENOTTY);
	FAILS(kt_ioctl(t.vm, KVM_RUN, NULL), ENOTTY);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VM, NULL), ENOTTY);
	FAILS(kt_ioctl(t.vcpu, KVM_CREATE_VM, NULL), EINVAL);
	FAILS(kt_ioctl(t.vcpu, KVM_CREATE_VCPU, NULL), EINVAL);
	FAILS(kt_ioctl(t.vcpu, KVM_IRQ_LINE, &regs), EINVAL);
	FAILS(kt_ioctl(-1, KVM_GET_API_VERSION, NULL), EBADF);
	FAILS(kt_ioctl(12345, KVM_GET_API_VERSION, NULL), EBADF);
	kt_vm_close(&t);
	FAILS(kt_ioctl(t.vm, KVM_CHECK_EXTENSION, NULL), EBADF);
	FAILS(kt_close(t.vm), EBADF);
}

/* A sign-extended request number is the same request. */
static void sign_extended(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_ioctl(t.vcpu, (unsigned long)(int)KVM_GET_REGS, &regs));
	kt_vm_close(&t);
}

/* A VM lives until its last vCPU descriptor is closed. */
static void vm_outlives_fd(void)
{
	struct kvm_regs regs = { .rip = 0x1234, .rflags = 2 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	OK(kt_close(t.vm));
	OK(kt_ioctl(t.vcpu, KVM_SET_REGS, &regs));
	KT_CODE(&t, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_close(t.vcpu));
	kt_close(t.sys);
	munmap(t.mem, KT_MEM_SIZE);
}

/* A vCPU's id stays taken after its descriptor is gone. */
static void vcpu_stays(void)
{
	struct kt_vm t;
	int fd;

	kt_vm_open(&t, KT_NO_VCPU);
	fd = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1));
	KT_CHECK(fd >= 0);
	OK(kt_close(fd));
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1)), EEXIST);
	kt_vm_close(&t);
}

static void mappings(void)
{
	struct kvm_run *again;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	again = kt_mmap(t.vcpu, 0x3000);
	KT_CHECK(again != MAP_FAILED);
	t.run->immediate_exit = 77;
	GIVES(again->immediate_exit, 77);
	munmap(again, 0x3000);
	t.run->immediate_exit = 0;
	kt_vm_close(&t);
}

static int in_child(struct kt_vm *t)
{
	struct kvm_regs regs;
	struct kt_vm own;

	FAILS(kt_ioctl(t->vm, KVM_CHECK_EXTENSION, NULL), EIO);
	FAILS(kt_ioctl(t->vcpu, KVM_GET_REGS, &regs), EIO);
	FAILS(kt_run(t), EIO);
	GIVES(kt_ioctl(t->sys, KVM_GET_API_VERSION, NULL), 12);
	OK(kt_close(t->vm));
	kt_vm_open(&own, 0);
	KT_CODE(&own, 0xf4);
	OK(kt_run(&own));
	GIVES(own.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&own);
	return kt_failed != 0;
}

/* Another address space may not use the descriptors. */
static void forked(void)
{
	struct kt_vm t;
	int status = -1;
	pid_t pid;

	kt_vm_open(&t, 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		kt_failed = 0;
		_exit(in_child(&t));
	}
	waitpid(pid, &status, 0);
	GIVES(status, 0);
	KT_CODE(&t, 0xf4);
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

void test_fd(void)
{
	wrong_kind();
	sign_extended();
	vm_outlives_fd();
	vcpu_stays();
	mappings();
	forked();
}

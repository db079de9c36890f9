#include "test/api/kt.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/ring3.h"

bool kt_real;
int kt_passed, kt_failed;

int kt_open(int flags)
{
	return kt_real ? open("/dev/kvm", flags) : ring3_open(flags);
}

int kt_ioctl(int fd, unsigned long request, void *arg)
{
	return kt_real ? ioctl(fd, request, arg)
		       : ring3_ioctl(fd, request, arg);
}

void *kt_mmap_at(int fd, size_t len, int flags, off_t offset)
{
	int prot = PROT_READ | PROT_WRITE;

	return kt_real ? mmap(NULL, len, prot, flags, fd, offset)
		       : ring3_mmap(NULL, len, prot, flags, fd, offset);
}

void *kt_mmap(int fd, size_t len)
{
	return kt_mmap_at(fd, len, MAP_SHARED, 0);
}

int kt_close(int fd)
{
	return kt_real ? close(fd) : ring3_close(fd);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("cannot %s: %s\n", what, strerror(errno));
	exit(2);
}

void kt_vm_open(struct kt_vm *t, int flags)
{
	struct kvm_userspace_memory_region slot = { 0 };

	t->sys = kt_open(O_RDWR | O_CLOEXEC);
	must(t->sys >= 0, "open KVM");
	t->vm = kt_ioctl(t->sys, KVM_CREATE_VM, NULL);
	must(t->vm >= 0, "create a VM");
	kt_ioctl(t->vm, KVM_SET_TSS_ADDR, ARG(0xfffbd000));
	if (flags & KT_IRQCHIP)
		must(!kt_ioctl(t->vm, KVM_CREATE_IRQCHIP, NULL),
		     "create the irqchip");
	t->mem = mmap(NULL, KT_MEM_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.memory_size = KT_MEM_SIZE;
	slot.userspace_addr = (uint64_t)t->mem;
	must(!kt_ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &slot),
	     "set a memory slot");
	t->vcpu = -1;
	if (flags & KT_NO_VCPU)
		return;
	t->vcpu = kt_ioctl(t->vm, KVM_CREATE_VCPU, NULL);
	must(t->vcpu >= 0, "create a vCPU");
	t->run = kt_mmap(t->vcpu, 0x3000);
	must(t->run != MAP_FAILED, "map a vCPU");
}

void kt_vm_close(struct kt_vm *t)
{
	if (t->vcpu >= 0) {
		munmap(t->run, 0x3000);
		kt_close(t->vcpu);
	}
	kt_close(t->vm);
	kt_close(t->sys);
	munmap(t->mem, KT_MEM_SIZE);
}

void kt_load(struct kt_vm *t, const void *code, size_t len)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rsp = 0x8000 };

	memcpy(t->mem + 0x1000, code, len);
	must(!kt_ioctl(t->vcpu, KVM_GET_SREGS, &sregs), "get sregs");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	must(!kt_ioctl(t->vcpu, KVM_SET_SREGS, &sregs), "set sregs");
	must(!kt_ioctl(t->vcpu, KVM_SET_REGS, &regs), "set regs");
}

int kt_run(struct kt_vm *t)
{
	return kt_ioctl(t->vcpu, KVM_RUN, NULL);
}

void kt_set_cpuid(struct kt_vm *t)
{
	struct kvm_cpuid2 *list =
		calloc(1, sizeof(*list) + 256 * sizeof(list->entries[0]));

	list->nent = 256;
	must(!kt_ioctl(t->sys, KVM_GET_SUPPORTED_CPUID, list), "get CPUID");
	must(!kt_ioctl(t->vcpu, KVM_SET_CPUID2, list), "set CPUID");
	free(list);
}

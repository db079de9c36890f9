#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * A handle of the KVM API: the system, a VM, or a vCPU.  kvmfd.c is the one
 * place that knows whether the kernel's /dev/kvm or ring3's engine is behind
 * it.
 */
enum accel { ACCEL_AUTO, ACCEL_RING3, ACCEL_KVM };

struct kvmfd_ops;
struct kvmfd {
	const struct kvmfd_ops *ops;
	int fd;
};

/* kvmfd_open - the system handle; @accel is RING3 or KVM.  0 or -errno. */
int kvmfd_open(struct kvmfd *f, enum accel accel);

/* kvmfd_ioctl - the ioctl's result, or -errno. */
int kvmfd_ioctl(const struct kvmfd *f, unsigned long request, void *arg);
int kvmfd_ioctl_val(const struct kvmfd *f, unsigned long request,
		    unsigned long arg);

/* kvmfd_create - an ioctl of @parent that makes a new handle. */
int kvmfd_create(const struct kvmfd *parent, unsigned long request,
		 unsigned long arg, struct kvmfd *child);

/* kvmfd_mmap - maps @len bytes of a vCPU's run area; NULL on failure. */
void *kvmfd_mmap(const struct kvmfd *f, size_t len);

/* kvmfd_close - drops the handle; closing a zeroed one does nothing. */
void kvmfd_close(struct kvmfd *f);

/*
 * kvmfd_set_careful - make a vCPU execute in careful form; -EINVAL where there
 * is but one executor, as on /dev/kvm.
 */
int kvmfd_set_careful(const struct kvmfd *vcpu);

/*
 * kvmfd_set_forced_emulation - offer a vCPU KVM's forced emulation prefix;
 * -EINVAL on /dev/kvm, where a parameter of the module decides.
 */
int kvmfd_set_forced_emulation(const struct kvmfd *vcpu);

/*
 * kvmfd_set_vmware_backdoor - open VMware's ports to the guest's user mode;
 * -EINVAL on /dev/kvm, where a parameter of the module decides.
 */
int kvmfd_set_vmware_backdoor(const struct kvmfd *vcpu);

/*
 * kvmfd_signal - for a signal handler: make the KVM_RUN that the signal
 * interrupted return with EINTR, whatever is behind it.
 */
void kvmfd_signal(void);

/*
 * kvmfd_sample - for a profiler's signal handler: what ring3's engine does on
 * this thread at @ucontext; false if it is not in the engine.
 */
struct profile_sample;
bool kvmfd_sample(const void *ucontext, struct profile_sample *s);

/*
 * kvmfd_direct - whether the host lets ring3 run guest user code natively: 0,
 * or -errno and the system call that was refused, as ring3_direct() tells them.
 */
int kvmfd_direct(int *call);

/* kvmfd_name - "ring3" or "kvm". */
const char *kvmfd_name(const struct kvmfd *f);

#pragma once

/*
 * ring3 - a KVM in user space: open, ioctl, mmap and close of a soft
 * /dev/kvm.  Requests, structures and errno values are those of
 * <linux/kvm.h> and Linux's Documentation/virt/kvm/api.rst.
 *
 * All functions are thread safe.  On failure they return -1 (MAP_FAILED) and
 * set errno, as the system calls do.
 */
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RING3_API __attribute__((visibility("default")))

/* ring3_open - a system file descriptor, as open("/dev/kvm", flags). */
RING3_API int ring3_open(int flags);

/*
 * ring3_ioctl - an ioctl on a system, VM, vCPU or device descriptor.
 * ENOTTY or EINVAL for unknown requests as Linux answers; EBADF if @fd is
 * not one of ours.
 */
RING3_API int ring3_ioctl(int fd, unsigned long request, void *arg);

/* ring3_mmap - maps a vCPU's kvm_run area (offset 0, up to the mmap size). */
RING3_API void *ring3_mmap(void *addr, size_t len, int prot, int flags, int fd,
			   off_t offset);

/* ring3_close - drops the descriptor; a VM lives until its last one goes. */
RING3_API int ring3_close(int fd);

/*
 * RING3_CAP_CAREFUL - a capability for KVM_ENABLE_CAP on a vCPU that only the
 * soft KVM has: with args[0] = 1 the vCPU executes every instruction in careful
 * form, the second executor, instead of translating blocks of code.
 */
#define RING3_CAP_CAREFUL 0x52330000

/*
 * RING3_CAP_FORCED_EMULATION - likewise: with args[0] = 1 the bytes 0f 0b 6b 76
 * 6d (UD2 and "kvm") in front of an instruction are a prefix that has it
 * executed in careful form, as with Linux's kvm.force_emulation_prefix=1.
 */
#define RING3_CAP_FORCED_EMULATION 0x52330001

/*
 * RING3_CAP_VMWARE_BACKDOOR - likewise: with args[0] = 1 the ports 0x5658 and
 * 0x5659 exit to user mode even where IOPL and the I/O bitmap deny them, as
 * with Linux's kvm.enable_vmware_backdoor=1.
 */
#define RING3_CAP_VMWARE_BACKDOOR 0x52330002

/* ring3_is_fd - whether @fd belongs to the soft KVM.  Async-signal-safe. */
RING3_API int ring3_is_fd(int fd);

/*
 * ring3_alias - @fd, which dup() or one like it has made of @of, leads to the
 * same object from now on.  With @of < 0 the object is looked for: for
 * descriptors that came by SCM_RIGHTS.  EBADF if it is none of ours.
 */
RING3_API int ring3_alias(int of, int fd);

/*
 * ring3_forget - @fd was, or is about to be, closed by other means than
 * ring3_close(): dup2() over it, close_range().
 */
RING3_API void ring3_forget(int fd);

/*
 * Guest memory.  Private anonymous memory of a slot, of 256 KiB and more, turns
 * into a shared mapping of a memfd, in place and with its contents, so that
 * other processes of ring3 can map it.  It is not inherited by fork() then.
 * (RING3_DIRECT=off in the environment prevents it.)  What differs for a client
 * that goes on to manage it, these make up for:
 *
 * ring3_unmap - [@addr, @addr + @len) is about to be unmapped, mapped anew,
 * moved, or made inaccessible while a slot leads there.
 *
 * ring3_discard - to be called after MADV_DONTNEED, which such memory keeps its
 * contents through: makes it zeros.  (MADV_FREE it refuses.)  Returns how many
 * bytes of the range are such memory; the others are left alone.
 */
RING3_API void ring3_unmap(void *addr, size_t len);
RING3_API ssize_t ring3_discard(void *addr, size_t len);

/*
 * ring3_signal - to be called by a signal handler: makes the KVM_RUN that the
 * signal interrupted return with EINTR, as a signal does for the real
 * /dev/kvm.  Async-signal-safe.  Returns 1 if the thread is in ring3_ioctl(): a
 * handler that may block, leave by longjmp() or end the thread must then be put
 * off until that has returned.
 *
 * A client that stops its vCPUs by signals needs it on the soft KVM: guest code
 * is ordinary code of the process, so a signal alone does not end KVM_RUN.
 * (It does end the sleep of a halted vCPU.)  Setting kvm_run.immediate_exit in
 * the handler is not enough either, because guest code does not look at it.
 */
RING3_API int ring3_signal(void);

/*
 * ring3_sample - for a profiler's signal handler: what the thread, interrupted
 * at @ucontext (the handler's third argument), was doing.  Returns 1, or 0 if
 * it is not in KVM_RUN.  Async-signal-safe.
 */
enum ring3_where {
	RING3_IN_GUEST, /* translated guest code */
	RING3_IN_ENTRY, /* ... in what comes first when a block is entered */
	RING3_IN_COLD,	/* ... out of line: what is rarely needed */
	RING3_IN_STUB,	/* on the way between it and C code */
	RING3_IN_C,	/* code of the engine */
};

struct ring3_sample {
	int where;		/* enum ring3_where */
	int user;		/* the guest is at CPL 3 */
	unsigned long long rip; /* guest instruction; 0: not known */
	/* RING3_IN_C: for what, as the binary statistics name exits; a constant
	 * string.  "block_miss" is translation, "tlb_miss" the page walk. */
	const char *what;
};

RING3_API int ring3_sample(const void *ucontext, struct ring3_sample *s);

/*
 * ring3_direct - whether this host lets guest user code run natively, in
 * processes of its own; without, it is translated like all other.  0, or -1:
 * errno is why, and *@call (NULL is fine) the system call (SYS_*) that was
 * refused.  0 there: with EACCES, the calling thread is under a seccomp filter
 * of this process's own; with ENOSYS, such a process did not do what it should;
 * with EOPNOTSUPP, the library is built without.
 */
RING3_API int ring3_direct(int *call);

#ifdef __cplusplus
}
#endif

#pragma once

#include "base/types.h"

/*
 * Descriptors of the soft KVM.  Each is a real descriptor of the process (a
 * memfd), so that numbers never collide, poll and close-on-exec work, and a
 * vCPU's can be mapped with plain mmap.  A process-wide table leads from the
 * number to the object.
 *
 * A file is counted: the table holds one reference, each ioctl under way
 * another; the object goes with the last one.
 */
enum file_type {
	FILE_SYSTEM,
	FILE_VM,
	FILE_VCPU,
	FILE_DEVICE,
	FILE_STATS,
	NR_FILE_TYPES,
};

struct file {
	enum file_type type;
	int refs;
	uint32_t mm;	   /* address space it was opened in, see fd_same_mm */
	uint64_t dev, ino; /* of the memfd, which duplicates share */
	void *object;	   /* owned; released by release() */
	void (*release)(void *object);
};

/*
 * fd_install - makes @fd lead to a new file for @object and takes over both;
 * on failure (-ENOMEM) the caller keeps them.
 */
int fd_install(int fd, enum file_type type, void *object,
	       void (*release)(void *object)) __must_check;

/* fd_memfd - a memory file of @size bytes, or -errno. */
int fd_memfd(const char *name, size_t size);

/* fd_get - the file behind @fd with a reference, or NULL; fd_put drops it. */
struct file *fd_get(int fd);
void fd_put(struct file *f);

/* fd_known - whether @fd is in the table; takes no lock. */
bool fd_known(int fd);

/*
 * fd_remove - takes @fd out of the table; false if it is not one of ours, or
 * if this is a vfork() child, whose descriptors are its own but whose memory,
 * and so the table, is its parent's.
 */
bool fd_remove(int fd);

/* fd_alias - makes @fd lead to the same file as @of, like dup.  0 or -errno. */
int fd_alias(int of, int fd) __must_check;

/*
 * fd_adopt - the same for a duplicate made behind our back (SCM_RIGHTS, raw
 * system calls): finds out whose.  -EBADF if it is none of ours.
 */
int fd_adopt(int fd) __must_check;

/* fd_same_mm - false in a child that fork() gave its own address space. */
bool fd_same_mm(const struct file *f);

/* fd_dup - another descriptor of the same file, close-on-exec, or -errno. */
int fd_dup(int fd);

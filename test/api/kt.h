#pragma once

/*
 * Tests of the KVM API.  The same program runs on the soft KVM and on the
 * host's /dev/kvm, where there is one: what it expects is Linux's behaviour,
 * and running it there keeps the expectations honest.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* True on the host's /dev/kvm. */
extern bool kt_real;
extern int kt_passed, kt_failed;

int kt_open(int flags);
int kt_ioctl(int fd, unsigned long request, void *arg);
void *kt_mmap(int fd, size_t len);
void *kt_mmap_at(int fd, size_t len, int flags, off_t offset);
int kt_close(int fd);

/* Value argument instead of a pointer. */
#define ARG(n) ((void *)(unsigned long)(n))

/* A pointer at which nothing is mapped. */
#define BAD_PTR ((void *)0x10)

#define KT_CHECK(cond)                                                         \
	do {                                                                   \
		if (cond) {                                                    \
			kt_passed++;                                           \
		} else {                                                       \
			kt_failed++;                                           \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #cond);      \
		}                                                              \
	} while (0)

/* The call returns @value. */
#define GIVES(call, value)                                                     \
	do {                                                                   \
		long long r_ = (call), want_ = (value);                        \
		int err_ = errno;                                              \
		if (r_ == want_) {                                             \
			kt_passed++;                                           \
		} else {                                                       \
			kt_failed++;                                           \
			printf("%s:%d: %s is %lld (%s), expected %lld\n",      \
			       __FILE__, __LINE__, #call, r_,                  \
			       r_ < 0 ? strerror(err_) : "-", want_);          \
		}                                                              \
	} while (0)

#define OK(call) GIVES(call, 0)

/* The call fails with errno @err. */
#define FAILS(call, err)                                                       \
	do {                                                                   \
		errno = 0;                                                     \
		long long r_ = (call);                                         \
		int err_ = errno;                                              \
		if (r_ == -1 && err_ == (err)) {                               \
			kt_passed++;                                           \
		} else {                                                       \
			kt_failed++;                                           \
			printf("%s:%d: %s is %lld (%s), expected -1 (%s)\n",   \
			       __FILE__, __LINE__, #call, r_,                  \
			       r_ < 0 ? strerror(err_) : "-", strerror(err));  \
		}                                                              \
	} while (0)

/* A VM with some memory at 0 and, unless asked otherwise, one vCPU. */
#define KT_MEM_SIZE 0x100000
struct kt_vm {
	int sys, vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

enum { KT_IRQCHIP = 1, KT_NO_VCPU = 2 };

void kt_vm_open(struct kt_vm *t, int flags);
void kt_vm_close(struct kt_vm *t);

/* Loads real-mode code at 0x1000 and points CS:IP at it. */
void kt_load(struct kt_vm *t, const void *code, size_t len);
#define KT_CODE(t, ...)                                                        \
	do {                                                                   \
		static const uint8_t code_[] = { __VA_ARGS__ };                \
		kt_load(t, code_, sizeof(code_));                              \
	} while (0)

int kt_run(struct kt_vm *t);

/* Gives the vCPU all CPUID features that are supported. */
void kt_set_cpuid(struct kt_vm *t);

/* The test functions, one an area. */
void test_fd(void);
void test_system(void);
void test_vm(void);
void test_memory(void);
void test_vcpu(void);
void test_regs(void);
void test_cpuid(void);
void test_msr(void);
void test_irq(void);
void test_eventfd(void);
void test_run(void);
void test_io(void);
void test_signal(void);
void test_dirty(void);
void test_dirty_ring(void);
void test_pv(void);
void test_stats(void);
void test_smp(void);
void test_churn(void);
void test_latency(void);
void test_exact(void);
void test_wake(void);
void test_dma(void);
void test_sample(void);
void test_hv(void);
void test_direct(void);

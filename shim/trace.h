#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a client asks of KVM: a line a request in the file of RING3_LOG, and
 * counts in the file of RING3_STATS.  Without these variables nothing happens.
 */
struct trace {
	int fd;
	unsigned int request;
	void *arg;
	uint64_t start_ns;
	char answer[32];
};

bool trace_on(void);

void trace_open(int fd);
void trace_close(int fd);

/* trace_mmap - the client has mapped a vCPU's kvm_run at @p. */
void trace_mmap(int fd, void *p, off_t offset);

/* trace_begin, trace_end - around a request; errno is kept. */
void trace_begin(struct trace *t, int fd, unsigned long request, void *arg);
void trace_end(const struct trace *t, int result);

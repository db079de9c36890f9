#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What a client asks of KVM: a line a request in the file of RING3_LOG, and
 * counts in the file of RING3_STATS.  Without these variables nothing happens.
 */
struct trace {
	int fd;
	unsigned int request;
	void *arg;
	uint64_t start_ns;
};

bool trace_on(void);

void trace_open(int fd);
void trace_close(int fd);

/* trace_begin, trace_end - around a request; errno is kept. */
void trace_begin(struct trace *t, int fd, unsigned long request, void *arg);
void trace_end(const struct trace *t, int result);

#pragma once

#include <poll.h>
#include <pthread.h>

#include "base/types.h"

/*
 * The main thread's event loop: file descriptors and timers of the devices.
 * Callbacks run in the main thread with no lock of the loop held.
 */
typedef void loop_fn(void *arg);

struct loop_timer {
	loop_fn *fn;
	void *arg;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0 when off */
	struct loop_timer *next;
};

#define LOOP_FDS_MAX 4

struct loop {
	pthread_mutex_t lock; /* guards timers and stop */
	struct loop_timer *timers;
	bool stop;
	int wake_fd;
	unsigned nr_fds;
	struct pollfd fds[LOOP_FDS_MAX]; /* main thread only */
	int fd[LOOP_FDS_MAX];
	loop_fn *fd_fn[LOOP_FDS_MAX];
	void *fd_arg[LOOP_FDS_MAX];
};

/* loop_now_ns - CLOCK_MONOTONIC. */
uint64_t loop_now_ns(void);

int loop_init(struct loop *loop);
void loop_exit(struct loop *loop);

/*
 * loop_add_fd - call @fn when @fd is readable.  loop_watch_fd - stop that, or
 * take it up again.  Main thread only.
 */
int loop_add_fd(struct loop *loop, int fd, loop_fn *fn, void *arg);
void loop_watch_fd(struct loop *loop, int fd, bool on);

/* loop_add_timer - make a timer known, switched off; before loop_run. */
void loop_add_timer(struct loop *loop, struct loop_timer *timer, loop_fn *fn,
		    void *arg);

/* loop_set_timer - arm for @deadline_ns, or switch off with 0; any thread. */
void loop_set_timer(struct loop *loop, struct loop_timer *timer,
		    uint64_t deadline_ns);

/* loop_run - serve until loop_stop(), which any thread may call. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

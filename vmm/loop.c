#include "vmm/loop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));

	(void)n; /* a full counter wakes as well */
}

static void loop_woken(void *arg)
{
	struct loop *loop = arg;
	uint64_t count;
	ssize_t n = read(loop->wake_fd, &count, sizeof(count));

	(void)n;
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .lock = PTHREAD_MUTEX_INITIALIZER };
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	return loop_add_fd(loop, loop->wake_fd, loop_woken, loop);
}

void loop_exit(struct loop *loop)
{
	close(loop->wake_fd);
}

int loop_add_fd(struct loop *loop, int fd, loop_fn *fn, void *arg)
{
	unsigned i = loop->nr_fds;

	if (i == LOOP_FDS_MAX)
		return -ENOSPC;
	loop->fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	loop->fd[i] = fd;
	loop->fd_fn[i] = fn;
	loop->fd_arg[i] = arg;
	loop->nr_fds++;
	return 0;
}

void loop_watch_fd(struct loop *loop, int fd, bool on)
{
	for (unsigned i = 0; i < loop->nr_fds; i++)
		if (loop->fd[i] == fd)
			loop->fds[i].fd = on ? fd : -1; /* -1: poll skips it */
}

void loop_add_timer(struct loop *loop, struct loop_timer *timer, loop_fn *fn,
		    void *arg)
{
	pthread_mutex_lock(&loop->lock);
	*timer = (struct loop_timer){ fn, arg, 0, loop->timers };
	loop->timers = timer;
	pthread_mutex_unlock(&loop->lock);
}

void loop_set_timer(struct loop *loop, struct loop_timer *timer,
		    uint64_t deadline_ns)
{
	bool earlier;

	pthread_mutex_lock(&loop->lock);
	earlier = deadline_ns &&
		  (!timer->deadline_ns || deadline_ns < timer->deadline_ns);
	timer->deadline_ns = deadline_ns;
	pthread_mutex_unlock(&loop->lock);
	if (earlier)
		loop_wake(loop);
}

/* Takes one timer that is due; NULL and the time to the next one if none is. */
static struct loop_timer *loop_due(struct loop *loop, int64_t *wait_ns)
{
	uint64_t now = loop_now_ns(), next = 0;
	struct loop_timer *t;

	pthread_mutex_lock(&loop->lock);
	for (t = loop->timers; t; t = t->next) {
		if (!t->deadline_ns)
			continue;
		if (t->deadline_ns <= now) {
			t->deadline_ns = 0;
			break;
		}
		if (!next || t->deadline_ns < next)
			next = t->deadline_ns;
	}
	pthread_mutex_unlock(&loop->lock);
	*wait_ns = next ? (int64_t)(next - now) : -1;
	return t;
}

static bool loop_stopped(struct loop *loop)
{
	bool stop;

	pthread_mutex_lock(&loop->lock);
	stop = loop->stop;
	pthread_mutex_unlock(&loop->lock);
	return stop;
}

void loop_run(struct loop *loop)
{
	while (!loop_stopped(loop)) {
		struct loop_timer *t;
		struct timespec ts;
		int64_t wait_ns;
		int n;

		while ((t = loop_due(loop, &wait_ns)))
			t->fn(t->arg);
		ts.tv_sec = wait_ns / 1000000000;
		ts.tv_nsec = wait_ns % 1000000000;
		n = ppoll(loop->fds, loop->nr_fds, wait_ns < 0 ? NULL : &ts,
			  NULL);
		for (unsigned i = 0; n > 0 && i < loop->nr_fds; i++)
			if (loop->fds[i].fd >= 0 && loop->fds[i].revents)
				loop->fd_fn[i](loop->fd_arg[i]);
	}
}

void loop_stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	pthread_mutex_unlock(&loop->lock);
	loop_wake(loop);
}

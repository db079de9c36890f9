#include "host/timer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "host/time.h"

/*
 * Invariants
 * 1. heap[1..nr] is a binary heap by deadline; heap[i]->pos == i.
 * 2. capacity >= number of initialised timers, so that starting cannot fail.
 * 3. armed_ns is when fd wakes the thread, 0 while it is awake: it arms fd
 *    itself before it sleeps.  Who starts an earlier timer arms it anew.  That
 *    wakes nobody: on a busy host a thread that is woken would often take the
 *    processor of the vCPU that has just set its timer.
 * All fields are protected by lock.
 */
struct timers {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* running went back to NULL */
	pthread_t thread;
	int fd; /* timerfd */
	bool stop;
	uint64_t armed_ns;
	struct timer *running;
	struct timer **heap;
	uint32_t nr, capacity, users;
};

/* Centuries away; more would not fit into the kernel's 64 bits. */
#define NEVER_NS (INT64_MAX / 2)

/* 0 would disarm it. */
static void arm_fd(struct timers *s, uint64_t deadline_ns)
{
	uint64_t ns = deadline_ns > NEVER_NS ? NEVER_NS : deadline_ns;
	struct itimerspec t = {
		.it_value.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(ns % NSEC_PER_SEC) | !ns,
	};

	s->armed_ns = deadline_ns;
	timerfd_settime(s->fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Until fd's time has come. */
static void sleep_on(int fd)
{
	uint64_t expirations;

	while (read(fd, &expirations, sizeof(expirations)) < 0 &&
	       errno == EINTR)
		;
}

static void heap_put(struct timers *s, uint32_t pos, struct timer *t)
{
	s->heap[pos] = t;
	t->pos = pos;
}

static void heap_sift_up(struct timers *s, struct timer *t, uint32_t pos)
{
	while (pos > 1 && s->heap[pos / 2]->deadline_ns > t->deadline_ns) {
		heap_put(s, pos, s->heap[pos / 2]);
		pos /= 2;
	}
	heap_put(s, pos, t);
}

static void heap_sift_down(struct timers *s, struct timer *t, uint32_t pos)
{
	uint32_t child;

	while ((child = pos * 2) <= s->nr) {
		if (child < s->nr && s->heap[child + 1]->deadline_ns <
					     s->heap[child]->deadline_ns)
			child++;
		if (s->heap[child]->deadline_ns >= t->deadline_ns)
			break;
		heap_put(s, pos, s->heap[child]);
		pos = child;
	}
	heap_put(s, pos, t);
}

static void heap_remove(struct timers *s, struct timer *t)
{
	struct timer *last = s->heap[s->nr--];
	uint32_t pos = t->pos;

	t->pos = 0;
	if (last == t)
		return;
	if (pos > 1 && s->heap[pos / 2]->deadline_ns > last->deadline_ns)
		heap_sift_up(s, last, pos);
	else
		heap_sift_down(s, last, pos);
}

/* Fires everything that is due; @s->lock is held. */
static void run_due(struct timers *s)
{
	while (s->nr && !s->stop) {
		struct timer *t = s->heap[1];

		if (t->deadline_ns > time_now_ns())
			return;
		heap_remove(s, t);
		s->running = t;
		pthread_mutex_unlock(&s->lock);
		t->fn(t);
		pthread_mutex_lock(&s->lock);
		s->running = NULL;
		pthread_cond_broadcast(&s->idle);
	}
}

static void *service(void *arg)
{
	struct timers *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		run_due(s);
		if (s->stop)
			break;
		arm_fd(s, s->nr ? s->heap[1]->deadline_ns : UINT64_MAX);
		pthread_mutex_unlock(&s->lock);
		sleep_on(s->fd);
		pthread_mutex_lock(&s->lock);
		s->armed_ns = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start_thread(struct timers *s)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&s->thread, NULL, service, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int timers_create(struct timers **out)
{
	struct timers *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (s->fd < 0) {
		err = -errno;
		free(s);
		return err;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	err = start_thread(s);
	if (err) {
		close(s->fd);
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

void timers_destroy(struct timers *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	arm_fd(s, 0);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	close(s->fd);
	free(s->heap);
	free(s);
}

static int reserve(struct timers *s)
{
	uint32_t capacity = s->capacity ? s->capacity * 2 : 16;
	struct timer **heap;

	if (s->users < s->capacity)
		return 0;
	heap = realloc(s->heap, (capacity + 1) * sizeof(struct timer *));
	if (!heap)
		return -ENOMEM;
	s->heap = heap;
	s->capacity = capacity;
	return 0;
}

int timer_init(struct timer *t, struct timers *s, void (*fn)(struct timer *t))
{
	int err;

	*t = (struct timer){ .fn = fn, .service = s };
	pthread_mutex_lock(&s->lock);
	err = reserve(s);
	if (!err)
		s->users++;
	pthread_mutex_unlock(&s->lock);
	return err;
}

void timer_start(struct timer *t, uint64_t deadline_ns)
{
	struct timers *s = t->service;

	pthread_mutex_lock(&s->lock);
	if (t->pos)
		heap_remove(s, t);
	t->deadline_ns = deadline_ns;
	heap_sift_up(s, t, ++s->nr);
	if (s->armed_ns > deadline_ns)
		arm_fd(s, deadline_ns);
	pthread_mutex_unlock(&s->lock);
}

void timer_stop(struct timer *t)
{
	struct timers *s = t->service;

	pthread_mutex_lock(&s->lock);
	if (t->pos)
		heap_remove(s, t);
	pthread_mutex_unlock(&s->lock);
}

void timer_finish(struct timer *t)
{
	struct timers *s = t->service;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (t->pos)
			heap_remove(s, t);
		if (s->running != t)
			break;
		pthread_cond_wait(&s->idle, &s->lock);
	}
	s->users--;
	pthread_mutex_unlock(&s->lock);
}

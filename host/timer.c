#include "host/timer.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/time.h"

/*
 * Invariants
 * 1. heap[1..nr] is a binary heap by deadline; heap[i]->pos == i.
 * 2. capacity >= number of initialised timers, so that starting cannot fail.
 * 3. sleep_until_ns is what the thread sleeps for, 0 while it is awake; who
 *    starts an earlier timer bumps wake and wakes it.
 * All fields but wake are protected by lock.
 */
struct timers {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* running went back to NULL */
	pthread_t thread;
	uint32_t wake; /* futex */
	bool stop;
	uint64_t sleep_until_ns;
	struct timer *running;
	struct timer **heap;
	uint32_t nr, capacity, users;
};

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Until @deadline_ns (CLOCK_MONOTONIC), or *@word != @seen, or a wake-up. */
static void futex_wait_until(uint32_t *word, uint32_t seen,
			     uint64_t deadline_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(deadline_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NSEC_PER_SEC),
	};

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen,
		deadline_ns == UINT64_MAX ? NULL : &t, NULL,
		FUTEX_BITSET_MATCH_ANY);
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

	prctl(PR_SET_TIMERSLACK, 1);
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		uint32_t seen = __atomic_load_n(&s->wake, __ATOMIC_RELAXED);
		uint64_t until;

		run_due(s);
		until = s->nr ? s->heap[1]->deadline_ns : UINT64_MAX;
		s->sleep_until_ns = until;
		if (s->stop)
			break;
		pthread_mutex_unlock(&s->lock);
		futex_wait_until(&s->wake, seen, until);
		pthread_mutex_lock(&s->lock);
		s->sleep_until_ns = 0;
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
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	err = start_thread(s);
	if (err) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

/* Makes the thread look again; @s->lock is held. */
static void wake_service(struct timers *s)
{
	__atomic_add_fetch(&s->wake, 1, __ATOMIC_RELAXED);
	futex_wake(&s->wake);
}

void timers_destroy(struct timers *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	wake_service(s);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
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
	if (s->sleep_until_ns > deadline_ns) {
		/* One wake-up is enough until the thread sleeps again. */
		s->sleep_until_ns = 0;
		wake_service(s);
	}
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

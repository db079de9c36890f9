#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/types.h"

/*
 * A futex mutex for code that runs while guest vector state is live: the C
 * library's may use vector registers.  State: 0 free, 1 held, 2 held with
 * waiters.
 */
struct lock {
	uint32_t state;
};

static inline void futex_wait(const volatile uint32_t *p, uint32_t value)
{
	syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static inline void futex_wake(const volatile uint32_t *p, int n)
{
	syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void lock_take(struct lock *l)
{
	uint32_t v = 0;

	if (likely(__atomic_compare_exchange_n(&l->state, &v, 1, false,
					       __ATOMIC_ACQUIRE,
					       __ATOMIC_RELAXED)))
		return;
	while (__atomic_exchange_n(&l->state, 2, __ATOMIC_ACQUIRE))
		futex_wait(&l->state, 2);
}

static inline void lock_drop(struct lock *l)
{
	if (__atomic_exchange_n(&l->state, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(&l->state, 1);
}

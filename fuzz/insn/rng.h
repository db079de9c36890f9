#pragma once

#include "base/types.h"

/* Random numbers, the same for a seed everywhere (splitmix64). */
struct rng {
	uint64_t x;
};

static inline uint64_t rng64(struct rng *g)
{
	uint64_t z = g->x += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* rng_below - 0 to @n - 1. */
static inline uint32_t rng_below(struct rng *g, uint32_t n)
{
	return (rng64(g) >> 32) * n >> 32;
}

/* one_in - true once in @n times. */
static inline bool one_in(struct rng *g, uint32_t n)
{
	return !rng_below(g, n);
}

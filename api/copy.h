#pragma once

#include "base/types.h"

/*
 * Copies between the engine and its client's memory.  Both share an address
 * space, but a client's pointer may lead nowhere: like the kernel, these
 * answer -EFAULT instead of faulting.  Return 0 or -EFAULT.
 */
int copy_from_user(void *dst, const void *user, size_t n) __must_check;
int copy_to_user(void *user, const void *src, size_t n) __must_check;

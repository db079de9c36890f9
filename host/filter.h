#pragma once

#include "base/types.h"

/*
 * filter_is_own - whether the client has put a seccomp filter of its own on the
 * calling thread, or whoever started it has: a system call that it does not
 * expect from the client may end the client.  Filters that the parent process
 * lives under as well do not count: those of containers, which answer with an
 * error.
 */
bool filter_is_own(void);

#pragma once

#include <stddef.h>

/*
 * Messages to the user: one line each on stderr, "ring3: " in front.  A
 * message about bad input names the value and says what to do.
 */

/* log_error - prints a message; returns @err, for `return log_error(...)`. */
int log_error(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* log_info - prints a message if log_verbose(true) was called. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_verbose(int on);

/*
 * log_capture - keep the latest message in @buf instead of printing it; NULL
 * prints again.  For tests.
 */
void log_capture(char *buf, size_t size);

#include "vmm/log.h"

#include <stdarg.h>
#include <stdio.h>

static char *capture_buf;
static size_t capture_size;
static int verbose;

void log_capture(char *buf, size_t size)
{
	capture_buf = buf;
	capture_size = size;
}

void log_verbose(int on)
{
	verbose = on;
}

__attribute__((format(printf, 1, 0))) static void log_line(const char *fmt,
							   va_list ap)
{
	char line[1024];

	if (capture_buf) {
		vsnprintf(capture_buf, capture_size, fmt, ap);
		return;
	}
	vsnprintf(line, sizeof(line), fmt, ap);
	fprintf(stderr, "ring3: %s\n", line);
}

int log_error(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
	return err;
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}

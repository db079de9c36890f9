#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "dbt/dbt_int.h"

/*
 * With RING3_PERF_MAP in the environment, /tmp/perf-PID.map tells perf which
 * guest code each block was made of.  Blocks are written when they go away all
 * at once, so neither translation nor execution costs anything.  perf looks
 * into such a file for anonymous memory only (see cache.c).
 */
#define MAX_LINE 80

bool perfmap_wanted(void)
{
	return getenv("RING3_PERF_MAP") != NULL;
}

static char *put(char *p, const char *text)
{
	while (*text)
		*p++ = *text++;
	return p;
}

static char *put_hex(char *p, uint64_t val)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[(val >> shift) & 15];
	return p;
}

/* "START SIZE name" */
static char *put_range(char *p, const void *start, uint64_t size)
{
	p = put_hex(p, (uintptr_t)start);
	*p++ = ' ';
	p = put_hex(p, size);
	*p++ = ' ';
	return p;
}

static char *put_block(char *p, const struct block *b)
{
	p = put_range(p, b->ientry, b->end - b->ientry);
	p = put(p, b->mode & MODE_USER ? "guest_user_" : "guest_kernel_");
	/* One that serves several addresses goes by its physical one. */
	p = put(p, b->mode & MODE_PIC ? "gpa_" : "");
	p = put_hex(p, b->mode & MODE_PIC ? b->gpa + (b->rip & ~PAGE_MASK)
					  : b->rip);
	*p++ = '\n';
	return p;
}

static int open_map(void)
{
	char path[32], digits[12], *p = put(path, "/tmp/perf-");
	unsigned int pid = getpid(), n = 0;

	do {
		digits[n++] = '0' + pid % 10;
		pid /= 10;
	} while (pid);
	while (n)
		*p++ = digits[--n];
	p = put(p, ".map");
	*p = 0;
	return open(path,
		    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
		    0600);
}

void perfmap_write(struct dbt *d)
{
	char buf[4096], *p = buf;
	int fd;

	if (!d->perf_map || !d->nr_blocks)
		return;
	fd = open_map();
	if (fd < 0)
		return;
	p = put_range(p, d->code_x, d->code_start - d->code_w);
	p = put(p, "ring3_stubs\n");
	for (uint32_t i = 0; i < d->nr_blocks; i++) {
		if (p > buf + sizeof(buf) - MAX_LINE) {
			(void)!write(fd, buf, p - buf);
			p = buf;
		}
		p = put_block(p, d->by_addr[i]);
	}
	(void)!write(fd, buf, p - buf);
	close(fd);
}

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbt/dbt_int.h"

/*
 * Memory of the code cache and of what describes it.  Code memory is a memfd
 * mapped twice, writable and executable; where the host forbids that, one
 * anonymous map is both.  Both kinds of memory are handed out by moving a
 * pointer and given back all at once by cache_reset.
 */
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

static int code_memfd(void)
{
	int fd = memfd_create("ring3-code", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("ring3-code", MFD_CLOEXEC);
	return fd;
}

static int map_twice(struct dbt *d)
{
	void *w, *x;

	d->code_fd = code_memfd();
	if (d->code_fd < 0 || ftruncate(d->code_fd, CODE_SIZE))
		return -1;
	w = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 d->code_fd, 0);
	if (w == MAP_FAILED)
		return -1;
	x = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, d->code_fd,
		 0);
	if (x == MAP_FAILED) {
		munmap(w, CODE_SIZE);
		return -1;
	}
	d->code_w = w;
	d->code_x = x;
	return 0;
}

static int map_once(struct dbt *d)
{
	void *p = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	d->code_w = d->code_x = p;
	return 0;
}

static void *map_meta(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

int cache_init(struct dbt *d)
{
	struct emit e;

	d->code_fd = -1;
	d->perf_map = perfmap_wanted();
	if ((d->perf_map || map_twice(d)) && map_once(d))
		return -ENOMEM;
	d->meta = map_meta(META_SIZE);
	d->by_addr = map_meta(MAX_BLOCKS * sizeof(*d->by_addr));
	d->hash = map_meta(sizeof(*d->hash) << HASH_BITS);
	if (!d->meta || !d->by_addr || !d->hash)
		return -ENOMEM;
	d->meta_next = d->meta;
	e = (struct emit){ .w = d->code_w,
			   .end = d->code_w + PAGE_SIZE * 4,
			   .xdiff = d->code_x - d->code_w };
	thunks_emit(d, &e);
	d->code_start = d->code_w + PAGE_SIZE * 4;
	d->code_w_next = d->code_start;
	return 0;
}

void cache_free(struct dbt *d)
{
	if (d->code_w)
		munmap(d->code_w, CODE_SIZE);
	if (d->code_x && d->code_x != d->code_w)
		munmap(d->code_x, CODE_SIZE);
	if (d->meta)
		munmap(d->meta, META_SIZE);
	if (d->by_addr)
		munmap(d->by_addr, MAX_BLOCKS * sizeof(*d->by_addr));
	if (d->hash)
		munmap(d->hash, sizeof(*d->hash) << HASH_BITS);
	if (d->code_fd >= 0)
		close(d->code_fd);
}

void *meta_alloc(struct dbt *d, size_t size)
{
	uint8_t *p = d->meta_next;

	size = (size + 15) & ~15ul;
	if (p + size > d->meta + META_SIZE)
		return NULL;
	d->meta_next = p + size;
	return p;
}

static void forget_code(struct cpu *c)
{
	tlb_forget_code(c->mmu.tlb);
	epoch_forget(vcpu_dbt(c));
}

void cache_reset(struct dbt *d)
{
	/* Clients set many slots before they run anything. */
	if (!d->nr_blocks && d->meta_next == d->meta)
		return;
	perfmap_write(d);
	d->code_w_next = d->code_start;
	d->meta_next = d->meta;
	d->nr_blocks = 0;
	set_nr_self(d, 0);
	d->generation++;
	__builtin_memset(d->hash, 0, sizeof(*d->hash) << HASH_BITS);
	__builtin_memset(d->pages, 0, sizeof(d->pages));
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i])
			forget_code(d->cpu[i]);
}

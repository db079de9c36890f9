#include "host/populated.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/maps.h"

/* /proc/self/pagemap, "Examining Process Page Tables" in Linux's admin-guide */
#define PAGEMAP_PRESENT BIT(63)
#define PAGEMAP_SWAPPED BIT(62)
#define PAGEMAP_CHUNK	512

/* What heaps of threads begin with in the C library, at multiples of this. */
#define ARENA_ALIGN BIT(26)

struct heap_info {
	void *arena, *previous;
	size_t size, accessible;
};

enum {
	FLAG_LOCKED = BIT(0),
	FLAG_WATCHED = BIT(1),
	FLAG_WATCHED_WRITE = BIT(2),
	FLAG_WIPE = BIT(3),
	FLAG_NO_DUMP = BIT(4),
	FLAG_HUGE = BIT(5),
	FLAG_NO_HUGE = BIT(6),
};

#define FLAGS_REFUSED                                                          \
	(FLAG_LOCKED | FLAG_WATCHED | FLAG_WATCHED_WRITE | FLAG_WIPE)

static const char *const flag_names[] = {
	" lo", " um", " uw", " wf", " dd", " hg", " nh",
};

bool populated_is_heap(const struct maps_area *area, uintptr_t addr)
{
	uintptr_t base = addr & ~(ARENA_ALIGN - 1);
	const struct heap_info *h = (const struct heap_info *)base;

	if (base < area->start || base == addr)
		return false;
	/* If it is none, this touches a page of the same memory. */
	return h->arena && h->size && h->size <= h->accessible &&
	       h->accessible <= ARENA_ALIGN &&
	       !((h->size | h->accessible) & ~PAGE_MASK) &&
	       addr - base < h->accessible;
}

static bool all_zero(const uint64_t *p)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*p) && !any; i++)
		any = p[i];
	return !any;
}

static int write_all(int fd, const uint8_t *p, size_t len, uint64_t offset)
{
	while (len) {
		long n = syscall(SYS_pwrite64, fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= n;
		offset += n;
	}
	return 0;
}

/* copy_chunk - the pages of @entry[@nr] that are there, at @hva. */
static int copy_chunk(int fd, const uint64_t *entry, unsigned int nr,
		      const uint8_t *hva, uint64_t offset)
{
	unsigned int start, i = 0;
	int err = 0;

	while (i < nr && !err) {
		for (start = i; i < nr; i++) {
			const void *page = hva + i * PAGE_SIZE;

			if (!(entry[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) ||
			    all_zero(page))
				break;
		}
		if (i > start)
			err = write_all(fd, hva + start * PAGE_SIZE,
					(i - start) * PAGE_SIZE,
					offset + start * PAGE_SIZE);
		i++;
	}
	return err;
}

static int copy(int fd, const uint8_t *hva, size_t size)
{
	size_t pages = size >> PAGE_SHIFT, n, done;
	uint64_t entry[PAGEMAP_CHUNK];
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (pagemap < 0)
		return -EOPNOTSUPP;
	for (done = 0; done < pages && !err; done += n) {
		uint64_t first = ((uintptr_t)hva >> PAGE_SHIFT) + done;
		long got;

		n = pages - done < PAGEMAP_CHUNK ? pages - done : PAGEMAP_CHUNK;
		got = syscall(SYS_pread64, pagemap, entry, n * sizeof(entry[0]),
			      first * sizeof(entry[0]));
		if (got != (long)(n * sizeof(entry[0])))
			err = -EOPNOTSUPP;
		else
			err = copy_chunk(fd, entry, n, hva + done * PAGE_SIZE,
					 done * PAGE_SIZE);
	}
	close(pagemap);
	return err;
}

/* advise - none of it is needed for the memory to be right. */
static void advise(void *hva, size_t size, unsigned int flags)
{
	madvise(hva, size, MADV_DONTFORK);
	if (flags & FLAG_NO_DUMP)
		madvise(hva, size, MADV_DONTDUMP);
	if (flags & FLAG_HUGE)
		madvise(hva, size, MADV_HUGEPAGE);
	if (flags & FLAG_NO_HUGE)
		madvise(hva, size, MADV_NOHUGEPAGE);
}

/*
 * restore - the mapping has failed, and the range may be empty now; the
 * contents are in the file.
 */
static void restore(int fd, void *hva, size_t size, int prot)
{
	mmap(hva, size, prot, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
}

int populated_advice(uintptr_t start, uintptr_t end, unsigned int *advice)
{
	if (maps_vmflags(start, end, flag_names, ARRAY_SIZE(flag_names),
			 advice) ||
	    (*advice & FLAGS_REFUSED))
		return -EOPNOTSUPP;
	return 0;
}

int populated_replace(int fd, void *hva, size_t size, int prot,
		      unsigned int advice)
{
	int err = copy(fd, hva, size);

	if (err)
		return err;
	prot |= PROT_READ | PROT_WRITE;
	if (mmap(hva, size, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
		 0) == MAP_FAILED) {
		err = -errno;
		restore(fd, hva, size, prot);
		return err;
	}
	advise(hva, size, advice);
	return 0;
}

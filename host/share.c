#include "host/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/maps.h"
#include "host/populated.h"

/* Out of the way of clients that know their descriptors' numbers. */
#define FD_FIRST 512

/* Files are larger than what is mapped, so that mremap() can grow it. */
#define FILE_SIZE BIT(46)

struct range {
	uintptr_t start, end;
	uint64_t offset; /* in the file, of start */
	dev_t dev;
	ino_t ino;
	int fd;
	bool ours; /* was private memory */
};

#define MAX_RANGES 256

struct table {
	unsigned int nr;
	struct range range[MAX_RANGES]; /* sorted, not overlapping */
};

/*
 * Readers take table[seq & 1] and look whether seq is still the same then;
 * writers, under the lock, change the other one.  So a reader waits for nobody,
 * not even in a signal handler on top of a writer.  fork() wipes it all: a
 * child finds the lock free and the registry empty.
 */
struct registry {
	pthread_mutex_t lock;
	uint64_t seq;
	struct table table[2];
};

static struct registry *registry;
static pthread_once_t registry_once = PTHREAD_ONCE_INIT;

static void registry_init(void)
{
	void *p = mmap(NULL, sizeof(*registry), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, sizeof(*registry), MADV_WIPEONFORK);
	__atomic_store_n(&registry, p, __ATOMIC_RELEASE);
}

static struct registry *registry_get(void)
{
	return __atomic_load_n(&registry, __ATOMIC_ACQUIRE);
}

/* current - the table that readers see; for writers. */
static const struct table *current(void)
{
	return &registry->table[registry->seq & 1];
}

/* edit_begin - the other table, with the same contents. */
static struct table *edit_begin(void)
{
	const struct table *from = current();
	struct table *to = &registry->table[!(registry->seq & 1)];

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	to->nr = from->nr;
	memcpy(to->range, from->range, from->nr * sizeof(from->range[0]));
	return to;
}

static void edit_end(void)
{
	__atomic_store_n(&registry->seq, registry->seq + 1, __ATOMIC_RELEASE);
}

/* first_after - index of the first range that ends above @addr. */
static unsigned int first_after(const struct table *t, uintptr_t addr)
{
	unsigned int lo = 0, hi = t->nr;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (t->range[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* lookup - the first range that ends above @addr; any thread. */
static bool lookup(uintptr_t addr, struct range *out)
{
	struct registry *reg = registry_get();
	uint64_t seq;
	bool found;

	if (!reg)
		return false;
	do {
		const struct table *t;
		unsigned int i;

		seq = __atomic_load_n(&reg->seq, __ATOMIC_ACQUIRE);
		t = &reg->table[seq & 1];
		i = first_after(t, addr);
		found = i < t->nr && i < MAX_RANGES;
		if (found)
			*out = t->range[i];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__atomic_load_n(&reg->seq, __ATOMIC_RELAXED) != seq);
	return found;
}

bool share_find(const void *hva, struct share *out)
{
	uintptr_t addr = (uintptr_t)hva;
	struct range r;

	if (!lookup(addr, &r) || r.start > addr)
		return false;
	out->fd = r.fd;
	out->offset = r.offset + (addr - r.start);
	out->len = r.end - addr;
	return true;
}

uint64_t share_generation(void)
{
	struct registry *reg = registry_get();

	return reg ? __atomic_load_n(&reg->seq, __ATOMIC_ACQUIRE) : 0;
}

static bool fd_used(const struct table *t, int fd)
{
	for (unsigned int i = 0; i < t->nr; i++)
		if (t->range[i].fd == fd)
			return true;
	return false;
}

/* is_file - whether @r's descriptor has not been closed behind our back. */
static bool is_file(const struct range *r)
{
	struct stat st;

	return !fstat(r->fd, &st) && st.st_dev == r->dev && st.st_ino == r->ino;
}

/* cut - @r without [@start, @end): 0 to 2 ranges, in @out. */
static unsigned int cut_range(const struct range *r, uintptr_t start,
			      uintptr_t end, struct range *out)
{
	unsigned int n = 0;

	if (r->start < start) {
		out[n] = *r;
		if (r->end > start)
			out[n].end = start;
		n++;
	}
	if (r->end > end) {
		out[n] = *r;
		if (r->start < end) {
			out[n].start = end;
			out[n].offset += end - r->start;
		}
		n++;
	}
	return n;
}

/* cut - takes [@start, @end) out of the registry; files nobody needs close. */
static void cut(uintptr_t start, uintptr_t end)
{
	const struct table *was = current();
	unsigned int i = first_after(was, start);
	struct table *t;

	if (i == was->nr || was->range[i].start >= end)
		return;
	t = edit_begin();
	t->nr = 0;
	for (i = 0; i < was->nr; i++) {
		const struct range *r = &was->range[i];
		struct range part[2];
		unsigned int n = 1;

		part[0] = *r;
		if (r->start < end && r->end > start)
			n = cut_range(r, start, end, part);
		for (unsigned int k = 0; k < n && t->nr < MAX_RANGES; k++)
			t->range[t->nr++] = part[k];
	}
	edit_end();
	for (i = 0; i < was->nr; i++) {
		int fd = was->range[i].fd;

		if (!fd_used(t, fd) && is_file(&was->range[i]))
			close(fd);
	}
}

/* add - there is nothing else at @r's addresses. */
static int add(const struct range *r)
{
	const struct table *was = current();
	unsigned int i = first_after(was, r->start);
	struct table *t;

	if (was->nr == MAX_RANGES)
		return -ENOSPC;
	t = edit_begin();
	for (unsigned int k = t->nr++; k > i; k--)
		t->range[k] = t->range[k - 1];
	t->range[i] = *r;
	edit_end();
	return 0;
}

/* shows - whether @a, at @addr, is a mapping of @r's file as @r has it. */
static bool shows(const struct maps_area *a, const struct range *r,
		  uintptr_t addr)
{
	return a->start <= addr && (a->flags & MAPS_SHARED) &&
	       makedev(a->major, a->minor) == r->dev && a->ino == r->ino &&
	       a->offset + (addr - a->start) == r->offset + (addr - r->start);
}

/* recheck - cuts what of [@start, @end) is not mapped any more. */
static void recheck(struct maps *m, uintptr_t start, uintptr_t end)
{
	struct range r;

	while (lookup(start, &r) && r.start < end) {
		uintptr_t addr = start > r.start ? start : r.start;
		uintptr_t last = end < r.end ? end : r.end;
		struct maps_area a = { 0 };
		uintptr_t to = last;

		if (maps_find(m, addr, &a)) {
			cut(addr, last);
		} else if (shows(&a, &r, addr)) {
			to = a.end < last ? a.end : last;
		} else {
			/* Up to the next area, or this one's end. */
			to = a.start > addr ? a.start : a.end;
			to = to < last ? to : last;
			cut(addr, to);
		}
		start = to;
	}
}

/* What becomes of a piece of the memory asked for. */
enum kind {
	KNOWN,	 /* in the registry */
	PRIVATE, /* to be converted */
	SHARED,	 /* a file's */
	OTHER,
};

static enum kind kind_of(const struct maps_area *a, uintptr_t addr)
{
	struct share known;

	if (a->start > addr)
		return OTHER;
	if (share_find((void *)addr, &known))
		return KNOWN;
	if ((a->flags & (MAPS_READ | MAPS_WRITE)) != (MAPS_READ | MAPS_WRITE))
		return OTHER;
	if (a->flags & MAPS_SHARED)
		return a->ino ? SHARED : OTHER;
	if (a->ino || (a->name[0] && strncmp(a->name, "[anon:", 6)))
		return OTHER;
	return populated_is_heap(a, addr) ? OTHER : PRIVATE;
}

/* piece - the part of [@addr, @end) that begins at @addr and is of one kind. */
static enum kind piece(struct maps *m, uintptr_t addr, uintptr_t end,
		       struct maps_area *a, uintptr_t *piece_end)
{
	enum kind kind = maps_find(m, addr, a) ? OTHER : kind_of(a, addr);
	struct range r;

	*piece_end = a->end < end ? a->end : end;
	if (kind != OTHER && lookup(addr, &r)) {
		uintptr_t limit = kind == KNOWN ? r.end : r.start;

		if (limit < *piece_end)
			*piece_end = limit;
	}
	return kind;
}

static int file_create(size_t size)
{
	struct rlimit limit;
	uint64_t length = FILE_SIZE;
	int fd, high;

	/* Beyond the limit SIGXFSZ would come. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < length)
		length = limit.rlim_cur & PAGE_MASK;
	if (length < size)
		return -EFBIG;
	fd = memfd_create("ring3-ram", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
	if (high >= 0) {
		close(fd);
		fd = high;
	}
	if (!ftruncate(fd, length))
		return fd;
	high = -errno;
	close(fd);
	return high;
}

/* describe - which file @r->fd is. */
static int describe(struct range *r)
{
	struct stat st;

	if (fstat(r->fd, &st))
		return -errno;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	return 0;
}

/* convert - private memory of one protection. */
static int convert(uintptr_t start, uintptr_t end, unsigned int flags,
		   unsigned int advice)
{
	struct range r = { .start = start, .end = end, .ours = true };
	int err;

	if (current()->nr == MAX_RANGES)
		return -ENOSPC;
	r.fd = file_create(end - start);
	if (r.fd < 0)
		return r.fd;
	err = describe(&r);
	if (!err)
		err = populated_replace(r.fd, (void *)start, end - start,
					flags & MAPS_EXEC ? PROT_EXEC : 0,
					advice);
	if (!err)
		return add(&r);
	close(r.fd);
	return err;
}

/* usable - whether another process may map @fd as the client did. */
static bool usable(int fd, const struct maps_area *a)
{
	struct statfs fs;
	struct stat st;
	int seals;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_ino != a->ino ||
	    st.st_dev != makedev(a->major, a->minor))
		return false;
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR || fstatfs(fd, &fs) ||
	    fs.f_type != TMPFS_MAGIC)
		return false;
	seals = fcntl(fd, F_GET_SEALS);
	return seals < 0 || !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

/* find_file - a descriptor of this process for @a's file, duplicated. */
static int find_file(const struct maps_area *a)
{
	int fd, found = -EOPNOTSUPP;
	struct dirent *e;
	DIR *dir = opendir("/proc/self/fd");

	if (!dir)
		return -errno;
	while (found < 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		fd = strtol(e->d_name, NULL, 10);
		if (!usable(fd, a))
			continue;
		found = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
		if (found < 0)
			found = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (found < 0)
			found = -errno;
		break;
	}
	closedir(dir);
	return found;
}

/* same_file - a range of @a's file that is in the registry already. */
static const struct range *same_file(const struct maps_area *a)
{
	const struct table *t = current();

	for (unsigned int i = 0; i < t->nr; i++)
		if (t->range[i].ino == a->ino &&
		    t->range[i].dev == makedev(a->major, a->minor))
			return &t->range[i];
	return NULL;
}

/* enter - a client's own shared mapping. */
static int enter(uintptr_t start, uintptr_t end, const struct maps_area *a)
{
	struct range r = {
		.start = start,
		.end = end,
		.offset = a->offset + (start - a->start),
		.dev = makedev(a->major, a->minor),
		.ino = a->ino,
	};
	const struct range *known = same_file(a);
	int err;

	if (known) {
		r.fd = known->fd;
		r.ours = known->ours;
		return add(&r);
	}
	r.fd = find_file(a);
	if (r.fd < 0)
		return r.fd;
	err = add(&r);
	if (err)
		close(r.fd);
	return err;
}

/* check - whether all of it can be shared; and what it was advised. */
static int check(struct maps *m, uintptr_t start, uintptr_t end,
		 unsigned int *advice)
{
	bool private = false;
	uintptr_t addr, next;
	struct maps_area a;

	for (addr = start; addr < end; addr = next) {
		enum kind kind = piece(m, addr, end, &a, &next);

		if (kind == OTHER)
			return -EOPNOTSUPP;
		private |= kind == PRIVATE;
	}
	return private ? populated_advice(start, end, advice) : 0;
}

static int convert_all(struct maps *m, uintptr_t start, uintptr_t end)
{
	uintptr_t addr, next;
	struct maps_area a;
	unsigned int advice = 0;
	int err = check(m, start, end, &advice);

	for (addr = start; addr < end && !err; addr = next) {
		switch (piece(m, addr, end, &a, &next)) {
		case PRIVATE:
			err = convert(addr, next, a.flags, advice);
			break;
		case SHARED:
			err = enter(addr, next, &a);
			break;
		default:
			break;
		}
	}
	return err;
}

static struct registry *registry_lock(void)
{
	pthread_once(&registry_once, registry_init);
	if (registry)
		pthread_mutex_lock(&registry->lock);
	return registry;
}

int share_convert(void *hva, size_t size)
{
	uintptr_t start = (uintptr_t)hva;
	struct maps m;
	int err;

	/* Nobody writes there but we ourselves. */
	if ((uintptr_t)__builtin_frame_address(0) - start < size)
		return -EOPNOTSUPP;
	if (!registry_lock())
		return -ENOMEM;
	err = maps_open(&m);
	if (!err) {
		recheck(&m, 0, UINTPTR_MAX);
		err = convert_all(&m, start, start + size);
		maps_close(&m);
	}
	pthread_mutex_unlock(&registry->lock);
	return err;
}

static bool any(uintptr_t start, uintptr_t end)
{
	struct range r;

	return lookup(start, &r) && r.start < end;
}

static uintptr_t end_of(const void *hva, size_t size)
{
	uintptr_t end;

	return __builtin_add_overflow((uintptr_t)hva, size, &end) ? UINTPTR_MAX
								  : end;
}

void share_forget(void *hva, size_t size)
{
	uintptr_t start = (uintptr_t)hva, end = end_of(hva, size);
	struct maps m;

	if (!any(start, end))
		return;
	pthread_mutex_lock(&registry->lock);
	if (!maps_open(&m)) {
		recheck(&m, start, end);
		maps_close(&m);
	} else {
		cut(start, end);
	}
	pthread_mutex_unlock(&registry->lock);
}

void share_drop(void *hva, size_t size)
{
	uintptr_t start = (uintptr_t)hva, end = end_of(hva, size);

	if (!any(start, end))
		return;
	pthread_mutex_lock(&registry->lock);
	cut(start, end);
	pthread_mutex_unlock(&registry->lock);
}

unsigned int share_fds(int *fds, unsigned int max)
{
	const struct table *t;
	unsigned int n = 0;

	if (!registry_get())
		return 0;
	pthread_mutex_lock(&registry->lock);
	t = current();
	for (unsigned int i = 0; i < t->nr && n < max; i++) {
		unsigned int k = 0;

		while (k < n && fds[k] != t->range[i].fd)
			k++;
		if (k == n && is_file(&t->range[i]))
			fds[n++] = t->range[i].fd;
	}
	pthread_mutex_unlock(&registry->lock);
	return n;
}

ssize_t share_discard(void *hva, size_t size)
{
	uintptr_t addr = (uintptr_t)hva, end = end_of(hva, size);
	ssize_t bytes = 0;
	struct range r;

	end = (end + PAGE_SIZE - 1) & PAGE_MASK;
	for (; addr < end && lookup(addr, &r) && r.start < end; addr = r.end) {
		uintptr_t from = addr > r.start ? addr : r.start;
		uintptr_t to = end < r.end ? end : r.end;

		if (!r.ours)
			continue;
		if (syscall(SYS_fallocate, r.fd,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    r.offset + (from - r.start), to - from))
			return -errno;
		bytes += to - from;
	}
	return bytes;
}

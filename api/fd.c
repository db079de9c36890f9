#include "api/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SHIFT 9
#define CHUNK_FDS   (1 << CHUNK_SHIFT)
#define NR_CHUNKS   2048 /* a million descriptors, the kernel's usual limit */

/*
 * The lock and the address space's number live in memory that fork() wipes: a
 * child finds the lock free and itself without a number, which tells its
 * descriptors from its parent's.
 */
struct mm_state {
	pthread_mutex_t lock;
	uint32_t number;
	pid_t pid; /* whose the number is */
};

static struct file **chunks[NR_CHUNKS];
static struct mm_state *mm;
static pthread_once_t mm_once = PTHREAD_ONCE_INIT;

static void mm_init(void)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, PAGE_SIZE, MADV_WIPEONFORK);
	mm = p;
}

static bool mm_lock(void)
{
	pthread_once(&mm_once, mm_init);
	if (!mm)
		return false;
	pthread_mutex_lock(&mm->lock);
	return true;
}

/* mm_number - this address space's number; under the lock. */
static uint32_t mm_number(void)
{
	static uint32_t last;

	if (!mm->number)
		mm->number = ++last;
	mm->pid = getpid();
	return mm->number;
}

/* borrowed - this is a vfork() child, in its parent's memory; under the lock */
static bool borrowed(void)
{
	return mm->number && mm->pid != getpid();
}

bool fd_same_mm(const struct file *f)
{
	return f->mm == __atomic_load_n(&mm->number, __ATOMIC_RELAXED);
}

static struct file **slot_of(int fd)
{
	unsigned int n = (unsigned int)fd >> CHUNK_SHIFT;

	struct file **chunk;

	if (fd < 0 || n >= NR_CHUNKS)
		return NULL;
	chunk = __atomic_load_n(&chunks[n], __ATOMIC_ACQUIRE);
	return chunk ? &chunk[fd % CHUNK_FDS] : NULL;
}

bool fd_known(int fd)
{
	struct file **slot = slot_of(fd);

	return slot && __atomic_load_n(slot, __ATOMIC_RELAXED);
}

static void file_unref(struct file *f)
{
	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* A child's copy of the parent's objects is not its to tear down. */
	if (f->release && fd_same_mm(f))
		f->release(f->object);
	free(f);
}

int fd_memfd(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK);
	return fd;
}

/* put_in - makes @fd lead to @f; under the lock.  The caller unrefs @stale. */
static int put_in(int fd, struct file *f, struct file **stale)
{
	unsigned int n = (unsigned int)fd >> CHUNK_SHIFT;
	struct file **chunk, **slot;

	if (n >= NR_CHUNKS)
		return -ENOMEM;
	if (!chunks[n]) {
		chunk = calloc(CHUNK_FDS, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		__atomic_store_n(&chunks[n], chunk, __ATOMIC_RELEASE);
	}
	slot = slot_of(fd);
	/* A client that used plain close() left its entry behind. */
	*stale = *slot;
	__atomic_store_n(slot, f, __ATOMIC_RELAXED);
	return 0;
}

int fd_install(int fd, enum file_type type, void *object,
	       void (*release)(void *object))
{
	struct file *f = calloc(1, sizeof(*f)), *stale = NULL;
	struct stat st;
	int r = -ENOMEM;

	if (!f)
		return -ENOMEM;
	*f = (struct file){
		.type = type, .refs = 1, .object = object, .release = release
	};
	if (!fstat(fd, &st)) {
		f->dev = st.st_dev;
		f->ino = st.st_ino;
	}
	if (mm_lock()) {
		f->mm = mm_number();
		r = put_in(fd, f, &stale);
		pthread_mutex_unlock(&mm->lock);
	}
	if (stale)
		file_unref(stale);
	if (r)
		free(f);
	return r;
}

/* alias - @f, with a reference taken under the lock, becomes @fd's too. */
static int alias(struct file *f, int fd)
{
	struct file *stale = NULL;
	int r = -EBADF;

	if (!f)
		return -EBADF;
	if (mm_lock()) {
		r = borrowed() ? -EBADF : put_in(fd, f, &stale);
		pthread_mutex_unlock(&mm->lock);
	}
	if (r)
		file_unref(f);
	if (stale)
		file_unref(stale);
	return r;
}

int fd_alias(int of, int fd)
{
	return alias(fd_get(of), fd);
}

/* find_inode - the file of ours behind a memfd, with a reference, or NULL. */
static struct file *find_inode(const struct stat *st)
{
	struct file *f;

	if (!mm_lock())
		return NULL;
	for (int fd = 0; fd < NR_CHUNKS * CHUNK_FDS; fd++) {
		if (!chunks[fd >> CHUNK_SHIFT]) {
			fd |= CHUNK_FDS - 1;
			continue;
		}
		f = *slot_of(fd);
		if (!f || f->ino != st->st_ino || f->dev != st->st_dev)
			continue;
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&mm->lock);
		return f;
	}
	pthread_mutex_unlock(&mm->lock);
	return NULL;
}

int fd_adopt(int fd)
{
	struct stat st;

	if (!mm || fstat(fd, &st))
		return -EBADF;
	return alias(find_inode(&st), fd);
}

struct file *fd_get(int fd)
{
	struct file **slot, *f = NULL;

	if (!fd_known(fd) || !mm_lock())
		return NULL;
	slot = slot_of(fd);
	if (slot && *slot) {
		f = *slot;
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&mm->lock);
	return f;
}

void fd_put(struct file *f)
{
	file_unref(f);
}

bool fd_remove(int fd)
{
	struct file **slot, *f = NULL;

	if (!fd_known(fd) || !mm_lock())
		return false;
	slot = slot_of(fd);
	if (slot && !borrowed()) {
		f = *slot;
		__atomic_store_n(slot, NULL, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&mm->lock);
	if (f)
		file_unref(f);
	return f;
}

int fd_dup(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return r < 0 ? -errno : r;
}

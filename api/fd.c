#include "api/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
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
	return mm->number;
}

bool fd_same_mm(const struct file *f)
{
	return f->mm == __atomic_load_n(&mm->number, __ATOMIC_RELAXED);
}

static struct file **slot_of(int fd)
{
	unsigned int n = (unsigned int)fd >> CHUNK_SHIFT;

	if (fd < 0 || n >= NR_CHUNKS || !chunks[n])
		return NULL;
	return &chunks[n][fd % CHUNK_FDS];
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

int fd_install(int fd, enum file_type type, void *object,
	       void (*release)(void *object))
{
	struct file *f = calloc(1, sizeof(*f)), *stale, **slot;
	unsigned int n = (unsigned int)fd >> CHUNK_SHIFT;

	if (!f)
		return -ENOMEM;
	*f = (struct file){
		.type = type, .refs = 1, .object = object, .release = release
	};
	if (n >= NR_CHUNKS || !mm_lock())
		goto fail;
	if (!chunks[n])
		chunks[n] = calloc(CHUNK_FDS, sizeof(*chunks[n]));
	if (!chunks[n]) {
		pthread_mutex_unlock(&mm->lock);
		goto fail;
	}
	f->mm = mm_number();
	slot = slot_of(fd);
	/* A client that used plain close() left its entry behind. */
	stale = *slot;
	*slot = f;
	pthread_mutex_unlock(&mm->lock);
	if (stale)
		file_unref(stale);
	return 0;
fail:
	free(f);
	return -ENOMEM;
}

struct file *fd_get(int fd)
{
	struct file **slot, *f = NULL;

	if (fd < 0 || !mm_lock())
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

	if (fd < 0 || !mm_lock())
		return false;
	slot = slot_of(fd);
	if (slot) {
		f = *slot;
		*slot = NULL;
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

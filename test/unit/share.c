/* Memory that is made shareable in place: host/share.c. */
#include "host/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/maps.h"
#include "test/test.h"

#define SIZE (1024 * 1024)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

static uint8_t *map(void *addr, size_t size, int flags, int fd)
{
	void *p = mmap(addr, size, RW, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* space - pages that nothing else is next to, so that areas do not merge. */
static uint8_t *space(void)
{
	uint8_t *p = mmap(NULL, 3 * SIZE, PROT_NONE, ANON, -1, 0);

	return map(p + SIZE, SIZE, ANON | MAP_FIXED, -1);
}

static void space_free(uint8_t *p)
{
	munmap(p - SIZE, 3 * SIZE);
	share_forget(p, SIZE);
}

static unsigned int resident(const void *p, size_t size)
{
	unsigned char vec[SIZE / PAGE_SIZE];
	unsigned int n = 0;

	CHECK_EQ(mincore((void *)p, size, vec), 0);
	for (size_t i = 0; i < size / PAGE_SIZE; i++)
		n += vec[i] & 1;
	return n;
}

static uint8_t file_byte(const struct share *s, uint64_t offset)
{
	uint8_t b = 0xee;

	CHECK_EQ(pread(s->fd, &b, 1, s->offset + offset), 1);
	return b;
}

/* Contents stay, untouched pages too, and both views are the same memory. */
static void contents(void)
{
	uint8_t *p = space(), zero = p[9 * PAGE_SIZE];
	uint64_t generation = share_generation();
	struct share s;

	for (unsigned int i = 0; i < SIZE / PAGE_SIZE; i += 3)
		p[i * PAGE_SIZE + i] = i % 251 + 1;
	CHECK(!share_find(p, &s));
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK(share_generation() != generation);
	/* Page 0 of every three; those that were only read are zeros. */
	CHECK(share_find(p, &s));
	CHECK_EQ(s.len, SIZE);
	CHECK_EQ(resident(p, SIZE), (SIZE / PAGE_SIZE + 2) / 3);
	for (unsigned int i = 0; i < SIZE / PAGE_SIZE; i++) {
		uint8_t want = i % 3 ? 0 : i % 251 + 1;

		CHECK_EQ(file_byte(&s, i * PAGE_SIZE + i), want);
		CHECK_EQ(p[i * PAGE_SIZE + i], want);
	}
	p[0x1234] = zero + 0x77;
	CHECK_EQ(file_byte(&s, 0x1234), 0x77);
	CHECK(share_find(p + 0x5010, &s));
	CHECK_EQ(s.len, SIZE - 0x5010);
	CHECK(!share_find(p - 1, &s));
	CHECK(!share_find(p + SIZE, &s));
	CHECK(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
	generation = share_generation();
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK_EQ(share_convert(p + PAGE_SIZE, PAGE_SIZE), 0);
	CHECK_EQ(share_generation(), generation);
	share_forget(p, SIZE);
	CHECK(share_find(p, &s));
	space_free(p);
	CHECK(!share_find(p, &s));
}

/* A wider range, part of which is known, and areas of several protections. */
static void pieces(void)
{
	uint8_t *p = space();
	struct share a, b, c;

	memset(p, 0x5a, SIZE);
	mprotect(p + SIZE / 2, SIZE / 4, RW | PROT_EXEC);
	CHECK_EQ(share_convert(p + 0x10000, 0x10000), 0);
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK(share_find(p, &a));
	CHECK_EQ(a.len, 0x10000);
	CHECK(share_find(p + 0x10000, &b));
	CHECK(share_find(p + SIZE / 2, &c));
	CHECK(a.fd != b.fd);
	CHECK_EQ(file_byte(&a, 7), 0x5a);
	CHECK_EQ(file_byte(&b, 7), 0x5a);
	CHECK_EQ(file_byte(&c, 7), 0x5a);
	for (unsigned int i = 0; i < SIZE; i += 0x800)
		CHECK_EQ(p[i], 0x5a);
	space_free(p);
	CHECK(!share_find(p, &a));
}

/* A client's own memfd is found by its mapping. */
static void own_file(void)
{
	int fd = memfd_create("own", 0), fds[8];
	uint8_t *p = space();
	struct share s;

	CHECK_EQ(ftruncate(fd, SIZE * 2), 0);
	p = mmap(p, SIZE, RW, MAP_SHARED | MAP_FIXED, fd, SIZE);
	p[0x2000] = 3;
	CHECK_EQ(share_convert(p + 0x1000, SIZE - 0x1000), 0);
	CHECK(!share_find(p, &s));
	CHECK(share_find(p + 0x2000, &s));
	CHECK_EQ(s.offset, SIZE + 0x2000);
	CHECK(s.fd != fd);
	CHECK_EQ(file_byte(&s, 0), 3);
	CHECK_EQ(share_fds(fds, 8), 1);
	CHECK_EQ(fds[0], s.fd);
	/* Discarding is the client's own business there. */
	CHECK_EQ(share_discard(p + 0x2000, 0x1000), 0);
	CHECK_EQ(p[0x2000], 3);
	close(fd);
	space_free(p);
	CHECK_EQ(share_fds(fds, 8), 0);
}

static void refuse(uint8_t *p)
{
	struct share s;

	CHECK_EQ(share_convert(p, SIZE), (uint64_t)-EOPNOTSUPP);
	CHECK(!share_find(p, &s));
	space_free(p);
}

#ifndef RING3_SANITIZE
/* Freed memory of a heap may be anybody's afterwards. */
static void *heaps(void *arg)
{
	uint8_t *p = aligned_alloc(PAGE_SIZE, SIZE);

	memset(p, 1, SIZE);
	CHECK_EQ(share_convert(p, SIZE), (uint64_t)-EOPNOTSUPP);
	free(p);
	return NULL;
}

static void refused_heaps(void)
{
	pthread_t thread;

	mallopt(M_MMAP_THRESHOLD, 4 * SIZE);
	heaps(NULL);
	pthread_create(&thread, NULL, heaps, NULL);
	pthread_join(thread, NULL);
}
#endif

static void refused(void)
{
	uint8_t *p = space();
	int fd = open("/proc/self/exe", O_RDONLY);

	munmap(p + SIZE / 2, PAGE_SIZE);
	refuse(p);
	p = space();
	mprotect(p + SIZE / 2, PAGE_SIZE, PROT_READ);
	refuse(p);
	p = space();
	/* The address sanitizer's mlock() does nothing. */
	CHECK_EQ(syscall(SYS_mlock, p + SIZE / 2, PAGE_SIZE), 0);
	refuse(p);
	p = space();
	map(p, SIZE, MAP_PRIVATE | MAP_FIXED, fd);
	refuse(p);
	p = space();
	map(p, SIZE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1);
	refuse(p);
	close(fd);
	/* A file that nobody has open any more. */
	p = space();
	fd = memfd_create("gone", 0);
	CHECK_EQ(ftruncate(fd, SIZE), 0);
	map(p, SIZE, MAP_SHARED | MAP_FIXED, fd);
	close(fd);
	refuse(p);
}

/* What the client has advised holds for what comes in its place. */
static void advised(void)
{
	static const char *const names[] = { " dc", " dd", " nh", " hg" };
	unsigned int flags = 0;
	uint8_t *p = space();

	CHECK_EQ(madvise(p, SIZE, MADV_DONTDUMP), 0);
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK_EQ(maps_vmflags((uintptr_t)p, (uintptr_t)p + SIZE, names, 4,
			      &flags),
		 0);
	CHECK_EQ(flags, 3);
	space_free(p);
}

/* A limit on file sizes must not raise SIGXFSZ. */
static void limited(void)
{
	struct rlimit was, limit;
	uint8_t *p = space();

	getrlimit(RLIMIT_FSIZE, &was);
	limit = was;
	limit.rlim_cur = SIZE / 2;
	setrlimit(RLIMIT_FSIZE, &limit);
	p[5] = 6;
	CHECK_EQ(share_convert(p, SIZE), (uint64_t)-EFBIG);
	CHECK_EQ(share_convert(p, SIZE / 2), 0);
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK_EQ(p[5], 6);
	space_free(p);
}

static void discard(void)
{
	uint8_t *p = space();

	memset(p, 1, SIZE);
	CHECK_EQ(share_discard(p, SIZE), 0);
	CHECK_EQ(p[0], 1);
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK_EQ(share_discard(p + 0x3000, 0x1800), 0x2000);
	CHECK_EQ(p[0x2fff], 1);
	CHECK_EQ(resident(p + 0x3000, 0x2000), 0);
	CHECK_EQ(p[0x3000], 0);
	CHECK_EQ(p[0x4fff], 0);
	CHECK_EQ(p[0x5000], 1);
	CHECK_EQ(share_discard(p + SIZE - 0x1000, 0x2000), 0x1000);
	CHECK_EQ(p[SIZE - 0x1000], 0);
	space_free(p);
}

/* What the client maps anew at a known address is other memory. */
static void replaced(void)
{
	uint8_t *p = space();
	struct share s, t;

	p[0] = 1;
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK(share_find(p, &s));
	map(p + SIZE / 4, SIZE / 2, ANON | MAP_FIXED, -1);
	p[SIZE / 2] = 2;
	share_forget(p, SIZE);
	CHECK(share_find(p, &s));
	CHECK_EQ(s.len, SIZE / 4);
	CHECK(!share_find(p + SIZE / 4, &t));
	CHECK(share_find(p + SIZE * 3 / 4, &t));
	CHECK_EQ(t.fd, s.fd);
	CHECK_EQ(t.offset, SIZE * 3 / 4);
	CHECK_EQ(share_convert(p, SIZE), 0);
	CHECK(share_find(p + SIZE / 2, &t));
	CHECK(t.fd != s.fd);
	CHECK_EQ(file_byte(&t, 0), 2);
	CHECK_EQ(p[0], 1);
	/* Moved away, it is found at its new place. */
	share_drop(p + SIZE / 4, SIZE / 2);
	CHECK(!share_find(p + SIZE / 2, &t));
	CHECK(share_find(p, &s));
	space_free(p);
	CHECK(!share_find(p, &s));
}

/* A forked child has another registry, and does not get the memory. */
static void forked(void)
{
	uint8_t *p = space(), *q;
	struct share s;
	int status;

	CHECK_EQ(share_convert(p, SIZE), 0);
	if (!fork()) {
		unsigned char vec;

		if (share_find(p, &s) || mincore(p, PAGE_SIZE, &vec) == 0)
			_exit(1);
		q = space();
		q[3] = 4;
		_exit(share_convert(q, SIZE) || !share_find(q, &s) ||
		      file_byte(&s, 3) != 4);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	space_free(p);
}

struct reader {
	uint8_t *hva;
	struct share want;
	bool stop;
	unsigned long wrong, looks;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct share s;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		r->looks++;
		if (!share_find(r->hva, &s) || s.fd != r->want.fd ||
		    s.offset != r->want.offset || s.len != r->want.len)
			r->wrong++;
	}
	return NULL;
}

/* Readers always find what stays, whatever comes and goes beside it. */
static void readers(void)
{
	uint8_t *p = space(), *low = p, *high = p + SIZE - PAGE_SIZE;
	struct reader r = { .hva = p + SIZE / 2 };
	pthread_t thread;

	CHECK_EQ(share_convert(r.hva, PAGE_SIZE), 0);
	CHECK(share_find(r.hva, &r.want));
	pthread_create(&thread, NULL, read_on, &r);
	for (unsigned int i = 0; i < 300; i++) {
		share_convert(low, PAGE_SIZE);
		share_convert(high, PAGE_SIZE);
		map(low, PAGE_SIZE, ANON | MAP_FIXED, -1);
		share_drop(low, PAGE_SIZE);
		share_drop(high, PAGE_SIZE);
		map(high, PAGE_SIZE, ANON | MAP_FIXED, -1);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CHECK_EQ(r.wrong, 0);
	CHECK(r.looks);
	space_free(p);
}

/* mremap() may grow it, as it may private memory. */
static void grown(void)
{
	uint8_t *p = space(), *q;

	memset(p, 9, SIZE);
	CHECK_EQ(share_convert(p, SIZE), 0);
	q = mremap(p, SIZE, 3 * SIZE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	CHECK_EQ(q[SIZE - 1], 9);
	CHECK_EQ(q[2 * SIZE], 0);
	q[3 * SIZE - 1] = 1;
	munmap(q, 3 * SIZE);
	space_free(p);
}

static void all(void)
{
	contents();
	pieces();
	own_file();
	refused();
#ifndef RING3_SANITIZE
	refused_heaps();
#endif
	advised();
	limited();
	discard();
	replaced();
	forked();
	readers();
	grown();
}

/* without_query - from now on as on hosts whose maps must be read. */
static bool without_query(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAPS_QUERY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* Both ways tell the same; a sanitizer changes what is mapped meanwhile. */
static void same_maps(struct maps *text)
{
	struct maps_area a, b;
	unsigned int n = 0;
	struct maps query;

	CHECK_EQ(maps_open(&query), 0);
	if (query.text)
		printf("no PROCMAP_QUERY here\n");
	for (uintptr_t addr = 0; !maps_find(text, addr, &a); addr = a.end) {
		CHECK_EQ(maps_find(&query, addr, &b), 0);
#ifndef RING3_SANITIZE
		CHECK(a.start == b.start && a.end == b.end);
		CHECK(a.flags == b.flags && a.offset == b.offset);
		CHECK(a.ino == b.ino && a.major == b.major &&
		      a.minor == b.minor);
		CHECK(b.name[0] == '/' || !strcmp(a.name, b.name));
#endif
		n++;
		/* The kernel's own come last, and not by the other way. */
		if (a.end > BIT(46) && !strncmp(a.name, "[stack]", 7))
			break;
	}
	CHECK(n > 10);
	maps_close(&query);
}

static void *by_reading(void *arg)
{
	struct maps *text = arg;

	if (!without_query()) {
		printf("no seccomp filter: maps are not read\n");
		return NULL;
	}
	all();
	CHECK_EQ(maps_open(text), 0);
	CHECK(text->text);
	return text;
}

int main(void)
{
	struct maps text;
	pthread_t thread;
	void *opened;

	all();
	pthread_create(&thread, NULL, by_reading, &text);
	pthread_join(thread, &opened);
	if (opened) {
		same_maps(&text);
		maps_close(&text);
	}
	return test_done();
}

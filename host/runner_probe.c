#include "host/runner.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"

static struct {
	struct lock lock;
	bool known;
	int err, refused;
} probe;

#define TEST_GVA 0x10000000ull

/* MOV $0x1234, %EAX; SYSCALL */
static const uint8_t test_code[] = { 0xb8, 0x34, 0x12, 0, 0, 0x0f, 0x05 };

static int try_code(struct runner *r, int fd)
{
	struct user_regs_struct regs;
	struct runner_info info;
	int err = runner_map(r, TEST_GVA, PAGE_SIZE, fd, 0,
			     PROT_READ | PROT_EXEC, true);

	if (!err)
		err = runner_sync(r);
	if (err)
		probe.refused = SYS_mmap;
	if (!err)
		err = runner_get_regs(r, &regs);
	if (err)
		return err;
	regs.rip = TEST_GVA;
	err = runner_set_regs(r, &regs);
	if (err)
		return err;
	if (runner_run(r, &info) != RUNNER_SYSCALL ||
	    runner_get_regs(r, &regs) || regs.rip != TEST_GVA + 7 ||
	    regs.orig_rax != 0x1234)
		return -ENOSYS;
	return 0;
}

static int try_file(int fd)
{
	struct runner *r;
	int err;

	probe.refused = SYS_ftruncate;
	if (ftruncate(fd, PAGE_SIZE) ||
	    pwrite(fd, test_code, sizeof(test_code), 0) != sizeof(test_code))
		return -errno;
	err = runner_try(&r, &fd, 1, &probe.refused);
	if (err)
		return err;
	err = try_code(r, fd);
	runner_destroy(r);
	return err;
}

static int try_all(void)
{
	int fd = memfd_create("ring3-probe", MFD_CLOEXEC);
	int err;

	probe.refused = SYS_memfd_create;
	if (fd < 0)
		return -errno;
	err = try_file(fd);
	close(fd);
	return err;
}

/* It may be otherwise the next time. */
static bool passes(int err)
{
	return err == -EAGAIN || err == -ENOMEM || err == -EMFILE ||
	       err == -ENFILE;
}

int runner_probe(void)
{
	int err;

	lock_take(&probe.lock);
	if (!probe.known) {
		probe.err = try_all();
		/* Threads of the client's inherit this one's affinity. */
		runner_unpin();
		probe.known = !passes(probe.err);
	}
	err = probe.err;
	lock_drop(&probe.lock);
	return err;
}

int runner_refused(void)
{
	int refused;

	lock_take(&probe.lock);
	refused = probe.err ? probe.refused : 0;
	lock_drop(&probe.lock);
	return refused;
}

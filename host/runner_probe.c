#include "host/runner.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"

static struct {
	struct lock lock;
	bool known;
	int err, refused;
	bool can_break;
} probe;

#define TEST_GVA 0x10000000ull

/* MOV $0x1234, %EAX; SYSCALL */
static const uint8_t test_code[] = { 0xb8, 0x34, 0x12, 0, 0, 0x0f, 0x05 };
#define TEST_SYSCALL (TEST_GVA + 5)

/* Whether a breakpoint at the SYSCALL stops it there. */
static bool try_break(struct runner *r)
{
	struct user_regs_struct regs;
	struct runner_info info;

	if (runner_break(r, 0, TEST_SYSCALL) ||
	    runner_run(r, &info) != RUNNER_TRAP || info.code != TRAP_HWBKPT ||
	    runner_get_regs(r, &regs) || regs.rip != TEST_SYSCALL)
		return false;
	return !runner_break(r, 0, RUNNER_NO_BREAK) &&
	       !runner_set_regs(r, &regs);
}

static int try_syscall(struct runner *r)
{
	struct user_regs_struct regs;
	struct runner_info info;

	if (runner_run(r, &info) != RUNNER_SYSCALL ||
	    runner_get_regs(r, &regs) || regs.rip != TEST_SYSCALL + 2 ||
	    regs.orig_rax != 0x1234)
		return -ENOSYS;
	return 0;
}

static int try_code(struct runner *r, int fd)
{
	struct user_regs_struct regs;
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
	if (!err)
		err = try_syscall(r);
	if (err)
		return err;
	__atomic_store_n(&probe.can_break,
			 !runner_set_regs(r, &regs) && try_break(r) &&
				 !try_syscall(r),
			 __ATOMIC_RELAXED);
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

bool runner_can_break(void)
{
	return __atomic_load_n(&probe.can_break, __ATOMIC_RELAXED);
}

int runner_refused(void)
{
	int refused;

	lock_take(&probe.lock);
	refused = probe.err ? probe.refused : 0;
	lock_drop(&probe.lock);
	return refused;
}

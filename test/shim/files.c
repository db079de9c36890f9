/*
 * The preload library seen from a client: each way to open /dev/kvm, what may
 * be done with the descriptors, and what other processes notice.  Runs under
 * `ring3 exec`, linked with the C library alone.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "test/shim/machine.h"

extern int __open_2(const char *path, int flags);
extern int __openat64_2(int dirfd, const char *path, int flags);

/* speaks - whether @fd is a KVM; closes it. */
static int speaks(int fd)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	close(fd);
	return fd >= 0 && version == 12;
}

static void opens(void)
{
	int dev = open("/dev", O_RDONLY | O_DIRECTORY);

	CHECK(speaks(open("/dev/kvm", O_RDWR)));
	CHECK(speaks(open64("/dev/kvm", O_RDONLY | O_CLOEXEC)));
	CHECK(speaks(open("//dev/../dev/./kvm", O_RDWR)));
	CHECK(speaks(openat(AT_FDCWD, "/dev/kvm", O_RDWR)));
	CHECK(speaks(openat64(dev, "kvm", O_RDWR)));
	CHECK(speaks(__open_2("/dev/kvm", O_RDWR)));
	CHECK(speaks(__openat64_2(dev, "kvm", O_RDWR)));
	CHECK(speaks(syscall(SYS_open, "/dev/kvm", O_RDWR)));
	CHECK(speaks(syscall(SYS_openat, dev, "./kvm", O_RDWR)));
	CHECK_EQ(chdir("/dev"), 0);
	CHECK(speaks(open("kvm", O_RDWR)));
	CHECK_EQ(chdir("/"), 0);
	CHECK(!speaks(open("kvm", O_RDWR)));
	CHECK(!speaks(open("/dev/null", O_RDWR)));
	CHECK_EQ(open("/dev/kvm", O_RDONLY | O_DIRECTORY), -1);
	CHECK_EQ(errno, ENOTDIR);
	close(dev);
}

static void looks(void)
{
	char line[8192];
	struct stat st;
	struct statx stx;
	int found = 0;
	FILE *f;

	CHECK_EQ(access("/dev/kvm", R_OK | W_OK), 0);
	CHECK_EQ(access("/dev/kvm", X_OK), -1);
	CHECK_EQ(stat("/dev/kvm", &st), 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, makedev(10, 232));
	CHECK_EQ(statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS, &stx), 0);
	CHECK_EQ(stx.stx_rdev_minor, 232);
	CHECK_EQ(stat("/dev/null", &st), 0);
	CHECK_EQ(st.st_rdev, makedev(1, 3));
	f = fopen("/proc/cpuinfo", "r");
	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, " vmx") || strstr(line, " svm");
	CHECK(f && found);
	if (f)
		fclose(f);
}

static void duplicates(void)
{
	int sys = open("/dev/kvm", O_RDWR), vm = ioctl(sys, KVM_CREATE_VM, 0);
	int copy[4] = { dup(vm), dup2(vm, 200), dup3(vm, 201, O_CLOEXEC),
			fcntl(vm, F_DUPFD_CLOEXEC, 300) };

	CHECK_EQ(copy[1], 200);
	CHECK(copy[3] >= 300);
	close(vm);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(ioctl(copy[i], KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) >
				 0,
			 1);
		close(copy[i]);
		CHECK_EQ(ioctl(copy[i], KVM_CHECK_EXTENSION, 0), -1);
		CHECK_EQ(errno, EBADF);
	}
	/* Another file takes a number over. */
	vm = ioctl(sys, KVM_CREATE_VM, 0);
	copy[0] = open("/dev/null", O_RDWR);
	CHECK_EQ(dup2(copy[0], vm), vm);
	CHECK_EQ(ioctl(vm, KVM_CHECK_EXTENSION, 0), -1);
	CHECK_EQ(errno, ENOTTY);
	close(copy[0]);
	close(vm);
	/* A range. */
	CHECK_EQ(dup2(sys, 500), 500);
	CHECK_EQ(close_range(400, 600, 0), 0);
	CHECK_EQ(ioctl(500, KVM_GET_API_VERSION, 0), -1);
	CHECK(speaks(sys));
}

/* Over a socket, back to the same process. */
static void passing(void)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))];
	struct iovec io = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &io,
			      .msg_iovlen = 1,
			      .msg_control = space,
			      .msg_controllen = sizeof(space) };
	int pair[2], sys = open("/dev/kvm", O_RDWR), got;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct pollfd p = { .fd = sys, .events = POLLIN };

	CHECK(poll(&p, 1, 0) >= 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sys, sizeof(int));
	CHECK_EQ(sendmsg(pair[0], &msg, 0), 1);
	CHECK_EQ(recvmsg(pair[1], &msg, 0), 1);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	CHECK(got != sys);
	CHECK(speaks(got));
	CHECK(speaks(sys));
	close(pair[0]);
	close(pair[1]);
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static void __attribute__((noinline)) vfork_and_close(int fd)
{
	pid_t pid = vfork();

	if (!pid) {
		close(fd);
		_exit(0);
	}
	CHECK_EQ(status_of(pid), 0);
}

static void children(void)
{
	int sys = open("/dev/kvm", O_RDWR), vm = ioctl(sys, KVM_CREATE_VM, 0);
	pid_t pid = fork();
	FILE *f;
	char line[16] = "";

	if (!pid) {
		int ok =
			ioctl(vm, KVM_CHECK_EXTENSION, 0) == -1 && errno == EIO;

		close(vm);
		ok &= speaks(open("/dev/kvm", O_RDWR));
		_exit(ok ? 0 : 1);
	}
	CHECK_EQ(status_of(pid), 0);
	vfork_and_close(vm);
	CHECK_EQ(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) > 0, 1);
	f = popen("echo word 2>&1", "r");
	CHECK(f && fgets(line, sizeof(line), f) && !strcmp(line, "word\n"));
	if (f) {
		CHECK(!fgets(line, sizeof(line), f));
		CHECK_EQ(pclose(f), 0);
	}
	close(vm);
	close(sys);
}

static void runs(void)
{
	struct machine m;

	/* mov $'x', %al; out %al, $0x10; hlt */
	MACHINE_OPEN(&m, 0xb0, 'x', 0xe6, 0x10, 0xf4);
	CHECK_EQ(machine_run(&m), KVM_EXIT_IO);
	CHECK_EQ(m.run->io.port, 0x10);
	CHECK_EQ(((char *)m.run)[m.run->io.data_offset], 'x');
	/* All names of the descriptor are one, also as a sign-extended int. */
	CHECK_EQ(ioctl(m.vcpu, (unsigned long)(int)KVM_RUN, 0), 0);
	CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
	machine_close(&m);
}

#define RAM 0x80000

/* ram - memory at 1 MiB, in which all bytes are 1. */
static unsigned char *ram(const struct machine *m, void *at)
{
	struct kvm_userspace_memory_region slot = { .slot = 1,
						    .guest_phys_addr = 0x100000,
						    .memory_size = 0 };
	unsigned char *p =
		mmap(at, RAM, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if (at)
		CHECK_EQ(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	slot.userspace_addr = (unsigned long)p;
	slot.memory_size = RAM;
	memset(p, 1, RAM);
	CHECK_EQ(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	return p;
}

/* Guest memory that is given up is zeros, as private memory is. */
static void memory(void)
{
	unsigned char *p, *q, vec;
	struct machine m;

	MACHINE_OPEN(&m, 0xf4);
	p = ram(&m, NULL);
	CHECK_EQ(madvise(p + 0x3000, 0x1800, MADV_DONTNEED), 0);
	CHECK_EQ(p[0x2fff], 1);
	CHECK_EQ(p[0x3000], 0);
	CHECK_EQ(p[0x4fff], 0);
	CHECK_EQ(p[0x5000], 1);
	CHECK_EQ(syscall(SYS_madvise, p, 0x1000, MADV_DONTNEED), 0);
	CHECK_EQ(p[0xfff], 0);
	CHECK_EQ(madvise(p + 0x10000, 0x10000, MADV_FREE), 0);
	CHECK_EQ(p[0x10000] & ~1, 0);
	CHECK_EQ(madvise(p + 1, 0x1000, MADV_DONTNEED), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(p[0x1000], 1);
	/* Beyond its end there may be nothing. */
	munmap(p + RAM - 0x1000, 0x1000);
	CHECK_EQ(madvise(p + RAM - 0x3000, 0x3000, MADV_DONTNEED), -1);
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(p[RAM - 0x2001], 0);
	/* New memory at the same place. */
	CHECK(ram(&m, p) == p);
	CHECK_EQ(madvise(p, RAM, MADV_DONTNEED), 0);
	CHECK_EQ(p[RAM - 1], 0);
	/* It moves and grows. */
	memset(p, 2, RAM);
	q = mremap(p, RAM, 2 * RAM, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	CHECK_EQ(q[RAM - 1], 2);
	CHECK_EQ(q[RAM], 0);
	q[2 * RAM - 1] = 3;
	CHECK_EQ(munmap(q, 2 * RAM), 0);
	CHECK_EQ(mincore(q, 1, &vec), -1);
	machine_close(&m);
}

int main(void)
{
	opens();
	looks();
	duplicates();
	passing();
	children();
	runs();
	memory();
	test_signals();
	return test_done();
}

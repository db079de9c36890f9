#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * refuse CALL ERRNO PROGRAM [ARG]... - runs a program to which a seccomp filter
 * refuses a system call, as in a container: its parent is under the filter as
 * well.  With CALL "own" it is not, and nothing is refused.
 */
static const struct {
	const char *name;
	int nr;
} calls[] = {
	{ "close_range", SYS_close_range },
	{ "execveat", SYS_execveat },
	{ "own", SYS_swapon },
	{ "personality", SYS_personality },
	{ "ptrace", SYS_ptrace },
	{ "seccomp", SYS_seccomp },
};

static int filter(unsigned int nr, unsigned int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	size_t i = 0, nr = sizeof(calls) / sizeof(calls[0]);
	int status, own;

	while (argc > 3 && i < nr && strcmp(calls[i].name, argv[1]) != 0)
		i++;
	if (argc < 4 || i == nr)
		return 99;
	own = !strcmp(argv[1], "own");
	if (filter((unsigned int)calls[i].nr, (unsigned int)atoi(argv[2])))
		return 99;
	if (own || !fork()) {
		execv(argv[3], argv + 3);
		_exit(99);
	}
	return wait(&status) > 0 && WIFEXITED(status) ? WEXITSTATUS(status)
						      : 99;
}

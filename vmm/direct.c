#include "vmm/direct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/types.h"
#include "vmm/kvmfd.h"
#include "vmm/log.h"
#include "vmm/status.h"

const char *direct_mode(void)
{
	const char *s = getenv(DIRECT_VARIABLE);

	return s && *s ? s : "auto";
}

static bool always(void)
{
	return !strcmp(direct_mode(), "always");
}

int direct_set(const char *mode)
{
	static const char *const modes[] = { "auto", "off", "always" };
	const char *from = mode ? "--direct" : DIRECT_VARIABLE;

	if (!mode)
		mode = direct_mode();
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(mode, modes[i])) {
			setenv(DIRECT_VARIABLE, mode, 1);
			return 0;
		}
	return log_error(STATUS_USAGE, "%s \"%s\": must be auto, off or always",
			 from, mode);
}

/* A number behind @field in a file of procfs; -1: there is none. */
static long number_in(const char *path, const char *field)
{
	FILE *in = fopen(path, "re");
	size_t len = strlen(field);
	char line[256];
	long n = -1;

	while (in && n < 0 && fgets(line, sizeof(line), in))
		if (!strncmp(line, field, len))
			n = strtol(line + len, NULL, 10);
	if (in)
		fclose(in);
	return n;
}

static bool filtered(void)
{
	return prctl(PR_GET_SECCOMP) > 0;
}

static const char *ptrace_advice(void)
{
	if (number_in("/proc/sys/kernel/yama/ptrace_scope", "") > 1)
		return "kernel.yama.ptrace_scope must be 0 or 1 (sysctl)";
	if (number_in("/proc/self/status", "TracerPid:") > 0)
		return "this process is traced (strace -f?), and what it "
		       "starts with it";
	if (filtered())
		return "a container's seccomp profile must allow ptrace; "
		       "Docker's does from Linux 4.8 on, elsewhere --cap-add "
		       "SYS_PTRACE";
	return "a security module forbids it (SELinux's deny_ptrace?)";
}

static const char *file_advice(void)
{
	if (number_in("/proc/sys/vm/memfd_noexec", "") > 1)
		return "vm.memfd_noexec must be 0 or 1 (sysctl)";
	if (filtered())
		return "a seccomp profile must allow it";
	return "a security module forbids programs in memory files";
}

static const char *advice(int err, int call)
{
	if (!call && err == EACCES)
		return "a seccomp filter that the parent process does not have "
		       "might end this one for what it needs; start ring3 "
		       "inside of it, from a shell, or without it";
	if (!call && err == EOPNOTSUPP)
		return "this build has it not";
	if (!call)
		return "code in a traced process does not stop as on Linux";
	if (err == ESRCH)
		return "the process was killed, by a seccomp filter or a limit "
		       "on memory";
	if (err == EAGAIN || err == ENOMEM || err == EMFILE || err == ENFILE)
		return "a limit on processes, memory or files";
	if (call == SYS_ptrace && err == EPERM)
		return ptrace_advice();
	if ((call == SYS_execveat || call == SYS_memfd_create) && err == EACCES)
		return file_advice();
	if (filtered())
		return "a seccomp profile must allow it";
	return "Linux 5.9 or later is needed";
}

static const struct {
	int call;
	const char *name;
} names[] = {
	{ SYS_arch_prctl, "arch_prctl" },
	{ SYS_clone, "clone" },
	{ SYS_close_range, "close_range" },
	{ SYS_dup2, "dup2" },
	{ SYS_execveat, "execveat of a memory file" },
	{ SYS_fcntl, "fcntl" },
	{ SYS_ftruncate, "ftruncate" },
	{ SYS_memfd_create, "memfd_create" },
	{ SYS_mmap, "mmap" },
	{ SYS_munmap, "munmap" },
	{ SYS_personality, "personality" },
	{ SYS_prctl, "prctl" },
	{ SYS_prlimit64, "prlimit64" },
	{ SYS_ptrace, "ptrace" },
	{ SYS_seccomp, "seccomp" },
};

int direct_why(char *text, size_t size)
{
	const char *name = "";
	int call, r = kvmfd_direct(&call);

	if (!r)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (call && names[i].call == call)
			name = names[i].name;
	snprintf(text, size, "%s%s%s: %s", name, *name ? ": " : "",
		 strerror(-r), advice(-r, call));
	return r;
}

int direct_check(void)
{
	char why[384];

	if (!always() || !direct_why(why, sizeof(why)))
		return 0;
	return log_error(-1, "--direct always: not on this host: %s", why);
}

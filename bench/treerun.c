/*
 * treerun [-p] [-t SECONDS] [-l LOG] -- COMMAND... - runs a VM whose console is
 * its standard output, copies that, and measures between its marks.  What the
 * VM does may be spread over processes that come and go, so CPU time is that
 * of the command with all that it forks, threads included.
 *
 * Lines of the console, and what is added behind them, in seconds:
 *   BEGIN x, later BENCH x ...   HOST x wall cpu      since BEGIN
 *   MARK x                       HOSTMARK x wall cpu  since the start
 *   (the end)                    HOSTMARK exit wall cpu status|signal|timeout n
 *
 * The clock is a task clock of the kernel's perf events, which children
 * inherit: nothing is lost.  Where it may not be had, or with -p, the processes
 * below this one are looked up in /proc: their CPU clocks, and the times of the
 * children that they have waited for, in ticks of 10 ms.  There a child is lost
 * whose parent ignores SIGCHLD.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAME_LEN 64

static struct {
	int perf;	       /* file descriptor; -1: /proc */
	double start;	       /* wall clock */
	char region[NAME_LEN]; /* of the last BEGIN */
	double wall, cpu;      /* there */
} run = { .perf = -1 };

static double seconds(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static double wall(void)
{
	return seconds(CLOCK_MONOTONIC);
}

/* A file below /proc/PID, as a string; empty if there is none. */
static void read_proc(int pid, const char *name, char *buf, size_t size)
{
	char path[300];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, size - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = 0;
}

/* The times of the children that @pid has waited for. */
static double waited_time(int pid)
{
	unsigned long utime, stime;
	const char *end;
	char buf[600];

	read_proc(pid, "stat", buf, sizeof(buf));
	/* The name in parentheses may hold anything. */
	end = strrchr(buf, ')');
	if (!end || sscanf(end + 1,
			   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
			   "%*u %*u %lu %lu",
			   &utime, &stime) != 2)
		return 0;
	return (double)(utime + stime) / sysconf(_SC_CLK_TCK);
}

static double process_time(int pid)
{
	clockid_t clock;
	double t = waited_time(pid);

	return clock_getcpuclockid(pid, &clock) ? t : t + seconds(clock);
}

/* The living descendants of @pid, which each of its threads may have made. */
static double tree_time(int pid)
{
	char path[64], name[300], buf[4096], *p, *end;
	struct dirent *entry;
	double sum = 0;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	while (threads && (entry = readdir(threads))) {
		snprintf(name, sizeof(name), "task/%s/children", entry->d_name);
		read_proc(pid, name, buf, sizeof(buf));
		for (p = buf; *p; p = end) {
			int child = strtol(p, &end, 10);

			if (end == p)
				break;
			sum += process_time(child) + tree_time(child);
		}
	}
	if (threads)
		closedir(threads);
	return sum;
}

/*
 * CPU time of all descendants, living or not, by what /proc says.  One that
 * ends and is waited for while others are read is missing once; so the most of
 * some readings counts.
 */
static double cpu_by_proc(void)
{
	struct rusage usage;
	double most = 0;

	for (int i = 0; i < 4; i++) {
		double t;

		getrusage(RUSAGE_CHILDREN, &usage);
		t = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6 +
		    tree_time(getpid());
		most = t > most ? t : most;
	}
	return most;
}

/* CPU time of the command and its descendants, living or not. */
static double cpu(void)
{
	uint64_t ns;

	if (run.perf < 0)
		return cpu_by_proc();
	return read(run.perf, &ns, sizeof(ns)) == sizeof(ns) ? ns * 1e-9 : 0;
}

/*
 * Counts from the exec of @pid on.  Without the kernel it asks for less
 * privilege; a task clock counts the kernel's time all the same.
 */
static int open_perf(int pid)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.disabled = 1,
		.inherit = 1,
		.enable_on_exec = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, pid, -1, -1,
		       PERF_FLAG_FD_CLOEXEC);
}

/* Whether @line has @word, behind which @name stands. */
static bool has(const char *line, const char *word, char name[NAME_LEN])
{
	/* A message of the guest's kernel may be in front. */
	const char *p = strstr(line, word);

	return p && sscanf(p + strlen(word), " %63s", name) == 1;
}

static void take_line(const char *line)
{
	char name[NAME_LEN];

	puts(line);
	if (has(line, "BEGIN ", name)) {
		strcpy(run.region, name);
		run.wall = wall();
		run.cpu = cpu();
	} else if (has(line, "BENCH ", name)) {
		if (!strcmp(name, run.region))
			printf("HOST %s %.6f %.6f\n", name, wall() - run.wall,
			       cpu() - run.cpu);
	} else if (has(line, "MARK ", name)) {
		printf("HOSTMARK %s %.6f %.6f\n", name, wall() - run.start,
		       cpu());
	}
	fflush(stdout);
}

/* Copies @fd until its end; false if the time was up before. */
static bool copy_console(int fd, double limit)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char buf[4096], line[1024];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		double left = limit - (wall() - run.start);

		if (left <= 0)
			return false;
		if (poll(&poll_fd, 1, left < 1 ? left * 1000 + 1 : 1000) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\n') {
				line[len] = 0;
				take_line(line);
				len = 0;
			} else if (buf[i] != '\r' && len + 1 < sizeof(line)) {
				line[len++] = buf[i];
			}
		}
	}
}

/* Starts @argv with its output in a pipe, whose other end is *@console. */
static int start(char **argv, bool use_proc, int *console)
{
	int out[2], go[2], pid;
	char byte;

	if (pipe2(out, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		return -1;
	/* Orphans of the tree are found, and waited for, here. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		close(go[1]);
		dup2(out[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		if (read(go[0], &byte, 1) == 1)
			execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(out[1]);
	close(go[0]);
	if (pid > 0 && !use_proc)
		run.perf = open_perf(pid);
	run.start = wall();
	if (pid > 0 && write(go[1], "", 1) != 1)
		return -1;
	close(go[1]);
	*console = out[0];
	return pid;
}

int main(int argc, char **argv)
{
	bool use_proc = false, in_time;
	int opt, pid, console, status;
	double limit = 3600;

	while ((opt = getopt(argc, argv, "+pt:l:")) != -1) {
		if (opt == 'p')
			use_proc = true;
		else if (opt == 't')
			limit = atof(optarg);
		else if (opt != 'l' || !freopen(optarg, "w", stdout))
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: treerun [-p] [-t SECONDS] [-l LOG] -- "
				"COMMAND...\n");
		return 2;
	}
	pid = start(argv + optind, use_proc, &console);
	if (pid < 0) {
		perror("treerun");
		return 2;
	}
	printf("HOSTCLOCK %s\n", run.perf >= 0 ? "perf" : "proc");
	in_time = copy_console(console, limit);
	if (!in_time)
		kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	/* What is left of the tree has lost its parent, and is waited for. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	printf("HOSTMARK exit %.6f %.6f %s %d\n", wall() - run.start, cpu(),
	       !in_time		     ? "timeout"
	       : WIFSIGNALED(status) ? "signal"
				     : "status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!in_time)
		return 124;
	return WIFSIGNALED(status) ? 1 : WEXITSTATUS(status);
}

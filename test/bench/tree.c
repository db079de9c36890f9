/*
 * tree - a console for treerun: a region whose CPU time is known, because
 * each process burns an amount by its own clock; written behind it as SPENT
 * seconds.  Some processes end before the region does, waited for or not, some
 * have lost their parent, some live on, one is a thread.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile double *spent; /* shared: one for each who burns */
static int nr_spent;

static double clock_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* Until @clock has gone on by @s; the overshoot counts, too. */
static void burn(clockid_t clock, int slot, double s)
{
	double from = clock_s(clock);

	while (clock_s(clock) - from < s)
		;
	spent[slot] = clock_s(clock) - from;
}

static void *burn_thread(void *arg)
{
	burn(CLOCK_THREAD_CPUTIME_ID, *(int *)arg, 0.15);
	return NULL;
}

/* A process that burns, then ends or waits for its end. */
static int child(double s, int stay)
{
	int slot = nr_spent++, pid = fork();

	if (pid)
		return pid;
	burn(CLOCK_PROCESS_CPUTIME_ID, slot, s);
	if (stay)
		pause();
	_exit(0);
}

int main(void)
{
	int thread_slot, orphan_slot, orphan, stays, zombie, ready[2];
	double sum = 0, own;
	pthread_t thread;
	siginfo_t info;
	char byte;

	spent = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spent == MAP_FAILED || pipe(ready))
		return 1;
	burn(CLOCK_PROCESS_CPUTIME_ID, nr_spent++, 0.1);
	spent[0] = 0; /* in front of the region */
	printf("[    0.1] a message BEGIN tree\n");
	fflush(stdout);
	usleep(200000); /* for treerun to read it, on a busy machine */
	own = clock_s(CLOCK_PROCESS_CPUTIME_ID);

	stays = child(0.2, 1);
	for (int i = 0; i < 10; i++)
		waitpid(child(0.02, 0), NULL, 0);
	zombie = child(0.1, 0);
	/* A grandchild whose parent is gone before it is. */
	orphan_slot = nr_spent++;
	orphan = fork();
	if (!orphan) {
		if (fork())
			_exit(0);
		usleep(50000);
		burn(CLOCK_PROCESS_CPUTIME_ID, orphan_slot, 0.1);
		_exit(write(ready[1], "", 1) != 1);
	}
	waitpid(orphan, NULL, 0);
	thread_slot = nr_spent++;
	pthread_create(&thread, NULL, burn_thread, &thread_slot);
	pthread_join(thread, NULL);
	if (read(ready[0], &byte, 1) != 1)
		return 1;
	waitid(P_PID, zombie, &info, WEXITED | WNOWAIT);
	while (!spent[1])
		usleep(1000);

	own = clock_s(CLOCK_PROCESS_CPUTIME_ID) - own;
	spent[thread_slot] = own;
	for (int i = 0; i < nr_spent; i++)
		sum += spent[i];
	printf("BENCH tree %.6f\r\nMARK done\n", sum);
	fflush(stdout);
	kill(stays, SIGTERM);
	waitpid(stays, NULL, 0);
	waitpid(zombie, NULL, 0);
	return 3;
}

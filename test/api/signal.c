#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt.h"

static struct kvm_run *volatile kicked_run;
static volatile int handled;

static void handler(int sig)
{
	handled++;
	if (kicked_run)
		kicked_run->immediate_exit = 1;
	ring3_signal();
}

static void install(void (*fn)(int))
{
	struct sigaction sa = { .sa_handler = fn };

	sigaction(SIGUSR1, &sa, NULL);
}

/* Sends SIGUSR1 to a thread that should be in KVM_RUN by then. */
static void *kick(void *arg)
{
	usleep(50000);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void run_kicked(struct kt_vm *t)
{
	pthread_t self = pthread_self(), thread;

	pthread_create(&thread, NULL, kick, &self);
	t->run->exit_reason = 77;
	FAILS(kt_run(t), EINTR);
	GIVES(t->run->exit_reason, KVM_EXIT_INTR);
	pthread_join(thread, NULL);
	t->run->immediate_exit = 0;
}

/* A guest that loops for ever is left when a signal comes. */
static void looping(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xeb, 0xfe);
	handled = 0;
	run_kicked(&t);
	kicked_run = t.run;
	run_kicked(&t);
	kicked_run = NULL;
	GIVES(handled, 2);
	kt_vm_close(&t);
}

static void empty_handler(int sig)
{
}

/* A halted one too, whatever the handler does; it stays halted. */
static void halted(void)
{
	struct kvm_mp_state mp;
	struct kt_vm t;

	kt_vm_open(&t, KT_IRQCHIP);
	KT_CODE(&t, 0xf4);
	install(empty_handler);
	run_kicked(&t);
	OK(kt_ioctl(t.vcpu, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_HALTED);
	run_kicked(&t);
	install(handler);
	kt_vm_close(&t);
}

/* An AP that nobody has started. */
static void uninitialized(void)
{
	struct kt_vm t;
	int ap;

	kt_vm_open(&t, KT_IRQCHIP);
	ap = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1));
	kt_close(t.vcpu);
	t.vcpu = ap;
	t.run = kt_mmap(ap, 0x3000);
	install(empty_handler);
	run_kicked(&t);
	install(handler);
	t.run->immediate_exit = 1;
	FAILS(kt_run(&t), EINTR);
	kt_vm_close(&t);
}

/* A signal that is pending and only unblocked for the run ends it. */
static void masked(void)
{
	/* Nothing is blocked during the run. */
	union {
		struct kvm_signal_mask head;
		uint8_t bytes[sizeof(struct kvm_signal_mask) + 8];
	} m = { .bytes = { 8 } };
	sigset_t block, old;
	struct kt_vm t;
	int sig;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xeb, 0xfe);
	OK(kt_ioctl(t.vcpu, KVM_SET_SIGNAL_MASK, &m));
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	handled = 0;
	pthread_kill(pthread_self(), SIGUSR1);
	FAILS(kt_run(&t), EINTR);
	GIVES(t.run->exit_reason, KVM_EXIT_INTR);
	GIVES(handled, 0);
	/* It is still there for the client to fetch. */
	OK(sigwait(&block, &sig));
	GIVES(sig, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	kt_vm_close(&t);
}

void test_signal(void)
{
	install(handler);
	looping();
	halted();
	uninitialized();
	masked();
	signal(SIGUSR1, SIG_DFL);
}

#include "vmm/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/dev/hvtest.h"
#include "vmm/dev/vmport.h"
#include "vmm/dump.h"
#include "vmm/log.h"
#include "vmm/loop.h"
#include "vmm/status.h"
#include "vmm/vm.h"

#define SIG_KICK (SIGRTMIN + 1)
/* How often to kick a vCPU again, and when to give up on it. */
#define KICK_AGAIN_NS 100000000
#define KICK_TRIES    50

static void run_kicked(int sig)
{
	kvmfd_signal();
}

int run_init(void)
{
	struct sigaction sa = { .sa_handler = run_kicked };

	return sigaction(SIG_KICK, &sa, NULL) < 0 ? -errno : 0;
}

/* VMware's calls are the one device that sees registers. */
static void run_vmport(struct vcpu *vcpu, void *data)
{
	struct kvm_regs regs;
	bool changed;
	uint32_t eax;

	if (kvmfd_ioctl(&vcpu->fd, KVM_GET_REGS, &regs) < 0)
		return;
	eax = vmport_call(&regs, &changed);
	if (changed)
		kvmfd_ioctl(&vcpu->fd, KVM_SET_REGS, &regs);
	memcpy(data, &eax, sizeof(eax));
}

static bool is_vmport(const struct vcpu *vcpu, const struct kvm_run *run)
{
	return run->io.port == VMPORT && vcpu->vm->config->vmware_backdoor &&
	       run->io.direction == KVM_EXIT_IO_IN && run->io.size == 4 &&
	       run->io.count == 1;
}

static void exit_io(struct vcpu *vcpu, struct kvm_run *run)
{
	const struct bus *bus = &vcpu->vm->pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (is_vmport(vcpu, run)) {
		run_vmport(vcpu, data);
		return;
	}
	for (uint32_t i = 0; i < run->io.count; i++) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(bus, run->io.port, data, run->io.size);
		else
			bus_read(bus, run->io.port, data, run->io.size);
		data += run->io.size;
	}
}

static void exit_mmio(struct vcpu *vcpu, struct kvm_run *run)
{
	const struct bus *bus = &vcpu->vm->mmio;

	if (run->mmio.is_write)
		bus_write(bus, run->mmio.phys_addr, run->mmio.data,
			  run->mmio.len);
	else
		bus_read(bus, run->mmio.phys_addr, run->mmio.data,
			 run->mmio.len);
}

static void run_fail(struct vcpu *vcpu, int status, const char *headline)
{
	if (vm_end(vcpu->vm, status))
		dump_vcpu(vcpu, headline);
}

static void exit_shutdown(struct vcpu *vcpu, struct kvm_run *run)
{
	run_fail(vcpu, STATUS_TRIPLE_FAULT,
		 "triple fault: the guest's CPU shut down");
}

static void exit_internal_error(struct vcpu *vcpu, struct kvm_run *run)
{
	static const char *const suberrors[] = {
		[KVM_INTERNAL_ERROR_EMULATION] =
			"cannot emulate an instruction",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "simultaneous exceptions",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] =
			"an exit while an event was being delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"unexpected exit reason",
	};
	uint32_t sub = run->internal.suberror;
	char line[128];

	snprintf(line, sizeof(line), "KVM internal error %u: %s", sub,
		 sub < ARRAY_SIZE(suberrors) && suberrors[sub] ? suberrors[sub]
							       : "not known");
	run_fail(vcpu, STATUS_CPU_ERROR, line);
}

static void exit_fail_entry(struct vcpu *vcpu, struct kvm_run *run)
{
	char line[128];

	snprintf(line, sizeof(line),
		 "KVM cannot enter the guest: hardware reason %#llx",
		 (unsigned long long)
			 run->fail_entry.hardware_entry_failure_reason);
	run_fail(vcpu, STATUS_CPU_ERROR, line);
}

static void exit_system_event(struct vcpu *vcpu, struct kvm_run *run)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vcpu->vm, STATUS_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_end(vcpu->vm, STATUS_REBOOT);
		break;
	default:
		run_fail(vcpu, STATUS_CPU_ERROR, "system event of the guest");
	}
}

static void exit_hyperv(struct vcpu *vcpu, struct kvm_run *run)
{
	hvtest_exit(vcpu->vm->hvtest, vcpu->id, run);
}

/* Nothing to do but to go on. */
static void exit_again(struct vcpu *vcpu, struct kvm_run *run)
{
}

typedef void exit_handler(struct vcpu *vcpu, struct kvm_run *run);

static exit_handler *const exit_handlers[] = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_again,
	[KVM_EXIT_INTR] = exit_again,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_HYPERV] = exit_hyperv,
};

static void run_handle(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->run->exit_reason;
	char line[64];

	if (reason < ARRAY_SIZE(exit_handlers) && exit_handlers[reason]) {
		exit_handlers[reason](vcpu, vcpu->run);
		return;
	}
	snprintf(line, sizeof(line), "exit reason %u (%s) is not served",
		 reason, exits_name(reason));
	run_fail(vcpu, STATUS_CPU_ERROR, line);
}

static void run_error(struct vcpu *vcpu, int err)
{
	char line[64];

	snprintf(line, sizeof(line), "KVM_RUN failed: %s", strerror(-err));
	run_fail(vcpu, STATUS_CPU_ERROR, line);
}

static void *run_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct exits *exits = &vcpu->exits;

	profile_begin(vcpu->vm, vcpu);
	while (!vm_ended(vcpu->vm)) {
		int r;

		suspend_wait(vcpu);
		r = kvmfd_ioctl_val(&vcpu->fd, KVM_RUN, 0);
		if (r == -EINTR || r == -EAGAIN) {
			exits->interrupted++;
			continue;
		}
		if (r < 0) {
			run_error(vcpu, r);
			break;
		}
		exits_note(exits, vcpu->run, loop_now_ns());
		run_handle(vcpu);
		exits_done(exits, loop_now_ns());
	}
	profile_end();
	return NULL;
}

int run_start(struct vcpu *vcpu)
{
	int err = pthread_create(&vcpu->thread, NULL, run_thread, vcpu);

	if (err)
		return log_error(-err, "cannot start a thread for CPU %u: %s",
				 vcpu->id, strerror(err));
	vcpu->started = true;
	return 0;
}

void run_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->started)
		pthread_kill(vcpu->thread, SIG_KICK);
}

bool run_stop(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return true;
	for (unsigned i = 0; i < KICK_TRIES; i++) {
		struct timespec ts;

		run_kick(vcpu);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += KICK_AGAIN_NS;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_nsec -= 1000000000;
			ts.tv_sec++;
		}
		if (pthread_timedjoin_np(vcpu->thread, NULL, &ts) == 0) {
			vcpu->started = false;
			return true;
		}
	}
	return false;
}

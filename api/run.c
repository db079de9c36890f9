#include "api/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "api/copy.h"
#include "api/regs.h"
#include "api/stats.h"
#include "irqchip/lapic.h"
#include "root/inject.h"
#include "root/run.h"
#include "root/vm_irq.h"

/* Turns struct user_exit into the kvm_run page, and the answer back. */

_Static_assert(USER_MSR_INVAL == KVM_MSR_EXIT_REASON_INVAL &&
		       USER_MSR_UNKNOWN == KVM_MSR_EXIT_REASON_UNKNOWN &&
		       USER_MSR_FILTER == KVM_MSR_EXIT_REASON_FILTER,
	       "root mode numbers MSR exits as the API does");

static void put_io(struct api_vcpu *av)
{
	const struct io_access *io = &av->vcpu->cpu->io;
	struct kvm_run *run = av->run;

	run->io.direction = io->in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = io->size;
	run->io.port = io->port;
	run->io.count = io->count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
	memcpy(pio_page(av), io->data, io->size * io->count);
}

static void put_mmio(struct api_vcpu *av)
{
	const struct user_exit *e = &av->vcpu->uexit;
	struct kvm_run *run = av->run;

	run->mmio.phys_addr = e->mmio.gpa;
	run->mmio.len = e->mmio.len;
	run->mmio.is_write = e->mmio.write;
	memcpy(run->mmio.data, e->mmio.data, sizeof(run->mmio.data));
}

static void put_internal_error(struct api_vcpu *av)
{
	const struct user_exit *e = &av->vcpu->uexit;
	struct kvm_run *run = av->run;

	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 0;
	run->emulation_failure.flags = 0;
	if (!e->insn.len)
		return;
	/* The flags and two words with length and bytes. */
	run->emulation_failure.ndata = 3;
	run->emulation_failure.flags =
		KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = e->insn.len;
	memset(run->emulation_failure.insn_bytes, 0x90,
	       sizeof(run->emulation_failure.insn_bytes));
	memcpy(run->emulation_failure.insn_bytes, e->insn.bytes, e->insn.len);
}

static void put_debug(struct api_vcpu *av)
{
	const struct user_exit *e = &av->vcpu->uexit;

	av->run->debug.arch = (struct kvm_debug_exit_arch){
		.exception = e->debug.vector,
		.pc = e->debug.pc,
		.dr6 = e->debug.dr6,
		.dr7 = e->debug.dr7,
	};
}

static void put_msr(struct api_vcpu *av)
{
	const struct user_exit *e = &av->vcpu->uexit;
	struct kvm_run *run = av->run;

	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = e->msr.reason;
	run->msr.index = e->msr.index;
	run->msr.data = e->msr.data;
}

static void put_eoi(struct api_vcpu *av)
{
	av->run->eoi.vector = av->vcpu->uexit.ioapic_vector;
}

static void put_hv_synic(struct api_vcpu *av)
{
	const struct vcpu_hv *hv = &av->vcpu->hv;

	av->run->hyperv = (struct kvm_hyperv_exit){
		.type = KVM_EXIT_HYPERV_SYNIC,
		.u.synic = { .msr = hv->exit_msr,
			     .control = hv->control,
			     .evt_page = hv->event_page,
			     .msg_page = hv->message_page },
	};
}

static void put_hv_call(struct api_vcpu *av)
{
	const struct user_exit *e = &av->vcpu->uexit;

	av->run->hyperv = (struct kvm_hyperv_exit){
		.type = KVM_EXIT_HYPERV_HCALL,
		.u.hcall = { .input = e->hv.input,
			     .params = { e->hv.param[0], e->hv.param[1] } },
	};
}

static const struct {
	uint32_t reason;
	void (*put)(struct api_vcpu *av);
} exits[NR_UEXIT_KINDS] = {
	[UEXIT_IO] = { KVM_EXIT_IO, put_io },
	[UEXIT_MMIO] = { KVM_EXIT_MMIO, put_mmio },
	[UEXIT_HLT] = { KVM_EXIT_HLT, NULL },
	[UEXIT_IRQ_WINDOW] = { KVM_EXIT_IRQ_WINDOW_OPEN, NULL },
	[UEXIT_SHUTDOWN] = { KVM_EXIT_SHUTDOWN, NULL },
	[UEXIT_INTERNAL_ERROR] = { KVM_EXIT_INTERNAL_ERROR,
				   put_internal_error },
	[UEXIT_DEBUG] = { KVM_EXIT_DEBUG, put_debug },
	[UEXIT_INTR] = { KVM_EXIT_INTR, NULL },
	[UEXIT_SET_TPR] = { KVM_EXIT_SET_TPR, NULL },
	[UEXIT_RDMSR] = { KVM_EXIT_X86_RDMSR, put_msr },
	[UEXIT_WRMSR] = { KVM_EXIT_X86_WRMSR, put_msr },
	[UEXIT_IOAPIC_EOI] = { KVM_EXIT_IOAPIC_EOI, put_eoi },
	[UEXIT_DIRTY_RING_FULL] = { KVM_EXIT_DIRTY_RING_FULL, NULL },
	[UEXIT_HV_SYNIC] = { KVM_EXIT_HYPERV, put_hv_synic },
	[UEXIT_HV_CALL] = { KVM_EXIT_HYPERV, put_hv_call },
};

/* take_answer - what user mode left in the page for the last exit. */
static void take_answer(struct api_vcpu *av)
{
	struct vcpu *v = av->vcpu;
	struct io_access *io = &v->cpu->io;
	struct user_exit *e = &v->uexit;

	if (!v->complete)
		return;
	if (e->kind == UEXIT_IO && io->in)
		memcpy(io->data, pio_page(av), io->size * io->count);
	if (e->kind == UEXIT_MMIO && !e->mmio.write)
		memcpy(e->mmio.data, av->run->mmio.data, sizeof(e->mmio.data));
	if (e->kind == UEXIT_RDMSR || e->kind == UEXIT_WRMSR) {
		e->msr.error = av->run->msr.error;
		e->msr.data = av->run->msr.data;
	}
	if (e->kind == UEXIT_HV_CALL)
		e->hv.result = av->run->hyperv.u.hcall.result;
}

/*
 * sync_in - registers that user mode changed in the page.  The page may change
 * under us: each structure is copied before it is checked.
 */
static int sync_in(struct api_vcpu *av)
{
	struct kvm_run *run = av->run;
	uint64_t dirty = run->kvm_dirty_regs;
	struct vcpu *v = av->vcpu;
	int r = 0;

	if ((run->kvm_valid_regs | dirty) & ~KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (dirty & KVM_SYNC_X86_REGS) {
		struct kvm_regs regs = run->s.regs.regs;

		regs_set(v, &regs);
		run->kvm_dirty_regs &= ~KVM_SYNC_X86_REGS;
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs = run->s.regs.sregs;

		if (sregs_set(v, &sregs))
			return -EINVAL;
		run->kvm_dirty_regs &= ~KVM_SYNC_X86_SREGS;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		struct kvm_vcpu_events events = run->s.regs.events;

		r = events_set(v, &events);
		if (!r)
			run->kvm_dirty_regs &= ~KVM_SYNC_X86_EVENTS;
	}
	return r;
}

static void sync_out(struct api_vcpu *av)
{
	struct kvm_run *run = av->run;
	uint64_t valid = run->kvm_valid_regs;

	if (valid & KVM_SYNC_X86_REGS)
		regs_get(av->vcpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_get(av->vcpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_get(av->vcpu, &run->s.regs.events);
}

/* save_state - the fields that every exit refreshes. */
static void save_state(struct api_vcpu *av)
{
	struct vcpu *v = av->vcpu;
	struct kvm_run *run = av->run;

	run->if_flag = !!(v->cpu->rflags & RFLAGS_IF);
	run->flags = 0;
	run->cr8 = v->apic ? lapic_cr8(v->apic) : v->cpu->cr8;
	run->apic_base = v->apic ? lapic_base(v->apic) : v->cpu->apic_base;
	run->ready_for_interrupt_injection =
		vm_has_pic(v->vm) || vcpu_ready_for_irq(v);
}

/* The page's inputs, as they are at entry. */
static int load_state(struct api_vcpu *av)
{
	struct vcpu *v = av->vcpu;
	int r = 0;

	lock_take(&v->mem_lock);
	if (v->mp_state != MP_UNINITIALIZED)
		r = sync_in(av);
	if (!r && !v->apic) {
		if (av->run->cr8 > 15)
			r = -EINVAL;
		else
			v->cpu->cr8 = av->run->cr8;
	}
	lock_drop(&v->mem_lock);
	v->want_irq_window =
		av->run->request_interrupt_window && !vm_has_pic(v->vm);
	return r;
}

/* mask_signals - KVM_SET_SIGNAL_MASK's set becomes the thread's for the run. */
static bool mask_signals(const struct vcpu *v, sigset_t *old)
{
	sigset_t set, pending;
	int sig;

	if (!v->has_sigmask)
		return true;
	sigemptyset(&set);
	memcpy(&set, &v->sigmask, sizeof(v->sigmask));
	sigpending(&pending);
	/*
	 * What is pending already and unblocked by the set ends the run before
	 * it begins, without its handler: the client will fetch it itself.
	 */
	for (sig = 1; sig <= 64; sig++) {
		if (sigismember(&pending, sig) == 1 && !sigismember(&set, sig))
			return false;
	}
	pthread_sigmask(SIG_SETMASK, &set, old);
	return true;
}

static int run_masked(struct vcpu *v)
{
	sigset_t old;
	int r;

	vcpu_run_begin(v);
	if (mask_signals(v, &old)) {
		r = vcpu_run(v);
		if (v->has_sigmask)
			pthread_sigmask(SIG_SETMASK, &old, NULL);
	} else {
		v->uexit.kind = UEXIT_INTR;
		r = -EINTR;
	}
	vcpu_run_end();
	return r;
}

int run_vcpu(void *object, void *arg, void *user)
{
	struct api_vcpu *av = object;
	struct vcpu *v = av->vcpu;
	int r;

	if (user)
		return -EINVAL;
	r = load_state(av);
	if (!r) {
		take_answer(av);
		v->uexit.kind = v->complete ? v->uexit.kind : UEXIT_NONE;
		r = run_masked(v);
	}
	if ((r == 0 || r == -EINTR) && v->uexit.kind != UEXIT_NONE) {
		av->run->exit_reason = exits[v->uexit.kind].reason;
		if (exits[v->uexit.kind].put)
			exits[v->uexit.kind].put(av);
	}
	lock_take(&v->mem_lock);
	sync_out(av);
	save_state(av);
	lock_drop(&v->mem_lock);
	stats_update(av);
	return r;
}

int run_set_signal_mask(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_signal_mask *mask = user;
	struct kvm_signal_mask head;

	v->has_sigmask = false;
	if (!user)
		return 0;
	if (copy_from_user(&head, mask, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(v->sigmask))
		return -EINVAL;
	if (copy_from_user(&v->sigmask, mask->sigset, sizeof(v->sigmask)))
		return -EFAULT;
	v->has_sigmask = true;
	return 0;
}

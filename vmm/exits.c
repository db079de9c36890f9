#include "vmm/exits.h"

#include <stdio.h>
#include <string.h>

static const char *const exit_names[EXITS_REASONS] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN",
	[KVM_EXIT_EXCEPTION] = "EXCEPTION",
	[KVM_EXIT_IO] = "IO",
	[KVM_EXIT_HYPERCALL] = "HYPERCALL",
	[KVM_EXIT_DEBUG] = "DEBUG",
	[KVM_EXIT_HLT] = "HLT",
	[KVM_EXIT_MMIO] = "MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_SET_TPR] = "SET_TPR",
	[KVM_EXIT_TPR_ACCESS] = "TPR_ACCESS",
	[KVM_EXIT_NMI] = "NMI",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	[KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
	[KVM_EXIT_HYPERV] = "HYPERV",
	[KVM_EXIT_X86_RDMSR] = "X86_RDMSR",
	[KVM_EXIT_X86_WRMSR] = "X86_WRMSR",
	[KVM_EXIT_DIRTY_RING_FULL] = "DIRTY_RING_FULL",
	[KVM_EXIT_X86_BUS_LOCK] = "X86_BUS_LOCK",
	[KVM_EXIT_XEN] = "XEN",
	[KVM_EXIT_NOTIFY] = "NOTIFY",
};

const char *exits_name(unsigned reason)
{
	if (reason >= EXITS_REASONS || !exit_names[reason])
		return "other";
	return exit_names[reason];
}

static unsigned exits_slot(uint32_t reason)
{
	return reason < EXITS_REASONS ? reason : KVM_EXIT_UNKNOWN;
}

void exits_note(struct exits *x, const struct kvm_run *run, uint64_t now_ns)
{
	struct exit_record *r = &x->recent[x->total++ % EXITS_RECENT];
	const uint8_t *data;

	*r = (struct exit_record){ .time_ns = now_ns,
				   .reason = run->exit_reason };
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		r->is_write = run->io.direction == KVM_EXIT_IO_OUT;
		r->len = run->io.size;
		r->addr = run->io.port;
		data = (const uint8_t *)run + run->io.data_offset;
		if (r->is_write)
			memcpy(&r->val, data, r->len <= 4 ? r->len : 4);
		break;
	case KVM_EXIT_MMIO:
		r->is_write = run->mmio.is_write;
		r->len = run->mmio.len;
		r->addr = run->mmio.phys_addr;
		if (r->is_write)
			memcpy(&r->val, run->mmio.data,
			       r->len <= 8 ? r->len : 8);
		break;
	}
	x->count[exits_slot(r->reason)]++;
}

void exits_done(struct exits *x, uint64_t now_ns)
{
	const struct exit_record *r = &x->recent[(x->total - 1) % EXITS_RECENT];

	x->time_ns[exits_slot(r->reason)] += now_ns - r->time_ns;
}

void exits_text(const struct exit_record *r, char *buf, size_t size)
{
	const char *what = exits_name(r->reason);
	int n;

	if (r->reason != KVM_EXIT_IO && r->reason != KVM_EXIT_MMIO) {
		snprintf(buf, size, "%s", what);
		return;
	}
	n = snprintf(buf, size, "%s %s %#llx, %u byte%s", what,
		     r->is_write ? "write" : "read",
		     (unsigned long long)r->addr, r->len,
		     r->len == 1 ? "" : "s");
	if (r->is_write && n > 0 && (size_t)n < size)
		snprintf(buf + n, size - n, ": %#llx",
			 (unsigned long long)r->val);
}

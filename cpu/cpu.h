#pragma once

#include "base/types.h"
#include "mmu/access.h"
#include "mmu/mmu.h"
#include "x86/defs.h"
#include "x86/fault.h"
#include "x86/insn.h"

/*
 * struct cpu: the guest processor's state.  Translated code reaches it through
 * the host's GS base, so hot fields come first (one-byte displacements).
 * Only the vCPU's own thread touches it, except exit_req.
 *
 * Invariants
 * 1. While translated code runs, general registers and status flags live in
 *    host registers; in C they are here, exact, at an instruction boundary.
 * 2. rflags holds every flag; DF is mirrored in df_step.
 * 3. Vector state is in the host's registers if fpu_live, else in *xsave.
 * 4. cpl is authoritative; SS.DPL agrees with it in protected mode.
 */

enum exit_reason {
#define EXIT_REASON(name, str) EXIT_##name,
#include "cpu/exit.def"
#undef EXIT_REASON
	NR_EXIT_REASONS,
};

/* What cpu->doing holds besides exit reasons. */
enum cpu_doing {
	DOING_LOOP = NR_EXIT_REASONS, /* non-root mode, between two blocks */
	DOING_ROOT,		      /* root mode, before entry */
	NR_DOINGS,
};

struct seg {
	uint64_t base;
	uint32_t limit; /* in bytes, scaled by G already */
	uint32_t ar;	/* AR_* bits, VMCS layout */
	uint16_t sel;
};

struct dtable {
	uint64_t base;
	uint16_t limit;
};

/* An event on its way into the guest (SDM 3C "VM-Entry Controls for Event
 * Injection"). */
enum event_type {
	EVENT_NONE,
	EVENT_INTR, /* external interrupt */
	EVENT_NMI,
	EVENT_EXCEPTION, /* hardware exception: fault, or trap #DB */
	EVENT_SOFT_INT,	 /* INT n: DPL check, RIP of the next instruction */
	EVENT_SOFT_EXC,	 /* INT3, INTO: likewise */
	EVENT_PRIV_EXC,	 /* ICEBP: no DPL check */
};

struct event {
	uint8_t type; /* enum event_type */
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint8_t insn_len; /* soft events: return RIP is rip + insn_len */
};

/* A port access root mode has to serve. */
struct io_access {
	uint16_t port;
	uint8_t size; /* 1, 2, 4 */
	bool in;
	bool string;
	uint32_t count;	    /* elements; 1 unless a REP INS/OUTS is batched */
	uint8_t data[4096]; /* OUT: to write; IN: the answer */
	/*
	 * IN: 0 = nothing asked, 1 = asked (CPU_EXIT), 2 = answered: the
	 * instruction is executed again and consumes the answer.
	 */
	uint8_t state;
};

/* What CPU_EXIT asks of root mode. */
struct cpu_exit {
	uint16_t reason; /* enum exit_reason */
	uint32_t msr;	 /* EXIT_MSR_READ, EXIT_MSR_WRITE */
	uint64_t value;	 /* EXIT_MSR_WRITE: EDX:EAX; EXIT_CR_ACCESS: new CR8 */
};

/* A vCPU starts with this window. */
#define SPIN_WINDOW (1u << 16)

/* How long the guest has been executing PAUSE, in cycles; see op_pause(). */
struct cpu_spin {
	uint64_t start, last;
	uint32_t window; /* so long is an exit; 0: nothing is */
	uint32_t exits;	 /* since it began */
	bool begins;	 /* no exit since then */
};

struct cpuid_entry {
	uint32_t function, index;
	bool indexed;
	uint32_t eax, ebx, ecx, edx;
};

#define MAX_CPUID_ENTRIES 128

struct cpu {
	/* Hot: addressed by translated code with one-byte displacements. */
	uint64_t gpr[NR_GPRS];
	/* Two-byte-displacement territory from here on. */
	uint64_t rip;	   /* instruction pointer (offset in CS) */
	uint64_t next_rip; /* helpers: where to go on; see cpu/op.h */
	uint64_t rflags;
	int64_t df_step;	    /* +1, or -1 with RFLAGS.DF */
	uint64_t page_mask;	    /* PEXT mask of the TLB index */
	volatile uint32_t exit_req; /* non-zero: leave translated code soon */
	struct seg seg[NR_SEGS];

	uint64_t dbt[80]; /* scratch and links private to dbt/ */

	struct dtable gdt, idt;
	uint64_t cr0, cr2, cr4, cr8, efer, xcr0;
	uint64_t role_cr0, role_cr4, role_efer; /* what mmu.role is made of */
	uint64_t dr[4], dr6, dr7;
	/* KVM_GUESTDBG_USE_HW_BP: a debugger's registers replace the guest's
	 * and what they hit is an exit; host_dr7 is 0 without. */
	uint64_t host_dr[4], host_dr7;
	uint8_t cpl;
	uint8_t code_size; /* enum code_size, derived from CS and EFER */
	bool fpu_live;
	bool halted;	 /* HLT executed, waits for an event */
	bool irq_window; /* root mode wants EXIT_INTERRUPT_WINDOW as soon as
			    IF is set and no shadow covers the next insn */
	bool nmi_window; /* likewise once nmi_blocked is clear */
	bool singlestep; /* KVM_GUESTDBG_SINGLESTEP: exit after each insn */
	bool debug_bp;	 /* KVM_GUESTDBG_USE_SW_BP: INT3 exits, fault.vector
			    is #BP */
	bool careful;	 /* execute everything in careful form */
	bool vmware_backdoor; /* its ports are open to user mode */
	bool fep;	      /* UD2 "kvm" executes what follows, carefully */

	/* Event delivery state. */
	bool sti_shadow, movss_shadow; /* cover the next instruction */
	bool nmi_blocked;
	uint8_t nmi_pending; /* NMIs that wait, two at most */
	bool in_smm;
	struct event
		injecting; /* delivery was interrupted, retry (IDT vectoring) */
	struct event pending; /* queued exception, by SET_VCPU_EVENTS or ops */
	uint64_t pending_dbg; /* DR6 bits of traps to raise once the current
				 instruction is done; see cpu/debug.h */

	/* MSRs that only the processor knows. */
	uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, misc_enable, mtrr_def_type, mtrr_var[16], mtrr_fix[11];
	uint64_t spec_ctrl, mcg_status, mcg_ctl, mce_bank[4 * 32], mcg_cap;
	uint64_t debugctl, ucode_rev, smbase, feat_ctl, tsc_adjust, xss;
	uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */
	uint64_t apic_base;  /* IA32_APIC_BASE, kept with the local APIC */
	uint64_t arch_caps, platform_info, misc_features;
	uint64_t hwcr, syscfg, de_cfg; /* AMD */
	uint32_t tsc_khz;	       /* 0: unknown */
	bool msr_exits; /* root mode filters MSRs: each RDMSR and WRMSR of
			   the guest is a CPU_EXIT */

	struct cpuid_entry cpuid[MAX_CPUID_ENTRIES];
	uint32_t nr_cpuid;
	uint64_t feat[4]; /* bit per enum x86_feat offered to the guest */
	uint8_t maxphyaddr;
	uint64_t cr4_rsvd; /* CR4 bits the guest's CPUID does not offer */
	uint64_t supported_xcr0;

	struct mmu mmu;
	struct mmio mmio;
	struct x86_fault fault;
	struct cpu_exit exit;
	struct io_access io;
	struct cpu_spin spin;
	uint64_t exits[NR_EXIT_REASONS]; /* counters */
	/* what C code does for the guest: an exit reason or enum cpu_doing; for
	 * profiles alone */
	uint8_t doing;

	void *xsave; /* 64-byte aligned, host's standard format */
	uint32_t xsave_size;
	uint32_t host_mxcsr; /* the host's own, while fpu_live */
	uint16_t host_fcw;
	void *vcpu; /* root mode's struct vcpu */
};

static inline bool cpu_long_mode(const struct cpu *c)
{
	return c->efer & EFER_LMA;
}

static inline bool cpu_protected(const struct cpu *c)
{
	return c->cr0 & CR0_PE;
}

static inline bool cpu_vm86(const struct cpu *c)
{
	return c->rflags & RFLAGS_VM;
}

static inline bool cpu_64bit(const struct cpu *c)
{
	return c->code_size == CODE64;
}

static inline unsigned int cpu_iopl(const struct cpu *c)
{
	return (c->rflags & RFLAGS_IOPL) >> RFLAGS_IOPL_SHIFT;
}

/* has_feat - whether the guest's CPUID offers a feature (enum x86_feat). */
static inline bool has_feat(const struct cpu *c, unsigned int feat)
{
	return c->feat[feat / 64] & BIT(feat % 64);
}

/* Raise an exception: `return cpu_raise(c, VEC_UD);` */
static inline enum cpu_result cpu_raise(struct cpu *c, uint8_t vector)
{
	c->fault = (struct x86_fault){ .vector = vector };
	return CPU_FAULT;
}

static inline enum cpu_result cpu_raise_error(struct cpu *c, uint8_t vector,
					      uint32_t error)
{
	c->fault = (struct x86_fault){ .vector = vector,
				       .has_error = true,
				       .error = error };
	return CPU_FAULT;
}

static inline enum cpu_result cpu_raise_gp(struct cpu *c)
{
	return cpu_raise_error(c, VEC_GP, 0);
}

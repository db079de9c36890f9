#pragma once

#include <stdatomic.h>

#include "vmm/boot/acpi.h"
#include "vmm/boot/image.h"
#include "vmm/bus.h"
#include "vmm/cpumodel.h"
#include "vmm/dev/power.h"
#include "vmm/disks.h"
#include "vmm/fw/firmware.h"
#include "vmm/irq.h"
#include "vmm/kvmfd.h"
#include "vmm/loop.h"
#include "vmm/profile.h"
#include "vmm/ram.h"
#include "vmm/stats.h"
#include "vmm/suspend.h"
#include "vmm/term.h"
#include "vmm/vcpu.h"

/* Highest number of CPUs: APIC ids of 8 bits, one more for the I/O APIC. */
#define VM_CPUS_MAX 254

struct vm_config {
	enum accel accel;
	bool careful;	       /* the engine's second executor */
	bool forced_emulation; /* the prefix UD2 "kvm" has one careful insn */
	bool vmware_backdoor;
	uint64_t mem_size;
	unsigned nr_cpus;
	struct cpumodel cpu;
	struct boot_config boot;
	const char *firmware;	   /* path, or NULL: boot a kernel */
	const char *firmware_vars; /* file of its variables, or NULL */
	const char *firmware_log;  /* where its messages go, or NULL */
	struct disk_config disks[DISKS_MAX];
	unsigned nr_disks;
	enum stats_format stats;
	struct profile_config profile;
};

/* One virtual machine, from its KVM handles to its devices. */
struct vm {
	const struct vm_config *config;
	struct kvmfd sys, fd;
	struct ram ram;
	struct slots slots;
	struct firmware firmware;
	struct bus pio, mmio;
	struct irq_sink irq;
	struct power_sink power_sink;
	struct loop loop;
	struct term term;
	bool term_started;
	int signal_fd;
	struct machine machine;
	struct boot boot;
	gpa_t facs;
	struct serial *serial;
	struct rtc *rtc;
	struct power *power;
	struct i8042 *i8042;
	struct pci *pci;
	struct chipset *chipset;
	struct disks disks;
	struct debugcon *debugcon;
	struct testdev *testdev;
	struct hvtest *hvtest; /* NULL without Hyper-V's interface */
	struct fwcfg *fwcfg;
	struct fwlog *fwlog;
	struct vcpu *vcpus;
	unsigned nr_vcpus;
	struct suspend suspend;
	struct profile profile;
	atomic_int status; /* VM_RUNNING, or how it ended */
	uint64_t wall_ns;
};
#define VM_RUNNING (-1)

/* vm_run - build the machine, run it, take it down; the exit status. */
int vm_run(const struct vm_config *config);

/* vm_cpu_help - what --cpu can say, on stdout; an exit status. */
int vm_cpu_help(enum accel accel);

/*
 * vm_end - the run is over, with this status; any thread.  True for the
 * first caller, whose status counts.
 */
bool vm_end(struct vm *vm, int status);

static inline int vm_status(struct vm *vm)
{
	return atomic_load(&vm->status);
}

static inline bool vm_ended(struct vm *vm)
{
	return vm_status(vm) != VM_RUNNING;
}

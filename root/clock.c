#include "root/clock.h"

#include <errno.h>

#include "cpu/cpu.h"
#include "irqchip/lapic.h"
#include "mmu/access.h"

/* struct pvclock_vcpu_time_info and its flags. */
struct time_page {
	uint32_t version; /* odd while it is being written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time_ns;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};

#define TIME_TSC_STABLE	   BIT(0)
#define TIME_GUEST_STOPPED BIT(1)
_Static_assert(sizeof(struct time_page) == 32, "guest ABI");

/* struct pvclock_wall_clock: when guest time was 0. */
struct wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

#define SYSTEM_TIME_ENABLED BIT(0)

/* TSC writes this close to what the last one would read now are meant to
 * synchronise: KVM's rule of one second. */
#define SYNC_WINDOW_CYCLES(hz) (hz)

static uint64_t guest_ns_at(const struct vm_clock *vm, uint64_t host_tsc)
{
	return vm->base_ns + time_scale(vm->scale, host_tsc - vm->base_tsc);
}

/* All vCPUs have to publish; @vm->lock is held. */
static void invalidate(struct vm_clock *vm)
{
	__atomic_add_fetch(&vm->generation, 1, __ATOMIC_RELEASE);
}

void clock_vm_init(struct vm_clock *vm)
{
	*vm = (struct vm_clock){
		.scale = time_scale_init(tsc_hz(), NSEC_PER_SEC),
		.base_tsc = tsc_read(),
		.generation = 1,
		.tsc_synced = true,
	};
	pthread_mutex_init(&vm->lock, NULL);
}

void clock_vm_finish(struct vm_clock *vm)
{
	pthread_mutex_destroy(&vm->lock);
}

static void check_synced(struct vm_clock *vm)
{
	const struct vcpu_clock *first = vm->vcpus;

	vm->tsc_synced = true;
	for (const struct vcpu_clock *vc = first; vc; vc = vc->next)
		if (vc->tsc_offset != first->tsc_offset)
			vm->tsc_synced = false;
}

/* @vm->lock is held. */
static void set_offset(struct vcpu_clock *vc, uint64_t offset)
{
	if (vc->tsc_offset == offset && vc->cpu->tsc_offset == offset)
		return;
	vc->tsc_offset = offset;
	vc->cpu->tsc_offset = offset;
	if (vc->lapic)
		lapic_set_tsc_offset(vc->lapic, offset);
	check_synced(vc->vm);
	invalidate(vc->vm);
}

/*
 * The offset for a TSC write of @value by user mode.  0 always means "in step
 * with the others"; another value does if it is what the last one has become
 * by now, give or take a second.
 */
static uint64_t sync_offset(struct vm_clock *vm, uint64_t value)
{
	uint64_t now_ns = time_now_ns(), hz = tsc_hz();
	uint64_t offset = value - tsc_read();
	bool sync = false;

	if (!value) {
		sync = vm->write_ns != 0;
	} else if (vm->user_wrote) {
		uint64_t expected =
			vm->write_value + ns_to_tsc(now_ns - vm->write_ns);

		sync = value < expected + SYNC_WINDOW_CYCLES(hz) &&
		       value + SYNC_WINDOW_CYCLES(hz) > expected;
	}
	if (sync)
		offset = vm->write_offset;
	vm->write_ns = now_ns;
	vm->write_value = value;
	vm->write_offset = offset;
	return offset;
}

void clock_vcpu_init(struct vcpu_clock *vc, struct vm_clock *vm,
		     struct cpu *cpu, struct lapic *lapic)
{
	*vc = (struct vcpu_clock){ .vm = vm, .cpu = cpu, .lapic = lapic };
	pthread_mutex_lock(&vm->lock);
	vc->next = vm->vcpus;
	vm->vcpus = vc;
	set_offset(vc, sync_offset(vm, 0));
	pthread_mutex_unlock(&vm->lock);
}

void clock_vcpu_finish(struct vcpu_clock *vc)
{
	struct vm_clock *vm = vc->vm;

	if (!vm)
		return;
	pthread_mutex_lock(&vm->lock);
	for (struct vcpu_clock **p = &vm->vcpus; *p; p = &(*p)->next) {
		if (*p == vc) {
			*p = vc->next;
			break;
		}
	}
	check_synced(vm);
	pthread_mutex_unlock(&vm->lock);
}

uint64_t clock_guest_tsc(const struct vcpu_clock *vc)
{
	return tsc_read() + vc->tsc_offset;
}

void clock_set_tsc_offset(struct vcpu_clock *vc, uint64_t offset)
{
	struct vm_clock *vm = vc->vm;

	pthread_mutex_lock(&vm->lock);
	vm->write_ns = time_now_ns();
	vm->write_value = tsc_read() + offset;
	vm->write_offset = offset;
	vm->user_wrote = true;
	set_offset(vc, offset);
	pthread_mutex_unlock(&vm->lock);
}

/* SDM 3B "IA32_TSC_ADJUST Register": a write to the TSC shows up there. */
static void write_tsc(struct vcpu_clock *vc, uint64_t value, bool host)
{
	struct vm_clock *vm = vc->vm;
	uint64_t delta;

	pthread_mutex_lock(&vm->lock);
	if (host) {
		set_offset(vc, sync_offset(vm, value));
		vm->user_wrote = true;
	} else {
		delta = value - clock_guest_tsc(vc);
		vc->cpu->tsc_adjust += delta;
		set_offset(vc, vc->tsc_offset + delta);
	}
	pthread_mutex_unlock(&vm->lock);
}

static void write_tsc_adjust(struct vcpu_clock *vc, uint64_t value, bool host)
{
	uint64_t delta = value - vc->cpu->tsc_adjust;

	vc->cpu->tsc_adjust = value;
	if (host)
		return;
	pthread_mutex_lock(&vc->vm->lock);
	set_offset(vc, vc->tsc_offset + delta);
	pthread_mutex_unlock(&vc->vm->lock);
}

/* The next version number of a structure in guest memory that is not being
 * written: even, and greater by what two writes add. */
static uint32_t even_version(uint32_t version)
{
	return version + (version & 1);
}

static void publish_wall_clock(struct vcpu_clock *vc, gpa_t gpa)
{
	struct mmu *mmu = &vc->cpu->mmu;
	struct vm_clock *vm = vc->vm;
	struct wall_clock w;
	uint64_t ns;

	if (!gpa || mem_read_phys(mmu, gpa, &w, sizeof(w)))
		return;
	w.version = even_version(w.version) + 1;
	if (mem_write_phys(mmu, gpa, &w.version, sizeof(w.version)))
		return;
	pthread_mutex_lock(&vm->lock);
	ns = time_real_ns() - guest_ns_at(vm, tsc_read());
	pthread_mutex_unlock(&vm->lock);
	w.sec = (uint32_t)(ns / NSEC_PER_SEC);
	w.nsec = (uint32_t)(ns % NSEC_PER_SEC);
	mem_write_phys(mmu, gpa, &w, sizeof(w));
	w.version++;
	mem_write_phys(mmu, gpa, &w.version, sizeof(w.version));
}

/* The page's contents; the version is the caller's. */
static struct time_page current_page(struct vcpu_clock *vc)
{
	struct vm_clock *vm = vc->vm;
	struct time_page page;

	pthread_mutex_lock(&vm->lock);
	vc->generation = vm->generation;
	page = (struct time_page){
		.tsc_timestamp = vm->base_tsc + vc->tsc_offset,
		.system_time_ns = vm->base_ns,
		.tsc_to_system_mul = vm->scale.mul,
		.tsc_shift = vm->scale.shift,
		.flags = vm->tsc_synced ? TIME_TSC_STABLE : 0,
	};
	pthread_mutex_unlock(&vm->lock);
	if (vc->guest_stopped)
		page.flags |= TIME_GUEST_STOPPED;
	return page;
}

/*
 * Another vCPU may be reading the page (the vDSO does): the version is odd
 * while the rest is inconsistent.  x86 keeps stores in order; the compiler has
 * to be told.
 */
void clock_publish(struct vcpu_clock *vc)
{
	struct time_page page = current_page(vc);
	struct mmu *mmu = &vc->cpu->mmu;
	gpa_t gpa = vc->system_time_msr & ~SYSTEM_TIME_ENABLED;

	if (!(vc->system_time_msr & SYSTEM_TIME_ENABLED) ||
	    mem_read_phys(mmu, gpa, &page.version, sizeof(page.version)))
		return;
	page.version = even_version(page.version) + 1;
	mem_write_phys(mmu, gpa, &page.version, sizeof(page.version));
	__asm__ volatile("" : : : "memory");
	if (mem_write_phys(mmu, gpa, &page, sizeof(page)))
		return;
	__asm__ volatile("" : : : "memory");
	page.version++;
	mem_write_phys(mmu, gpa, &page.version, sizeof(page.version));
	vc->guest_stopped = false;
}

/* Publishing waits for the next entry: memory may not be there yet. */
static void write_system_time(struct vcpu_clock *vc, uint64_t value)
{
	vc->system_time_msr = value;
	vc->guest_stopped = false;
	vc->generation =
		__atomic_load_n(&vc->vm->generation, __ATOMIC_RELAXED) - 1;
}

enum msr_result clock_msr_read(struct vcpu_clock *vc, uint32_t msr,
			       uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = clock_guest_tsc(vc);
		return MSR_OK;
	case MSR_TSC_ADJUST:
		*value = vc->cpu->tsc_adjust;
		return MSR_OK;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = vc->vm->wall_clock_msr;
		return MSR_OK;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = vc->system_time_msr;
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

enum msr_result clock_msr_write(struct vcpu_clock *vc, uint32_t msr,
				uint64_t value, bool host)
{
	switch (msr) {
	case MSR_TSC:
		write_tsc(vc, value, host);
		return MSR_OK;
	case MSR_TSC_ADJUST:
		write_tsc_adjust(vc, value, host);
		return MSR_OK;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		vc->vm->wall_clock_msr = value;
		publish_wall_clock(vc, value);
		return MSR_OK;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		write_system_time(vc, value);
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

int clock_stop_notice(struct vcpu_clock *vc)
{
	if (!(vc->system_time_msr & SYSTEM_TIME_ENABLED))
		return -EINVAL;
	vc->guest_stopped = true;
	vc->generation =
		__atomic_load_n(&vc->vm->generation, __ATOMIC_RELAXED) - 1;
	return 0;
}

void clock_get(struct vm_clock *vm, struct clock_reading *out)
{
	pthread_mutex_lock(&vm->lock);
	out->host_tsc = tsc_read();
	out->realtime_ns = time_real_ns();
	out->guest_ns = guest_ns_at(vm, out->host_tsc);
	out->tsc_stable = vm->tsc_synced;
	pthread_mutex_unlock(&vm->lock);
}

void clock_set(struct vm_clock *vm, uint64_t guest_ns, uint64_t realtime_ns)
{
	pthread_mutex_lock(&vm->lock);
	vm->base_tsc = tsc_read();
	if (realtime_ns) {
		uint64_t now = time_real_ns();

		if (now > realtime_ns)
			guest_ns += now - realtime_ns;
	}
	vm->base_ns = guest_ns;
	invalidate(vm);
	pthread_mutex_unlock(&vm->lock);
}

#include "test/guest/lib/smp64.h"

extern u8 smp_trampoline[], smp_trampoline_end[];

volatile u32 smp_online = 1;
u8 smp_stacks[SMP_MAX][8192] __attribute__((aligned(16)));
static struct {
	void (*volatile fn)(unsigned);
	volatile u32 apic_id;
} cpus[SMP_MAX];

void smp_main(unsigned cpu);

static void on_wake(struct frame *f)
{
	apic_eoi();
}

/* Entered by each AP with its index, which the trampoline took. */
void smp_main(unsigned cpu)
{
	lidt(idt, sizeof(idt) - 1);
	apic_enable();
	cpus[cpu].apic_id = apic_id();
	asm volatile("lock incl %0" : "+m"(smp_online) : : "memory", "cc");
	for (;;) {
		void (*fn)(unsigned);

		cli();
		fn = cpus[cpu].fn;
		if (!fn) {
			asm volatile("sti; hlt" : : : "memory");
			continue;
		}
		sti();
		fn(cpu);
		cpus[cpu].fn = NULL;
	}
}

unsigned smp_start(unsigned want, u32 ms)
{
	u32 sipi = ICR_STARTUP | ICR_OTHERS | SMP_TRAMPOLINE >> 12;

	trap_handler(SMP_WAKE, on_wake);
	memcpy((void *)SMP_TRAMPOLINE, smp_trampoline,
	       smp_trampoline_end - smp_trampoline);
	apic_enable();
	cpus[0].apic_id = apic_id();
	apic_send(0, ICR_INIT | ICR_OTHERS | ICR_ASSERT);
	for (u64 end = rdtsc() + 10 * tsc_per_ms(); rdtsc() < end;)
		cpu_pause();
	apic_send(0, sipi);
	wait_until(&smp_online, want, ms);
	return smp_online;
}

void smp_run(unsigned cpu, void (*fn)(unsigned))
{
	cpus[cpu].fn = fn;
	apic_send(cpus[cpu].apic_id, ICR_ASSERT | SMP_WAKE);
}

bool smp_done(unsigned cpu)
{
	return !cpus[cpu].fn;
}

void smp_join(unsigned cpu)
{
	while (!smp_done(cpu))
		cpu_pause();
}

u32 smp_apic_id(unsigned cpu)
{
	return cpus[cpu].apic_id;
}

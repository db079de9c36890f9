#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt.h"

#define NR_VCPUS 4

struct worker {
	struct kt_vm *t;
	int fd;
	struct kvm_run *run;
	int result;
	pthread_t thread;
};

static void on_signal(int sig)
{
	ring3_signal();
}

/* Runs until the guest halts for good or a signal stops it. */
static void *work(void *arg)
{
	struct worker *w = arg;

	do {
		w->result = kt_ioctl(w->fd, KVM_RUN, NULL);
	} while (w->result < 0 && errno == EAGAIN);
	return NULL;
}

/* All vCPUs add to one counter with locked instructions. */
static void atomic_sum(void)
{
	struct worker w[NR_VCPUS];
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rcx = 0xffff };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	/* lock add dword [0x4000],1; loop; hlt */
	memcpy(t.mem + 0x1000, "\xf0\x66\x83\x06\x00\x40\x01\xe2\xf7\xf4", 10);
	for (int i = 0; i < NR_VCPUS; i++) {
		w[i].fd = i ? kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(i)) : t.vcpu;
		w[i].run = kt_mmap(w[i].fd, 0x3000);
		OK(kt_ioctl(w[i].fd, KVM_GET_SREGS, &sregs));
		sregs.cs.base = sregs.cs.selector = 0;
		OK(kt_ioctl(w[i].fd, KVM_SET_SREGS, &sregs));
		OK(kt_ioctl(w[i].fd, KVM_SET_REGS, &regs));
	}
	for (int i = 0; i < NR_VCPUS; i++)
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	for (int i = 0; i < NR_VCPUS; i++) {
		pthread_join(w[i].thread, NULL);
		OK(w[i].result);
		GIVES(w[i].run->exit_reason, KVM_EXIT_HLT);
		munmap(w[i].run, 0x3000);
		if (i)
			OK(kt_close(w[i].fd));
	}
	GIVES(*(uint32_t *)(t.mem + 0x4000), NR_VCPUS * 0xffff);
	kt_vm_close(&t);
}

/* INIT and SIPI through the local APIC's registers start the second vCPU. */
static void startup(void)
{
	struct kvm_lapic_state lapic;
	struct worker w;
	struct kt_vm t;

	/* The guest needs 32-bit addresses for the APIC: by MSI-like calls it
	 * is simpler to preset the state. */
	kt_vm_open(&t, KT_IRQCHIP);
	w.fd = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1));
	w.run = kt_mmap(w.fd, 0x3000);
	memcpy(t.mem + 0x5000, "\xc6\x06\x00\x40\x5a\xe6\x99", 7);
	OK(kt_ioctl(w.fd, KVM_GET_LAPIC, &lapic));
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_SIPI_RECEIVED };
	struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_SIPI_VECTOR,
				     .sipi_vector = 5 };
	OK(kt_ioctl(w.fd, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_ioctl(w.fd, KVM_SET_MP_STATE, &mp));
	OK(kt_ioctl(w.fd, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	struct kvm_sregs s;
	struct kvm_regs r;
	OK(kt_ioctl(w.fd, KVM_GET_SREGS, &s));
	OK(kt_ioctl(w.fd, KVM_GET_REGS, &r));
	GIVES(s.cs.base, 0x5000);
	GIVES(s.cs.selector, 0x500);
	GIVES(r.rip, 0);
	work(&w);
	OK(w.result);
	GIVES(w.run->exit_reason, KVM_EXIT_IO);
	GIVES(w.run->io.port, 0x99);
	GIVES(t.mem[0x4000], 0x5a);
	munmap(w.run, 0x3000);
	kt_close(w.fd);
	kt_vm_close(&t);
}

#define MSI_INIT    0x500
#define MSI_STARTUP 0x600

static void send_msi(struct kt_vm *t, unsigned apic_id, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | apic_id << 12,
			       .data = data };

	KT_CHECK(kt_ioctl(t->vm, KVM_SIGNAL_MSI, &msi) >= 0);
}

/* A second SIPI that comes late is not kept for the next INIT. */
static void stale_startup(void)
{
	struct kvm_mp_state mp;
	struct kvm_sregs s;
	struct kt_vm t;
	int fd;

	kt_vm_open(&t, KT_IRQCHIP);
	fd = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1));
	send_msi(&t, 1, MSI_INIT);
	OK(kt_ioctl(fd, KVM_GET_MP_STATE, &mp));
	/* Some hosts' KVM takes no INIT from a message. */
	if (kt_real && mp.mp_state == KVM_MP_STATE_UNINITIALIZED)
		goto close;
	send_msi(&t, 1, MSI_STARTUP | 5);
	send_msi(&t, 1, MSI_INIT);
	OK(kt_ioctl(fd, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	send_msi(&t, 1, MSI_STARTUP | 6);
	OK(kt_ioctl(fd, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	OK(kt_ioctl(fd, KVM_GET_SREGS, &s));
	GIVES(s.cs.base, 0x6000);
close:
	kt_close(fd);
	kt_vm_close(&t);
}

/* Waits until the guest's counter passes @n, for 10 s at most. */
static void wait_for_more(const uint8_t *counter, uint32_t n)
{
	for (int i = 0; i < 10000; i++) {
		if (*(const volatile uint32_t *)counter > n)
			return;
		usleep(1000);
	}
	KT_CHECK(!"the guest runs");
}

/* Slots come and go while a vCPU runs. */
static void slot_churn(void)
{
	struct kvm_userspace_memory_region r = { .slot = 1,
						 .guest_phys_addr = 0x100000 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct worker w;
	struct kt_vm t;
	uint8_t *host = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sigaction(SIGUSR2, &sa, NULL);
	kt_vm_open(&t, 0);
	/* inc dword [0x4000]; call next; ret-like loop: jmp back */
	KT_CODE(&t, 0x66, 0xff, 0x06, 0x00, 0x40, 0xeb, 0xf9);
	w.fd = t.vcpu;
	w.run = t.run;
	pthread_create(&w.thread, NULL, work, &w);
	wait_for_more(t.mem + 0x4000, 0);
	for (int i = 0; i < 300; i++) {
		r.memory_size = 0x10000;
		r.userspace_addr = (uint64_t)host;
		OK(kt_ioctl(t.vm, KVM_SET_USER_MEMORY_REGION, &r));
		r.memory_size = 0;
		OK(kt_ioctl(t.vm, KVM_SET_USER_MEMORY_REGION, &r));
	}
	/* And the guest goes on. */
	wait_for_more(t.mem + 0x4000, *(volatile uint32_t *)(t.mem + 0x4000));
	pthread_kill(w.thread, SIGUSR2);
	pthread_join(w.thread, NULL);
	GIVES(w.result, -1);
	GIVES(t.run->exit_reason, KVM_EXIT_INTR);
	kt_vm_close(&t);
	munmap(host, 0x10000);
}

void test_smp(void)
{
	atomic_sum();
	startup();
	stale_startup();
	slot_churn();
}

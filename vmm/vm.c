#include "vmm/vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/boot/bios.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/mptable.h"
#include "vmm/cpuid.h"
#include "vmm/dev/debugcon.h"
#include "vmm/dev/fwcfg.h"
#include "vmm/dev/hvtest.h"
#include "vmm/dev/i8042.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/serial.h"
#include "vmm/dev/testdev.h"
#include "vmm/direct.h"
#include "vmm/fw/fwlog.h"
#include "vmm/log.h"
#include "vmm/pci/chipset.h"
#include "vmm/probe.h"
#include "vmm/routing.h"
#include "vmm/run.h"
#include "vmm/status.h"

bool vm_end(struct vm *vm, int status)
{
	int running = VM_RUNNING;

	if (!atomic_compare_exchange_strong(&vm->status, &running, status))
		return false;
	loop_stop(&vm->loop);
	return true;
}

static void vm_end_by_device(void *arg, int status)
{
	vm_end(arg, status);
}

static void vm_set_irq(void *arg, unsigned gsi, bool level)
{
	struct vm *vm = arg;
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	kvmfd_ioctl(&vm->fd, KVM_IRQ_LINE, &irq);
}

static void vm_send_byte(void *arg, uint8_t byte)
{
	struct vm *vm = arg;

	term_write(&vm->term, &byte, 1);
}

static void vm_on_key(void *arg, enum term_key key)
{
	struct vm *vm = arg;

	if (key == TERM_KEY_QUIT)
		vm_end(vm, STATUS_QUIT);
	else
		power_press_button(vm->power);
}

/* Prints which call failed; for those that a usable KVM never refuses. */
static int vm_need(const char *name, int r)
{
	if (r >= 0)
		return 0;
	log_error(0, "%s failed: %s", name, strerror(-r));
	return STATUS_HOST;
}

static int vm_open_accel(struct vm *vm)
{
	enum accel accel = vm->config->accel;
	int r;

	if (accel == ACCEL_AUTO)
		accel = probe_accel();
	r = kvmfd_open(&vm->sys, accel);
	if (r < 0 && accel == ACCEL_KVM) {
		log_error(0, "cannot open /dev/kvm: %s; use --accel ring3",
			  strerror(-r));
		return STATUS_HOST;
	}
	if (r < 0)
		return vm_need("ring3_open", r);
	r = kvmfd_ioctl_val(&vm->sys, KVM_GET_API_VERSION, 0);
	if (r == KVM_API_VERSION)
		return 0;
	log_error(0, "KVM has API version %d; %d is needed", r,
		  KVM_API_VERSION);
	return STATUS_HOST;
}

/* Where every instruction is for the second executor it does not matter. */
static int vm_check_direct(struct vm *vm)
{
	if (strcmp(direct_mode(), "always") != 0 || vm->config->careful)
		return 0;
	if (strcmp(kvmfd_name(&vm->sys), "ring3"))
		return log_error(STATUS_HOST,
				 "--direct always needs --accel ring3");
	return direct_check() ? STATUS_HOST : 0;
}

static int vm_check_cpus(struct vm *vm)
{
	int max = kvmfd_ioctl_val(&vm->sys, KVM_CHECK_EXTENSION,
				  KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = 4; /* what the API says about a KVM that does not tell */
	if (vm->config->nr_cpus <= (unsigned)max)
		return 0;
	log_error(0, "--cpus %u: this KVM runs at most %d", vm->config->nr_cpus,
		  max);
	return STATUS_USAGE;
}

static int vm_set_slots(struct vm *vm)
{
	struct ram_region r[RAM_REGIONS_MAX];
	int nr, err = ram_init(&vm->ram, vm->config->mem_size);

	if (err) {
		log_error(0, "cannot reserve %llu MiB for --mem: %s",
			  (unsigned long long)(vm->config->mem_size >> 20),
			  strerror(-err));
		return STATUS_HOST;
	}
	slots_init(&vm->slots, &vm->fd);
	nr = ram_regions(&vm->ram, r);
	for (int i = 0; i < nr; i++) {
		uint64_t skip = 0;

		/* The rest of the first MiB is the shadow's. */
		if (vm->config->firmware && r[i].gpa == SHADOW_START)
			skip = SHADOW_END - SHADOW_START;
		err = slots_set(&vm->slots, SLOT_RAM + i, r[i].gpa + skip,
				r[i].size - skip, r[i].hva + skip,
				SLOT_WRITABLE);
		if (err < 0)
			return vm_need("KVM_SET_USER_MEMORY_REGION", err);
	}
	return 0;
}

static int vm_create_kvm(struct vm *vm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;
	int r;

	r = vm_need("KVM_CREATE_VM",
		    kvmfd_create(&vm->sys, KVM_CREATE_VM, 0, &vm->fd));
	if (r)
		return r;
	/* Only some processors' KVM has a use for these two. */
	kvmfd_ioctl(&vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	r = vm_need("KVM_SET_TSS_ADDR",
		    kvmfd_ioctl_val(&vm->fd, KVM_SET_TSS_ADDR, LAYOUT_TSS));
	if (!r)
		r = vm_need("KVM_CREATE_IRQCHIP",
			    kvmfd_ioctl_val(&vm->fd, KVM_CREATE_IRQCHIP, 0));
	if (!r)
		r = vm_need("KVM_CREATE_PIT2",
			    kvmfd_ioctl(&vm->fd, KVM_CREATE_PIT2, &pit));
	if (r)
		return r;
	vm->machine.timer_pin = routing_set(&vm->fd, NULL, 0) ? 0 : 2;
	return vm_set_slots(vm);
}

static int vm_create_devices(struct vm *vm)
{
	struct bus *pio = &vm->pio;

	vm->irq = (struct irq_sink){ vm_set_irq, vm };
	vm->power_sink = (struct power_sink){
		.end = vm_end_by_device,
		.sleep = suspend_sleep,
		.wake = suspend_wake,
		.arg = vm,
	};
	vm->serial = serial_new(pio, &vm->irq, vm_send_byte, vm);
	vm->rtc = rtc_new(pio, &vm->irq, &vm->loop);
	vm->power = power_new(pio, &vm->irq, &vm->power_sink);
	vm->i8042 = i8042_new(pio, &vm->irq, vm->power);
	vm->pci = pci_new(pio, &vm->mmio, &vm->irq, vm->power);
	vm->debugcon = debugcon_new(pio, &vm->power_sink, vm_send_byte, vm);
	vm->testdev =
		testdev_new(pio, &vm->mmio, &vm->irq, &vm->ram, vm->debugcon);
	if (vm->config->cpu.hyperv)
		vm->hvtest = hvtest_new(pio, &vm->loop, &vm->fd, &vm->ram,
					vm->config->nr_cpus);
	vm->fwcfg = fwcfg_new(pio, vm->config->nr_cpus, &vm->ram);
	if (vm->pci)
		vm->chipset = chipset_new(
			vm->pci,
			vm->config->firmware ? &vm->firmware.shadow : NULL);
	if (vm->serial && vm->rtc && vm->power && vm->i8042 && vm->chipset &&
	    vm->debugcon && vm->testdev && vm->fwcfg &&
	    (vm->hvtest || !vm->config->cpu.hyperv)) {
		rtc_on_alarm(vm->rtc, power_rtc_alarm, vm->power);
		rtc_set_memory(vm->rtc, vm->ram.low_size, vm->ram.high_size);
		return 0;
	}
	log_error(0, "cannot create the devices: %s", strerror(ENOMEM));
	return STATUS_HOST;
}

/* Firmware finds its way about by itself. */
static int vm_load_firmware(struct vm *vm)
{
	const struct vm_config *config = vm->config;

	vm->boot.entry = (struct entry){ .mode = ENTRY_RESET };
	if (config->firmware_log) {
		vm->fwlog = fwlog_new(&vm->pio, config->firmware_log);
		if (!vm->fwlog)
			return STATUS_HOST;
	}
	if (firmware_load(&vm->firmware, config->firmware,
			  config->firmware_vars, &vm->slots, &vm->ram,
			  &vm->mmio))
		return STATUS_INPUT;
	if (firmware_tell(vm->fwcfg, &vm->ram, &vm->machine) ||
	    disks_tell(&vm->disks, vm->fwcfg))
		return vm_need("fw_cfg", -ENOMEM);
	return 0;
}

/* Without: its tables first, a kernel may lie on top of what it ignores. */
static int vm_load_kernel(struct vm *vm)
{
	struct boot *boot = &vm->boot;

	boot->config = &vm->config->boot;
	boot->ram = &vm->ram;
	/* Firmware would have a part in waking up. */
	vm->machine.sleep = true;
	if (bios_write(&vm->ram) ||
	    acpi_write(&vm->ram, &vm->machine, &boot->rsdp, &vm->facs) ||
	    mptable_write(&vm->ram, &vm->machine)) {
		log_error(0, "the firmware tables do not fit");
		return STATUS_INTERNAL;
	}
	if (image_load(boot) || entry_write_tables(&boot->entry, &vm->ram))
		return STATUS_INPUT;
	if (bios_init_chips(&vm->fd))
		log_info("the PIC and the PIT keep their reset state");
	chipset_route(vm->chipset);
	pci_assign(vm->pci);
	return 0;
}

static int vm_load(struct vm *vm)
{
	int r;

	vm->machine.nr_cpus = vm->config->nr_cpus;
	r = vm->config->firmware ? vm_load_firmware(vm) : vm_load_kernel(vm);
	suspend_init(vm);
	return r;
}

static int vm_create_vcpus(struct vm *vm)
{
	unsigned nr = vm->config->nr_cpus;

	vm->vcpus = calloc(nr, sizeof(vm->vcpus[0]));
	if (!vm->vcpus)
		return vm_need("calloc", -ENOMEM);
	for (; vm->nr_vcpus < nr; vm->nr_vcpus++)
		if (vcpu_create(&vm->vcpus[vm->nr_vcpus], vm, vm->nr_vcpus,
				&vm->boot.entry))
			return STATUS_HOST;
	return 0;
}

static void vm_on_signal(void *arg)
{
	struct vm *vm = arg;
	struct signalfd_siginfo info;

	if (read(vm->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCONT)
		term_resume(&vm->term);
	else
		vm_end(vm, STATUS_SIGNAL);
}

/* Blocked in all threads to come; the loop reads them. */
static int vm_catch_signals(struct vm *vm)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (vm->signal_fd < 0)
		return -errno;
	return loop_add_fd(&vm->loop, vm->signal_fd, vm_on_signal, vm);
}

static int vm_start_term(struct vm *vm)
{
	struct term_receiver to = {
		.room = serial_room,
		.receive = serial_receive,
		.send_break = serial_send_break,
		.dev = vm->serial,
	};
	int r = term_start(&vm->term, &vm->loop, &to, vm_on_key, vm);

	vm->term_started = true;
	return r;
}

static int vm_create_disks(struct vm *vm)
{
	const struct disks_env env = { &vm->fd, vm->pci, &vm->pio, &vm->ram,
				       &vm->irq };

	return disks_create(&vm->disks, &env, vm->config->disks,
			    vm->config->nr_disks);
}

static int vm_build(struct vm *vm)
{
	int r;

	r = vm_open_accel(vm);
	if (!r)
		r = vm_check_direct(vm);
	if (!r)
		r = vm_check_cpus(vm);
	if (!r)
		r = vm_create_kvm(vm);
	if (!r)
		r = vm_create_devices(vm);
	if (!r)
		r = vm_create_disks(vm);
	if (!r)
		r = vm_load(vm);
	if (!r)
		r = vm_create_vcpus(vm);
	return r;
}

/* Runs the guest to its end; false if a thread would not stop. */
static bool vm_run_threads(struct vm *vm)
{
	uint64_t start = loop_now_ns();
	bool stopped = true;

	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		if (run_start(&vm->vcpus[i]))
			vm_end(vm, STATUS_HOST);
	profile_begin(vm, NULL);
	loop_run(&vm->loop);
	profile_end();
	suspend_end(vm);
	term_close_output(&vm->term);
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		if (run_stop(&vm->vcpus[i]))
			continue;
		log_error(0, "CPU %u does not stop", i);
		stopped = false;
	}
	vm->wall_ns = loop_now_ns() - start;
	return stopped;
}

static void vm_destroy(struct vm *vm)
{
	for (unsigned i = 0; vm->vcpus && i < vm->config->nr_cpus; i++)
		vcpu_destroy(&vm->vcpus[i]);
	free(vm->vcpus);
	profile_free(vm);
	disks_free(&vm->disks);
	kvmfd_close(&vm->fd);
	kvmfd_close(&vm->sys);
	serial_free(vm->serial);
	rtc_free(vm->rtc);
	power_free(vm->power);
	i8042_free(vm->i8042);
	chipset_free(vm->chipset);
	pci_free(vm->pci);
	debugcon_free(vm->debugcon);
	testdev_free(vm->testdev);
	hvtest_free(vm->hvtest);
	fwcfg_free(vm->fwcfg);
	fwlog_free(vm->fwlog);
	firmware_free(&vm->firmware);
	ram_exit(&vm->ram);
	if (vm->signal_fd > 0)
		close(vm->signal_fd);
	loop_exit(&vm->loop);
}

static int vm_serve(struct vm *vm)
{
	int r = vm_build(vm);

	if (!r)
		r = profile_init(vm);
	if (r)
		return r;
	if (run_init() || vm_catch_signals(vm) || vm_start_term(vm))
		return vm_need("setting up signals and the terminal", -errno);
	if (!vm_run_threads(vm)) {
		term_stop(&vm->term);
		_exit(STATUS_INTERNAL); /* its thread still uses everything */
	}
	term_stop(&vm->term);
	stats_print(vm, vm->config->stats);
	profile_print(vm);
	return vm_status(vm);
}

int vm_cpu_help(enum accel accel)
{
	struct vm_config config = { .accel = accel };
	struct vm vm = { .config = &config };
	struct kvm_cpuid2 *list;
	int r = vm_open_accel(&vm);

	if (r)
		return r;
	r = vm_need("KVM_GET_SUPPORTED_CPUID",
		    cpuid_get_supported(&vm.sys, &list));
	if (!r) {
		int deadline = kvmfd_ioctl_val(&vm.sys, KVM_CHECK_EXTENSION,
					       KVM_CAP_TSC_DEADLINE_TIMER);

		cpuid_set_vcpu(list, 0, 1, deadline > 0);
		cpumodel_help(list);
		free(list);
	}
	kvmfd_close(&vm.sys);
	return r;
}

int vm_run(const struct vm_config *config)
{
	struct vm vm = { .config = config, .status = VM_RUNNING };
	struct boot *boot = &vm.boot;
	uint8_t *data = NULL;
	int r;

	/* The cheapest check first: is there a kernel at all? */
	if (config->boot.kernel &&
	    image_read("kernel", config->boot.kernel, &data, &boot->size))
		return STATUS_INPUT;
	boot->data = data;
	r = loop_init(&vm.loop);
	if (r) {
		r = vm_need("eventfd", r);
	} else {
		r = vm_serve(&vm);
		vm_destroy(&vm);
	}
	free(data);
	return r;
}

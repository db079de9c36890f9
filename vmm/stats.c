#include "vmm/stats.h"

#include <stdlib.h>

#include "vmm/json.h"
#include "vmm/kvmstats.h"
#include "vmm/status.h"
#include "vmm/vm.h"

/* Sums over all vCPUs. */
struct stats {
	struct vm *vm;
	struct exits exits;
	struct kvmstats of_vm, of_vcpus;
};

static void stats_sum_exits(struct stats *s)
{
	for (unsigned i = 0; i < s->vm->nr_vcpus; i++) {
		const struct exits *x = &s->vm->vcpus[i].exits;

		for (unsigned k = 0; k < EXITS_REASONS; k++) {
			s->exits.count[k] += x->count[k];
			s->exits.time_ns[k] += x->time_ns[k];
		}
		s->exits.interrupted += x->interrupted;
		s->exits.total += x->total;
	}
}

static void stats_collect(struct stats *s)
{
	struct vm *vm = s->vm;

	stats_sum_exits(s);
	if (kvmfd_ioctl_val(&vm->sys, KVM_CHECK_EXTENSION,
			    KVM_CAP_BINARY_STATS_FD) <= 0)
		return;
	kvmstats_read(&vm->fd, &s->of_vm);
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		struct kvmstats one;

		if (kvmstats_read(&vm->vcpus[i].fd, &one))
			continue;
		if (!s->of_vcpus.nr) {
			s->of_vcpus = one;
			continue;
		}
		kvmstats_add(&s->of_vcpus, &one);
		kvmstats_free(&one);
	}
}

static void stats_text_kvm(const char *title, const struct kvmstats *s)
{
	bool any = false;

	for (unsigned i = 0; i < s->nr; i++) {
		char unit[32];

		if (s->stat[i].size != 1 || !s->stat[i].vals[0])
			continue;
		if (!any)
			fprintf(stderr, "\n%s (those that are not 0)\n", title);
		any = true;
		kvmstats_unit(&s->stat[i], unit, sizeof(unit));
		fprintf(stderr, "  %-32s %15llu %s\n", s->stat[i].name,
			(unsigned long long)s->stat[i].vals[0], unit);
	}
}

static void stats_text(struct stats *s)
{
	struct vm *vm = s->vm;

	fprintf(stderr, "\n%s on %s: %u CPU%s, %llu MiB, %.3f s, ended: %s\n\n",
		vm->config->boot.kernel, kvmfd_name(&vm->sys), vm->nr_vcpus,
		vm->nr_vcpus == 1 ? "" : "s",
		(unsigned long long)(vm->ram.size >> 20), vm->wall_ns / 1e9,
		status_name(vm_status(vm)));
	fprintf(stderr, "exits to user mode    %10s  %15s  %12s\n", "count",
		"time there (us)", "mean (us)");
	for (unsigned k = 0; k < EXITS_REASONS; k++)
		if (s->exits.count[k])
			fprintf(stderr, "  %-20s%10llu  %15.1f  %12.2f\n",
				exits_name(k),
				(unsigned long long)s->exits.count[k],
				s->exits.time_ns[k] / 1e3,
				s->exits.time_ns[k] / 1e3 / s->exits.count[k]);
	fprintf(stderr, "  %-20s%10llu\n", "(signal)",
		(unsigned long long)s->exits.interrupted);
	stats_text_kvm("KVM's counters of the VM", &s->of_vm);
	stats_text_kvm("KVM's counters of the CPUs, summed", &s->of_vcpus);
}

static void stats_json_kvm(struct json *j, const char *key,
			   const struct kvmstats *s)
{
	json_object(j, key);
	for (unsigned i = 0; i < s->nr; i++) {
		if (s->stat[i].size == 1) {
			json_u64(j, s->stat[i].name, s->stat[i].vals[0]);
			continue;
		}
		json_array(j, s->stat[i].name);
		for (unsigned k = 0; k < s->stat[i].size; k++)
			json_u64(j, NULL, s->stat[i].vals[k]);
		json_close(j);
	}
	json_close(j);
}

static void stats_json(struct stats *s)
{
	struct vm *vm = s->vm;
	struct json j;

	json_begin(&j, stderr);
	json_string(&j, "ended", status_name(vm_status(vm)));
	json_u64(&j, "exit_status", vm_status(vm));
	json_string(&j, "accel", kvmfd_name(&vm->sys));
	json_string(&j, "kernel", vm->config->boot.kernel);
	json_u64(&j, "cpus", vm->nr_vcpus);
	json_u64(&j, "mem_bytes", vm->ram.size);
	json_u64(&j, "wall_ns", vm->wall_ns);
	json_u64(&j, "signals", s->exits.interrupted);
	json_object(&j, "user_exits");
	for (unsigned k = 0; k < EXITS_REASONS; k++) {
		if (!s->exits.count[k])
			continue;
		json_object(&j, exits_name(k));
		json_u64(&j, "count", s->exits.count[k]);
		json_u64(&j, "time_ns", s->exits.time_ns[k]);
		json_close(&j);
	}
	json_close(&j);
	stats_json_kvm(&j, "kvm_vm", &s->of_vm);
	stats_json_kvm(&j, "kvm_vcpus", &s->of_vcpus);
	json_end(&j);
}

void stats_print(struct vm *vm, enum stats_format format)
{
	struct stats s = { .vm = vm };

	if (format == STATS_NONE)
		return;
	stats_collect(&s);
	if (format == STATS_TEXT)
		stats_text(&s);
	else
		stats_json(&s);
	kvmstats_free(&s.of_vm);
	kvmstats_free(&s.of_vcpus);
}

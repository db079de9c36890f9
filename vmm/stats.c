#include "vmm/stats.h"

#include <stdlib.h>
#include <string.h>

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

/* What was started: the kernel's or the firmware's file. */
static const char *stats_guest(const struct vm *vm)
{
	const struct vm_config *config = vm->config;

	return config->boot.kernel ? config->boot.kernel : config->firmware;
}

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

/* ring3's engine has a pair of statistics for each of its exit reasons. */
#define PREFIX_COUNT "exits_"
#define PREFIX_TIME  "cycles_"

static const char *stats_reason(const char *name)
{
	size_t len = strlen(PREFIX_COUNT);

	return strncmp(name, PREFIX_COUNT, len) == 0 ? name + len : NULL;
}

static uint64_t stats_cycles(const struct kvmstats *s, const char *reason)
{
	const struct kvmstat *stat;
	char name[96];

	snprintf(name, sizeof(name), PREFIX_TIME "%s", reason);
	stat = kvmstats_find(s, name);
	return stat ? stat->vals[0] : 0;
}

static void stats_text_row(const char *name, uint64_t count, double us)
{
	fprintf(stderr, "  %-24s%12llu", name, (unsigned long long)count);
	if (us > 0)
		fprintf(stderr, "%14.1f%12.3f", us, us / count);
	fputc('\n', stderr);
}

static void stats_text_title(const char *title)
{
	fprintf(stderr, "\n%-26s%12s%14s%12s\n", title, "count", "time (us)",
		"mean (us)");
}

static void stats_text_user(struct stats *s)
{
	stats_text_title("exits to user mode");
	for (unsigned k = 0; k < EXITS_REASONS; k++)
		if (s->exits.count[k])
			stats_text_row(exits_name(k), s->exits.count[k],
				       s->exits.time_ns[k] / 1e3);
	stats_text_row("(signal)", s->exits.interrupted, 0);
}

/* The exits that user mode never saw; a time where KVM measures it. */
static void stats_text_kernel(struct stats *s)
{
	const struct kvmstats *k = &s->of_vcpus;
	int khz = kvmfd_ioctl_val(&s->vm->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
	double us_per_cycle = khz > 0 ? 1e3 / khz : 0;
	bool any = false;

	for (unsigned i = 0; i < k->nr; i++) {
		const char *reason = stats_reason(k->stat[i].name);

		if (!reason || k->stat[i].size != 1 || !k->stat[i].vals[0])
			continue;
		if (!any)
			stats_text_title("exits in kernel mode");
		any = true;
		stats_text_row(reason, k->stat[i].vals[0],
			       stats_cycles(k, reason) * us_per_cycle);
	}
}

static bool stats_is_in_table(const char *name)
{
	return stats_reason(name) ||
	       strncmp(name, PREFIX_TIME, strlen(PREFIX_TIME)) == 0;
}

/* Statistics that are in @shown are the same, per CPU. */
static void stats_text_others(const char *title, const struct kvmstats *s,
			      const struct kvmstats *shown)
{
	bool any = false;

	for (unsigned i = 0; i < s->nr; i++) {
		const struct kvmstat *stat = &s->stat[i];
		char unit[32];

		if (stat->size != 1 || !stat->vals[0] ||
		    stats_is_in_table(stat->name) ||
		    (shown && kvmstats_find(shown, stat->name)))
			continue;
		if (!any)
			fprintf(stderr, "\n%s\n", title);
		any = true;
		kvmstats_unit(stat, unit, sizeof(unit));
		fprintf(stderr, "  %-36s%12llu %s\n", stat->name,
			(unsigned long long)stat->vals[0], unit);
	}
}

static void stats_text(struct stats *s)
{
	struct vm *vm = s->vm;

	fprintf(stderr, "\n%s on %s: %u CPU%s, %llu MiB, %.3f s, ended: %s\n",
		stats_guest(vm), kvmfd_name(&vm->sys), vm->nr_vcpus,
		vm->nr_vcpus == 1 ? "" : "s",
		(unsigned long long)(vm->ram.size >> 20), vm->wall_ns / 1e9,
		status_name(vm_status(vm)));
	stats_text_user(s);
	stats_text_kernel(s);
	stats_text_others("other counters of the CPUs", &s->of_vcpus, NULL);
	stats_text_others("other counters of the VM", &s->of_vm, &s->of_vcpus);
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
	json_string(&j, "kernel", stats_guest(vm));
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

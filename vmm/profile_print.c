#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/ring3.h"
#include "vmm/profile.h"
#include "vmm/symbols.h"
#include "vmm/vm.h"

/* Rows of the tables of addresses and functions. */
#define PROFILE_TOP 20

/* Something samples are counted under; @name and @key tell one from another. */
struct row {
	char name[64];
	uint64_t key;
	double seconds;
	size_t nr;
};

struct table {
	struct row *row;
	size_t nr, room;
};

struct report {
	struct vm *vm;
	FILE *out;
	const struct symbols *guest;
	struct symbols own;
	struct table places, guest_functions, guest_code, functions;
	double seconds; /* in all samples */
};

static int row_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int row_by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->seconds > y->seconds ? -1 : x->seconds < y->seconds;
}

static void table_add(struct table *t, const char *name, uint64_t key,
		      double seconds)
{
	struct row *r;

	if (t->nr == t->room) {
		size_t room = t->room ? 2 * t->room : 1024;

		r = realloc(t->row, room * sizeof(*r));
		if (!r)
			return;
		t->row = r;
		t->room = room;
	}
	r = &t->row[t->nr++];
	*r = (struct row){ .key = key, .seconds = seconds, .nr = 1 };
	snprintf(r->name, sizeof(r->name), "%s", name);
}

/* One row for what is the same, the longest time first. */
static void table_sum(struct table *t)
{
	size_t n = 0;

	if (!t->nr)
		return;
	qsort(t->row, t->nr, sizeof(t->row[0]), row_order);
	for (size_t i = 1; i < t->nr; i++) {
		if (row_order(&t->row[n], &t->row[i])) {
			t->row[++n] = t->row[i];
			continue;
		}
		t->row[n].nr += t->row[i].nr;
		t->row[n].seconds += t->row[i].seconds;
	}
	t->nr = n + 1;
	qsort(t->row, t->nr, sizeof(t->row[0]), row_by_time);
}

static void table_print(struct report *r, struct table *t, const char *title,
			size_t max)
{
	table_sum(t);
	if (!t->nr)
		return;
	fprintf(r->out, "\n%-48s%9s%10s%8s\n", title, "samples", "seconds",
		"share");
	for (size_t i = 0; i < t->nr && i < max; i++) {
		const struct row *row = &t->row[i];
		char line[96];

		if (row->key)
			snprintf(line, sizeof(line), "%016llx %s",
				 (unsigned long long)row->key, row->name);
		else
			snprintf(line, sizeof(line), "%s", row->name);
		fprintf(r->out, "  %-46s%9zu%10.3f%7.1f%%\n", line, row->nr,
			row->seconds, 100 * row->seconds / r->seconds);
	}
	free(t->row);
}

static void name_place(const struct profile_thread *t,
		       const struct profile_sample *s, char *buf, size_t size)
{
	const char *mode = s->user ? "user" : "kernel";

	switch (s->where) {
	case RING3_IN_GUEST:
		snprintf(buf, size, "guest %s, translated", mode);
		break;
	case RING3_IN_ENTRY:
		snprintf(buf, size, "guest %s, entry of blocks", mode);
		break;
	case RING3_IN_COLD:
		snprintf(buf, size, "guest %s, out of line", mode);
		break;
	case RING3_IN_STUB:
		snprintf(buf, size, "between guest and C code");
		break;
	case RING3_IN_C:
		snprintf(buf, size, "engine: %s", s->what ? s->what : "?");
		break;
	default:
		if (t->vcpu)
			snprintf(buf, size, "user mode: %s",
				 exits_name(s->exit));
		else
			snprintf(buf, size, "user mode: main thread");
	}
}

/* The function of this program or of a library that has @pc. */
static void name_function(const struct report *r, uint64_t pc, char *buf,
			  size_t size)
{
	Dl_info here, there;
	const struct symbol *sym;

	if (!dladdr((void *)pc, &there)) {
		snprintf(buf, size, "(unknown)");
		return;
	}
	if (dladdr(&vm_run, &here) && here.dli_fbase == there.dli_fbase) {
		sym = symbols_find(&r->own, pc);
		snprintf(buf, size, "%s", sym ? sym->name : "(unknown)");
		return;
	}
	snprintf(buf, size, "%s (library)",
		 there.dli_sname ? there.dli_sname : there.dli_fname);
}

static void add_guest_code(struct report *r, const struct profile_sample *s,
			   double seconds)
{
	const struct symbol *sym = NULL;
	char name[64];

	if (!s->user)
		sym = symbols_find(r->guest, s->rip);
	if (!sym) {
		table_add(&r->guest_code, s->user ? "user" : "kernel", s->rip,
			  seconds);
		if (r->guest->nr)
			table_add(&r->guest_functions,
				  s->user ? "(user)" : "(kernel)", 0, seconds);
		return;
	}
	table_add(&r->guest_functions, sym->name, 0, seconds);
	snprintf(name, sizeof(name), "%s+%#llx", sym->name,
		 (unsigned long long)(s->rip - r->guest->slide - sym->addr));
	table_add(&r->guest_code, name, s->rip, seconds);
}

static void add_sample(struct report *r, const struct profile_thread *t,
		       const struct profile_sample *s, double seconds)
{
	char name[64];

	name_place(t, s, name, sizeof(name));
	table_add(&r->places, name, 0, seconds);
	r->seconds += seconds;
	if (s->where == RING3_IN_GUEST || s->where == RING3_IN_ENTRY ||
	    s->where == RING3_IN_COLD)
		add_guest_code(r, s, seconds);
	if (s->where == RING3_IN_C || s->where == PROFILE_USER) {
		name_function(r, s->pc, name, sizeof(name));
		table_add(&r->functions, name, 0, seconds);
	}
}

/* A sample stands for an equal share of the thread's time. */
static void add_thread(struct report *r, const struct profile_thread *t)
{
	double each = t->nr ? t->cpu_ns / 1e9 / t->nr : 0;

	for (size_t i = 0; i < t->nr; i++)
		add_sample(r, t, &t->sample[i], each);
}

/*
 * The kernel may have moved itself (KASLR): how far, the address of its system
 * call entry tells, which is in an MSR.
 */
static uint64_t guest_slide(const struct report *r)
{
	uint64_t buf[(sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)) /
		     8] = { 0 };
	uint64_t entry = symbols_addr(r->guest, "entry_SYSCALL_64");
	struct kvm_msrs *msrs = (struct kvm_msrs *)buf;

	msrs->nmsrs = 1;
	msrs->entries[0].index = 0xc0000082; /* LSTAR */
	if (!entry ||
	    kvmfd_ioctl(&r->vm->vcpus[0].fd, KVM_GET_MSRS, msrs) != 1 ||
	    !msrs->entries[0].data)
		return 0;
	return msrs->entries[0].data - entry;
}

static void read_own_symbols(struct symbols *own)
{
	if (symbols_read(own, "/proc/self/exe"))
		return;
	own->slide = (uintptr_t)&vm_run - symbols_addr(own, "vm_run");
}

/* The threads' time: running on a processor of the host, and in all. */
static void print_threads(struct report *r)
{
	const struct profile *p = &r->vm->profile;
	struct timespec ts;
	double others;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	others = ts.tv_sec + ts.tv_nsec / 1e9;
	fprintf(r->out, "\n%-48s%9s%10s%10s\n", "thread", "samples", "CPU time",
		"idle");
	for (unsigned i = 0; i < p->nr_threads; i++) {
		const struct profile_thread *t = &p->thread[i];
		char name[32] = "main thread, devices";
		double cpu = t->cpu_ns / 1e9;

		if (!t->begun)
			continue;
		if (t->vcpu)
			snprintf(name, sizeof(name), "CPU %u", t->vcpu->id);
		fprintf(r->out, "  %-46s%9zu%10.3f%10.3f\n", name, t->nr, cpu,
			t->wall_ns / 1e9 - cpu);
		if (t->lost)
			fprintf(r->out, "  (%zu more samples)\n", t->lost);
		others -= cpu;
	}
	fprintf(r->out, "  %-46s%9s%10.3f\n", "start, end, and other threads",
		"", others);
}

void profile_print(struct vm *vm)
{
	struct profile *p = &vm->profile;
	struct report r = { .vm = vm, .out = p->out, .guest = &p->guest };

	if (!p->thread)
		return;
	p->guest.slide = guest_slide(&r);
	read_own_symbols(&r.own);
	for (unsigned i = 0; i < p->nr_threads; i++)
		add_thread(&r, &p->thread[i]);
	print_threads(&r);
	table_print(&r, &r.places, "where CPU time went", ~0u);
	table_print(&r, &r.guest_functions, "guest functions", PROFILE_TOP);
	table_print(&r, &r.guest_code, "guest instructions", PROFILE_TOP);
	table_print(&r, &r.functions, "host functions", PROFILE_TOP);
	symbols_free(&r.own);
}

#include "api/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/fd.h"

/*
 * One file a vCPU and one a VM (sums over its vCPUs): header, id, descriptors,
 * values.  Per reason there is the number of exits and, for those that reach
 * root mode, the TSC cycles spent there.
 */
#define NAME_SIZE 48
#define ID_SIZE	  32

/* struct kvm_stats_desc with its name. */
struct stat_desc {
	uint32_t flags;
	int16_t exponent;
	uint16_t size;
	uint32_t offset;
	uint32_t bucket_size;
	char name[NAME_SIZE];
};
_Static_assert(offsetof(struct stat_desc, name) ==
		       offsetof(struct kvm_stats_desc, name),
	       "stat_desc is KVM's");

enum {
	STAT_RUNS,
	STAT_EXITS,
	STAT_CYCLES = STAT_EXITS + NR_EXIT_REASONS,
	NR_STATS = STAT_CYCLES + NR_EXIT_REASONS,
};

struct stat_file {
	struct kvm_stats_header header;
	char id[ID_SIZE];
	struct stat_desc desc[NR_STATS];
	uint64_t value[NR_STATS];
};

static const char *const reasons[NR_EXIT_REASONS] = {
#define EXIT_REASON(name, str) [EXIT_##name] = str,
#include "cpu/exit.def"
#undef EXIT_REASON
};

static void describe(struct stat_file *f, unsigned int n, uint32_t unit,
		     const char *format, const char *what)
{
	struct stat_desc *d = &f->desc[n];

	d->flags = KVM_STATS_TYPE_CUMULATIVE | unit | KVM_STATS_BASE_POW10;
	d->size = 1;
	d->offset = n * sizeof(uint64_t);
	snprintf(d->name, sizeof(d->name), format, what);
}

static void fill(struct stat_file *f, const char *id)
{
	f->header = (struct kvm_stats_header){
		.name_size = NAME_SIZE,
		.num_desc = NR_STATS,
		.id_offset = offsetof(struct stat_file, id),
		.desc_offset = offsetof(struct stat_file, desc),
		.data_offset = offsetof(struct stat_file, value),
	};
	snprintf(f->id, sizeof(f->id), "%s", id);
	describe(f, STAT_RUNS, KVM_STATS_UNIT_NONE, "%s", "runs");
	for (unsigned int i = 0; i < NR_EXIT_REASONS; i++) {
		describe(f, STAT_EXITS + i, KVM_STATS_UNIT_NONE, "exits_%s",
			 reasons[i]);
		describe(f, STAT_CYCLES + i, KVM_STATS_UNIT_CYCLES, "cycles_%s",
			 reasons[i]);
	}
}

static size_t file_size(void)
{
	return (sizeof(struct stat_file) + PAGE_SIZE - 1) & PAGE_MASK;
}

/* create - a memory file and its mapping. */
static int create(const char *id, struct stat_file **out)
{
	int fd = fd_memfd("kvm-stats", file_size());
	void *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, file_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	fill(p, id);
	*out = p;
	return fd;
}

/* publish - the descriptor for the client; more calls give more of them. */
static int publish(struct api_vm *avm, int fd)
{
	int copy = fd_dup(fd), r;

	if (copy < 0)
		return copy;
	r = fd_install(copy, FILE_STATS, avm, (void (*)(void *))api_vm_put);
	if (r) {
		close(copy);
		return r;
	}
	api_vm_get(avm);
	return copy;
}

static void add_vcpu(uint64_t *value, const struct vcpu *v)
{
	value[STAT_RUNS] += v->runs;
	for (unsigned int i = 0; i < NR_EXIT_REASONS; i++) {
		value[STAT_EXITS + i] += v->cpu->exits[i];
		value[STAT_CYCLES + i] += v->exit_cycles[i];
	}
}

static void update_vm(struct api_vm *avm)
{
	uint64_t value[NR_STATS] = { 0 };
	struct vcpu *v;

	vcpu_for_each (v, avm->vm)
		add_vcpu(value, v);
	memcpy(avm->stats->value, value, sizeof(value));
}

void stats_update(struct api_vcpu *av)
{
	if (av->stats) {
		memset(av->stats->value, 0, sizeof(av->stats->value));
		add_vcpu(av->stats->value, av->vcpu);
	}
	if (__atomic_load_n(&av->avm->stats, __ATOMIC_ACQUIRE))
		update_vm(av->avm);
}

int stats_create_vcpu(struct api_vcpu *av)
{
	char id[ID_SIZE];
	int r;

	if (!av->stats) {
		snprintf(id, sizeof(id), "kvm-%d/vcpu-%u", getpid(),
			 av->vcpu->id);
		r = create(id, &av->stats);
		if (r < 0)
			return r;
		av->stats_fd = r;
	}
	stats_update(av);
	return publish(av->avm, av->stats_fd);
}

int stats_create_vm(struct api_vm *avm)
{
	struct stat_file *f;
	char id[ID_SIZE];
	int r = 0;

	pthread_mutex_lock(&avm->vm->lock);
	if (!avm->stats) {
		snprintf(id, sizeof(id), "kvm-%d", getpid());
		r = create(id, &f);
		if (r >= 0) {
			avm->stats_fd = r;
			__atomic_store_n(&avm->stats, f, __ATOMIC_RELEASE);
		}
	}
	if (r >= 0) {
		update_vm(avm);
		r = publish(avm, avm->stats_fd);
	}
	pthread_mutex_unlock(&avm->vm->lock);
	return r;
}

static void free_file(struct stat_file *f, int fd)
{
	if (!f)
		return;
	munmap(f, file_size());
	close(fd);
}

void stats_free_vcpu(struct api_vcpu *av)
{
	free_file(av->stats, av->stats_fd);
}

void stats_free_vm(struct api_vm *avm)
{
	free_file(avm->stats, avm->stats_fd);
}

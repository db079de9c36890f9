#include "vmm/kvmstats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Limits that keep a strange header from taking all memory. */
#define NAME_MAX_BYTES 4096
#define DESC_MAX       4096
#define VALUES_MAX     4096

static int kvmstats_pread(int fd, void *buf, size_t len, off_t pos)
{
	ssize_t n = pread(fd, buf, len, pos);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int kvmstats_read_one(int fd, const struct kvm_stats_header *head,
			     unsigned i, struct kvmstat *s)
{
	size_t desc_size = sizeof(struct kvm_stats_desc) + head->name_size;
	struct kvm_stats_desc desc;
	off_t pos = head->desc_offset + i * desc_size;
	int r = kvmstats_pread(fd, &desc, sizeof(desc), pos);

	if (r)
		return r;
	if (desc.size == 0 || desc.size > VALUES_MAX)
		return -EIO;
	s->flags = desc.flags;
	s->exponent = desc.exponent;
	s->size = desc.size;
	s->name = calloc(1, head->name_size + 1);
	s->vals = calloc(desc.size, sizeof(s->vals[0]));
	if (!s->name || !s->vals)
		return -ENOMEM;
	r = kvmstats_pread(fd, s->name, head->name_size, pos + sizeof(desc));
	if (r)
		return r;
	return kvmstats_pread(fd, s->vals, desc.size * sizeof(s->vals[0]),
			      head->data_offset + desc.offset);
}

static int kvmstats_read_fd(int fd, struct kvmstats *s)
{
	struct kvm_stats_header head;
	int r = kvmstats_pread(fd, &head, sizeof(head), 0);

	if (r)
		return r;
	if (head.name_size > NAME_MAX_BYTES || head.num_desc > DESC_MAX)
		return -EIO;
	s->stat = calloc(head.num_desc ?: 1, sizeof(s->stat[0]));
	if (!s->stat)
		return -ENOMEM;
	s->nr = head.num_desc;
	for (unsigned i = 0; i < s->nr && !r; i++)
		r = kvmstats_read_one(fd, &head, i, &s->stat[i]);
	return r;
}

int kvmstats_read(const struct kvmfd *f, struct kvmstats *s)
{
	struct kvmfd stats;
	int r = kvmfd_create(f, KVM_GET_STATS_FD, 0, &stats);

	*s = (struct kvmstats){ 0 };
	if (r)
		return r;
	r = kvmstats_read_fd(stats.fd, s);
	kvmfd_close(&stats);
	if (r)
		kvmstats_free(s);
	return r;
}

static bool kvmstats_is_peak(const struct kvmstat *s)
{
	return (s->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_PEAK;
}

void kvmstats_add(struct kvmstats *sum, const struct kvmstats *s)
{
	for (unsigned i = 0; i < sum->nr && i < s->nr; i++) {
		struct kvmstat *to = &sum->stat[i];
		const struct kvmstat *from = &s->stat[i];

		for (unsigned k = 0; k < to->size && k < from->size; k++) {
			if (!kvmstats_is_peak(to))
				to->vals[k] += from->vals[k];
			else if (to->vals[k] < from->vals[k])
				to->vals[k] = from->vals[k];
		}
	}
}

void kvmstats_free(struct kvmstats *s)
{
	for (unsigned i = 0; i < s->nr; i++) {
		free(s->stat[i].name);
		free(s->stat[i].vals);
	}
	free(s->stat);
	*s = (struct kvmstats){ 0 };
}

const struct kvmstat *kvmstats_find(const struct kvmstats *s, const char *name)
{
	for (unsigned i = 0; i < s->nr; i++)
		if (strcmp(s->stat[i].name, name) == 0)
			return &s->stat[i];
	return NULL;
}

void kvmstats_unit(const struct kvmstat *s, char *buf, size_t size)
{
	uint32_t unit = s->flags & KVM_STATS_UNIT_MASK;
	bool pow10 = (s->flags & KVM_STATS_BASE_MASK) == KVM_STATS_BASE_POW10;
	const char *name = unit == KVM_STATS_UNIT_BYTES	    ? "bytes"
			   : unit == KVM_STATS_UNIT_SECONDS ? "s"
			   : unit == KVM_STATS_UNIT_CYCLES  ? "cycles"
							    : "";

	if (unit == KVM_STATS_UNIT_SECONDS && pow10 && s->exponent == -9)
		snprintf(buf, size, "ns");
	else if (s->exponent)
		snprintf(buf, size, "%s%s%d%s%s", pow10 ? "10" : "2", "^",
			 s->exponent, *name ? " " : "", name);
	else
		snprintf(buf, size, "%s", name);
}

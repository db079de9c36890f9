#include "vmm/fw/loader.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_TABLES "etc/acpi/tables"
#define FILE_LOADER "etc/table-loader"

#define NAME_LEN 56

enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER, CMD_ADD_CHECKSUM };
enum { ZONE_HIGH = 1, ZONE_FSEG };

struct loader_cmd {
	uint32_t command;
	union {
		struct {
			char file[NAME_LEN];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char file[NAME_LEN], target[NAME_LEN];
			uint32_t at;
			uint8_t width;
		} __attribute__((packed)) pointer;
		struct {
			char file[NAME_LEN];
			uint32_t at, start, len;
		} __attribute__((packed)) checksum;
		uint8_t room[124];
	};
} __attribute__((packed));

#define CMDS_MAX (ACPI_REFS_MAX + ACPI_SUMS_MAX + 6)

struct loader {
	struct loader_cmd cmds[CMDS_MAX];
	unsigned nr;
};

static void loader_allocate(struct loader *l, const char *file, uint32_t align,
			    uint8_t zone)
{
	struct loader_cmd *c = &l->cmds[l->nr++];

	c->command = CMD_ALLOCATE;
	strcpy(c->allocate.file, file);
	c->allocate.align = align;
	c->allocate.zone = zone;
}

/* The pointer at @at of @file gets the tables' address added. */
static void loader_point(struct loader *l, const char *file, uint32_t at,
			 uint8_t width)
{
	struct loader_cmd *c = &l->cmds[l->nr++];

	c->command = CMD_ADD_POINTER;
	strcpy(c->pointer.file, file);
	strcpy(c->pointer.target, FILE_TABLES);
	c->pointer.at = at;
	c->pointer.width = width;
}

static void loader_sum(struct loader *l, const char *file, uint32_t at,
		       uint32_t start, uint32_t len)
{
	struct loader_cmd *c = &l->cmds[l->nr++];

	c->command = CMD_ADD_CHECKSUM;
	strcpy(c->checksum.file, file);
	c->checksum.at = at;
	c->checksum.start = start;
	c->checksum.len = len;
}

static void loader_build(struct loader *l, const struct acpi_tables *t)
{
	loader_allocate(l, FILE_RSDP, 16, ZONE_FSEG);
	loader_allocate(l, FILE_TABLES, 64, ZONE_HIGH);
	for (unsigned i = 0; i < t->nr_refs; i++)
		loader_point(l, FILE_TABLES, t->refs[i].at, t->refs[i].width);
	for (unsigned i = 0; i < t->nr_sums; i++)
		loader_sum(l, FILE_TABLES, t->sums[i].at, t->sums[i].start,
			   t->sums[i].len);
	loader_point(l, FILE_RSDP, offsetof(struct acpi_rsdp, rsdt), 4);
	loader_point(l, FILE_RSDP, offsetof(struct acpi_rsdp, xsdt), 8);
	loader_sum(l, FILE_RSDP, offsetof(struct acpi_rsdp, checksum), 0,
		   ACPI_RSDP_V1);
	loader_sum(l, FILE_RSDP, offsetof(struct acpi_rsdp, extended_checksum),
		   0, sizeof(struct acpi_rsdp));
}

int loader_tell(struct fwcfg *fwcfg, const struct machine *m)
{
	struct loader *l = calloc(1, sizeof(*l));
	struct acpi_tables *t = malloc(sizeof(*t));
	struct acpi_rsdp rsdp;
	int r = -ENOMEM;

	if (l && t)
		r = acpi_build(t, m, 0);
	if (!r) {
		acpi_fill_rsdp(&rsdp, t);
		loader_build(l, t);
		/* Firmware sums up what is there, the old sum included. */
		for (unsigned i = 0; i < t->nr_sums; i++)
			t->data[t->sums[i].at] = 0;
		rsdp.checksum = rsdp.extended_checksum = 0;
		r = fwcfg_add_file(fwcfg, FILE_RSDP, &rsdp, sizeof(rsdp));
	}
	if (!r)
		r = fwcfg_add_file(fwcfg, FILE_TABLES, t->data, t->len);
	if (!r)
		r = fwcfg_add_file(fwcfg, FILE_LOADER, l->cmds,
				   l->nr * sizeof(l->cmds[0]));
	free(t);
	free(l);
	return r;
}

#include "fuzz/insn/case.h"

#include <stdlib.h>
#include <string.h>

static const char *const twins[] = { "native", "none", "ud" };

static void write_hex(FILE *f, const uint8_t *p, unsigned int n)
{
	while (n--)
		fprintf(f, " %02x", *p++);
	fprintf(f, "\n");
}

static bool all_zero(const uint8_t *p, unsigned int n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static void write_number(FILE *f, const char *name, uint64_t v)
{
	if (v)
		fprintf(f, "%s %llx\n", name, (unsigned long long)v);
}

void case_write(FILE *f, const struct fuzz_case *c)
{
	fprintf(f, "mode %d\ntwin %s\nrip %llx\ncode", c->mode * 8,
		twins[c->twin], (unsigned long long)c->rip);
	write_hex(f, c->bytes, c->len);
	for (unsigned int n = 0; n < NR_GPRS; n++)
		if (c->gpr[n])
			fprintf(f, "gpr %u %llx\n", n,
				(unsigned long long)c->gpr[n]);
	for (unsigned int n = 0; n < 6; n++)
		if (c->seg[n])
			fprintf(f, "seg %u %x\n", n, c->seg[n]);
	write_number(f, "rflags", c->rflags);
	write_number(f, "fs_base", c->fs_base);
	write_number(f, "gs_base", c->gs_base);
	write_number(f, "undefined", c->undefined);
	write_number(f, "any_gprs", c->any_gprs);
	write_number(f, "any_bytes", c->any_bytes);
	for (unsigned int n = 0; n < CASE_PATCHES; n++) {
		if (!c->patch[n].len)
			continue;
		fprintf(f, "patch %llx", (unsigned long long)c->patch[n].addr);
		write_hex(f, c->patch[n].data, c->patch[n].len);
	}
	for (unsigned int n = 0; n < FPU_BYTES; n += 16) {
		if (all_zero(c->fpu + n, 16))
			continue;
		fprintf(f, "fpu %x", n);
		write_hex(f, c->fpu + n, 16);
	}
	fprintf(f, "end\n");
}

static unsigned int read_hex(const char *s, uint8_t *p, unsigned int max)
{
	unsigned int n = 0, byte;
	int used;
	while (n < max && sscanf(s, "%2x%n", &byte, &used) == 1) {
		p[n++] = byte;
		s += used;
	}
	return n;
}

static int read_mode(struct fuzz_case *c, const char *value)
{
	c->mode = strtoul(value, NULL, 10) / 8;
	return c->mode == CODE64 || c->mode == CODE32 || c->mode == CODE16 ? 0
									   : -1;
}

static int read_twin(struct fuzz_case *c, const char *value)
{
	for (unsigned int n = 0; n < ARRAY_SIZE(twins); n++) {
		if (!strncmp(value, twins[n], strlen(twins[n]))) {
			c->twin = n;
			return 0;
		}
	}
	return -1;
}

/* "NAME NUMBER HEX...": an array's element or bytes at an address. */
static int read_indexed(struct fuzz_case *c, const char *name,
			const char *value, unsigned int *patches)
{
	char *rest;
	uint64_t at =
		strtoull(value, &rest,
			 strcmp(name, "gpr") && strcmp(name, "seg") ? 16 : 10);
	struct patch *p;

	if (!strcmp(name, "gpr") && at < NR_GPRS) {
		c->gpr[at] = strtoull(rest, NULL, 16);
	} else if (!strcmp(name, "seg") && at < 6) {
		c->seg[at] = strtoul(rest, NULL, 16);
	} else if (!strcmp(name, "fpu") && at <= FPU_BYTES - 16) {
		read_hex(rest, c->fpu + at, 16);
	} else if (!strcmp(name, "patch") && *patches < CASE_PATCHES) {
		p = &c->patch[(*patches)++];
		p->addr = at;
		p->len = read_hex(rest, p->data, PATCH_BYTES);
	} else {
		return -1;
	}
	return 0;
}

static int read_line(struct fuzz_case *c, const char *name, const char *value,
		     unsigned int *patches)
{
	uint64_t number = strtoull(value, NULL, 16);

	if (!strcmp(name, "mode"))
		return read_mode(c, value);
	if (!strcmp(name, "twin"))
		return read_twin(c, value);
	if (!strcmp(name, "rip"))
		c->rip = number;
	else if (!strcmp(name, "rflags"))
		c->rflags = number;
	else if (!strcmp(name, "fs_base"))
		c->fs_base = number;
	else if (!strcmp(name, "gs_base"))
		c->gs_base = number;
	else if (!strcmp(name, "undefined"))
		c->undefined = number;
	else if (!strcmp(name, "any_gprs"))
		c->any_gprs = number;
	else if (!strcmp(name, "any_bytes"))
		c->any_bytes = number;
	else if (!strcmp(name, "code"))
		c->len = read_hex(value, c->bytes, CASE_BYTES);
	else
		return read_indexed(c, name, value, patches);
	return 0;
}

int case_read(FILE *f, struct fuzz_case *c)
{
	unsigned int patches = 0;
	char line[512], name[16];
	int used;
	bool any = false;

	memset(c, 0, sizeof(*c));
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || sscanf(line, "%15s%n", name, &used) != 1)
			continue;
		if (!strcmp(name, "end"))
			return c->len && c->mode ? 1 : -1;
		any = true;
		if (read_line(c, name, line + used + !!line[used], &patches))
			return -1;
	}
	return any ? -1 : 0;
}

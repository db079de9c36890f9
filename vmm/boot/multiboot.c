#include "vmm/boot/multiboot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/boot/e820.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/layout.h"
#include "vmm/log.h"

#define HEADER_MAGIC 0x1badb002
#define HEADER_AREA  8192
#define LOADER_MAGIC 0x2badb002
/* Requests that a loader must refuse if it does not know them. */
#define HEADER_KNOWN_FLAGS 0x00000003 /* aligned modules, memory map */
#define HEADER_MUST_MASK   0x0000ffff

#define INFO_MEMORY  0x001
#define INFO_CMDLINE 0x004
#define INFO_MODS    0x008
#define INFO_MMAP    0x040
#define INFO_LOADER  0x200

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr;
	uint32_t config_table, boot_loader_name, apm_table;
};

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

struct multiboot_mmap {
	uint32_t size; /* of what follows */
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

/* What stands at LAYOUT_TABLE. */
struct multiboot_tables {
	struct multiboot_mmap mmap[E820_MAX];
	struct multiboot_module module;
	char loader[8], module_string[8];
};

static const uint32_t *multiboot_header(const uint8_t *data, uint64_t size)
{
	if (size > HEADER_AREA)
		size = HEADER_AREA;
	for (uint64_t pos = 0; pos + 12 <= size; pos += 4) {
		const uint32_t *h = (const uint32_t *)(data + pos);

		if (h[0] == HEADER_MAGIC && h[0] + h[1] + h[2] == 0)
			return h;
	}
	return NULL;
}

bool multiboot_find(const uint8_t *data, uint64_t size)
{
	return multiboot_header(data, size) != NULL;
}

/* The command line starts with the program's name. */
static int multiboot_write_cmdline(const struct boot *boot)
{
	const char *name = strrchr(boot->config->kernel, '/');
	char line[LAYOUT_CMDLINE_MAX];
	int n;

	name = name ? name + 1 : boot->config->kernel;
	n = snprintf(line, sizeof(line), "%s%s%s", name,
		     *boot->config->append ? " " : "", boot->config->append);
	if (n >= (int)sizeof(line))
		return log_error(-E2BIG,
				 "the command line has %d bytes; at most %zu "
				 "can be passed",
				 n, sizeof(line) - 1);
	return ram_write(boot->ram, LAYOUT_CMDLINE, line, n + 1);
}

static void multiboot_fill_tables(const struct boot *boot,
				  struct multiboot_tables *t, unsigned *nr)
{
	struct e820 e820;

	e820_build(&e820, boot->ram);
	for (unsigned i = 0; i < e820.nr; i++)
		t->mmap[i] = (struct multiboot_mmap){
			sizeof(t->mmap[0]) - sizeof(t->mmap[0].size),
			e820.entry[i].gpa,
			e820.entry[i].size,
			e820.entry[i].type,
		};
	*nr = e820.nr;
	strcpy(t->loader, "ring3");
	strcpy(t->module_string, "initrd");
	t->module.string =
		LAYOUT_TABLE + offsetof(struct multiboot_tables, module_string);
}

/* The module goes right behind the kernel. */
static int multiboot_load_module(const struct boot *boot, gpa_t end,
				 struct multiboot_module *module)
{
	uint64_t size;
	gpa_t addr;
	int r = image_load_initrd(boot, end, RAM_HOLE_START, IMAGE_BOTTOM,
				  &addr, &size);

	module->start = addr;
	module->end = addr + size;
	return r;
}

static int multiboot_write_info(const struct boot *boot,
				const struct multiboot_tables *t, unsigned nr)
{
	struct multiboot_info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER,
		.mem_lower = LAYOUT_EBDA >> 10,
		.mem_upper = (boot->ram->low_size - LAYOUT_HIGH) >> 10,
		.cmdline = LAYOUT_CMDLINE,
		.mmap_addr = LAYOUT_TABLE,
		.mmap_length = nr * sizeof(t->mmap[0]),
		.boot_loader_name = LAYOUT_TABLE +
				    offsetof(struct multiboot_tables, loader),
	};

	if (t->module.end) {
		info.flags |= INFO_MODS;
		info.mods_count = 1;
		info.mods_addr = LAYOUT_TABLE +
				 offsetof(struct multiboot_tables, module);
	}
	if (ram_write(boot->ram, LAYOUT_TABLE, t, sizeof(*t)) ||
	    ram_write(boot->ram, LAYOUT_INFO, &info, sizeof(info)))
		return -EFAULT;
	return 0;
}

int multiboot_load(struct boot *boot)
{
	const uint32_t *header = multiboot_header(boot->data, boot->size);
	struct multiboot_tables tables = { 0 };
	gpa_t entry, end;
	unsigned nr;
	int r;

	if (!header || !elf_is_elf(boot))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is not an ELF file with a "
				 "multiboot header in its first %u bytes",
				 boot->config->kernel, HEADER_AREA);
	if (header[1] & HEADER_MUST_MASK & ~HEADER_KNOWN_FLAGS)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" asks by its multiboot flags "
				 "%#x for what ring3 does not offer",
				 boot->config->kernel, header[1]);
	r = elf_load(boot, &entry, &end);
	if (r)
		return r;
	multiboot_fill_tables(boot, &tables, &nr);
	r = multiboot_load_module(boot, end, &tables.module);
	if (r)
		return r;
	r = multiboot_write_cmdline(boot);
	if (r)
		return r;
	boot->entry = (struct entry){
		.mode = ENTRY_PROT32,
		.rip = entry,
		.rax = LOADER_MAGIC,
		.rbx = LAYOUT_INFO,
	};
	return multiboot_write_info(boot, &tables, nr);
}

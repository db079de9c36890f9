#include "vmm/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/boot/e820.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/linux.h"
#include "vmm/log.h"

#define NOTE_PVH_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY, owner "Xen" */
#define PVH_MAGIC      0x336ec578

/* Both widths of ELF brought to one form. */
struct elf_segment {
	uint32_t type;
	uint64_t offset, filesz, paddr, memsz, align;
};

struct elf_file {
	const struct boot *boot;
	bool is64;
	unsigned machine, phnum, phentsize;
	uint64_t phoff, entry;
};

/* Start information of PVH; all addresses are guest-physical. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct pvh_module {
	uint64_t addr, size, cmdline, reserved;
};

struct pvh_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

bool elf_is_elf(const struct boot *boot)
{
	return boot->size >= SELFMAG &&
	       memcmp(boot->data, ELFMAG, SELFMAG) == 0;
}

static int elf_truncated(const struct boot *boot, const char *what,
			 uint64_t end)
{
	return log_error(-ENOEXEC,
			 "kernel \"%s\" is truncated: its %s would end at byte "
			 "%llu of %llu",
			 boot->config->kernel, what, (unsigned long long)end,
			 (unsigned long long)boot->size);
}

/* Fills @f; false if the file is too short for its header. */
static bool elf_read_header(struct elf_file *f)
{
	const struct boot *boot = f->boot;
	Elf64_Ehdr e64 = { 0 };
	Elf32_Ehdr e32 = { 0 };

	if (boot->size < sizeof(e32))
		return false;
	memcpy(&e32, boot->data, sizeof(e32));
	f->machine = e32.e_machine;
	f->is64 = e32.e_ident[EI_CLASS] == ELFCLASS64;
	if (f->is64 && boot->size < sizeof(e64))
		return false;
	if (f->is64)
		memcpy(&e64, boot->data, sizeof(e64));
	f->phnum = f->is64 ? e64.e_phnum : e32.e_phnum;
	f->phoff = f->is64 ? e64.e_phoff : e32.e_phoff;
	f->entry = f->is64 ? e64.e_entry : e32.e_entry;
	f->phentsize = f->is64 ? e64.e_phentsize : e32.e_phentsize;
	return true;
}

static unsigned elf_phdr_size(const struct elf_file *f)
{
	return f->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static uint64_t elf_phdrs_end(const struct elf_file *f)
{
	return f->phoff + (uint64_t)f->phnum * elf_phdr_size(f);
}

static bool elf_phdrs_ok(const struct elf_file *f)
{
	return f->phnum && f->phentsize == elf_phdr_size(f) &&
	       f->phoff <= f->boot->size && elf_phdrs_end(f) <= f->boot->size;
}

static int elf_check(struct elf_file *f)
{
	const struct boot *boot = f->boot;

	if (!elf_read_header(f))
		return elf_truncated(boot, "ELF header", sizeof(Elf64_Ehdr));
	if (f->machine != EM_X86_64 && f->machine != EM_386)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is an ELF file for machine %u, "
				 "not for x86 (%u or %u)",
				 boot->config->kernel, f->machine, EM_386,
				 EM_X86_64);
	if (!f->phnum || f->phentsize != elf_phdr_size(f))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" has %u program headers of %u "
				 "bytes; it is not a linked program",
				 boot->config->kernel, f->phnum, f->phentsize);
	if (!elf_phdrs_ok(f))
		return elf_truncated(boot, "program header table",
				     elf_phdrs_end(f));
	return 0;
}

static struct elf_segment elf_segment(const struct elf_file *f, unsigned i)
{
	const uint8_t *p = f->boot->data + f->phoff;
	Elf64_Phdr p64;
	Elf32_Phdr p32;

	if (f->is64) {
		memcpy(&p64, p + i * sizeof(p64), sizeof(p64));
		return (struct elf_segment){ p64.p_type,   p64.p_offset,
					     p64.p_filesz, p64.p_paddr,
					     p64.p_memsz,  p64.p_align };
	}
	memcpy(&p32, p + i * sizeof(p32), sizeof(p32));
	return (struct elf_segment){ p32.p_type,  p32.p_offset, p32.p_filesz,
				     p32.p_paddr, p32.p_memsz,	p32.p_align };
}

static int elf_load_segment(const struct boot *boot,
			    const struct elf_segment *s)
{
	uint8_t *p;

	if (s->offset > boot->size || s->filesz > boot->size - s->offset)
		return elf_truncated(boot, "segment", s->offset + s->filesz);
	if (s->filesz > s->memsz)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" has a segment of %llu bytes in "
				 "the file but %llu in memory",
				 boot->config->kernel,
				 (unsigned long long)s->filesz,
				 (unsigned long long)s->memsz);
	if (s->paddr < RAM_VGA_START && s->paddr + s->memsz > LAYOUT_INFO)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" loads at %#llx to %#llx, where "
				 "boot information goes (%#x to %#llx)",
				 boot->config->kernel,
				 (unsigned long long)s->paddr,
				 (unsigned long long)(s->paddr + s->memsz),
				 LAYOUT_INFO, RAM_VGA_START);
	p = ram_ptr(boot->ram, s->paddr, s->memsz);
	if (!p)
		return image_too_big(boot, "the kernel", s->paddr, s->memsz);
	memcpy(p, boot->data + s->offset, s->filesz);
	memset(p + s->filesz, 0, s->memsz - s->filesz);
	return 0;
}

int elf_load(const struct boot *boot, gpa_t *entry, gpa_t *end)
{
	struct elf_file f = { .boot = boot };
	int r = elf_check(&f);

	*end = 0;
	if (r)
		return r;
	for (unsigned i = 0; i < f.phnum; i++) {
		struct elf_segment s = elf_segment(&f, i);

		if (s.type != PT_LOAD || !s.memsz)
			continue;
		r = elf_load_segment(boot, &s);
		if (r)
			return r;
		if (s.paddr + s.memsz > *end)
			*end = s.paddr + s.memsz;
	}
	if (!*end)
		return log_error(-ENOEXEC, "kernel \"%s\" has nothing to load",
				 boot->config->kernel);
	*entry = f.entry;
	return 0;
}

/* Looks through one PT_NOTE segment; 0 if the note is not there. */
static gpa_t elf_pvh_in_segment(const struct boot *boot,
				const struct elf_segment *s)
{
	uint64_t align = s->align == 8 ? 8 : 4, pos = 0;
	const uint8_t *data;

	if (s->offset > boot->size || s->filesz > boot->size - s->offset)
		return 0;
	data = boot->data + s->offset;
	while (s->filesz - pos >= sizeof(Elf64_Nhdr)) {
		uint64_t name = pos + sizeof(Elf64_Nhdr), desc, next;
		Elf64_Nhdr note;
		uint32_t entry;

		memcpy(&note, data + pos, sizeof(note));
		desc = (name + note.n_namesz + align - 1) & ~(align - 1);
		next = (desc + note.n_descsz + align - 1) & ~(align - 1);
		if (desc + note.n_descsz > s->filesz)
			return 0;
		if (note.n_type == NOTE_PVH_ENTRY && note.n_namesz == 4 &&
		    note.n_descsz >= 4 && !memcmp(data + name, "Xen", 4)) {
			memcpy(&entry, data + desc, sizeof(entry));
			return entry;
		}
		if (next > s->filesz)
			return 0;
		pos = next;
	}
	return 0;
}

static gpa_t elf_pvh_entry(const struct boot *boot)
{
	struct elf_file f = { .boot = boot };
	gpa_t entry = 0;

	if (!elf_read_header(&f) || !elf_phdrs_ok(&f))
		return 0;
	for (unsigned i = 0; i < f.phnum && !entry; i++) {
		struct elf_segment s = elf_segment(&f, i);

		if (s.type == PT_NOTE)
			entry = elf_pvh_in_segment(boot, &s);
	}
	return entry;
}

enum boot_protocol elf_protocol(const struct boot *boot)
{
	if (elf_pvh_entry(boot))
		return BOOT_PVH;
	if (boot->size > EI_CLASS && boot->data[EI_CLASS] == ELFCLASS32)
		return BOOT_LINUX32;
	return BOOT_LINUX64;
}

/* Whether some loader of an operating system is meant to start this file. */
static bool elf_is_program(const struct boot *boot)
{
	struct elf_file f = { .boot = boot };

	if (!elf_read_header(&f) || !elf_phdrs_ok(&f))
		return false;
	for (unsigned i = 0; i < f.phnum; i++)
		switch (elf_segment(&f, i).type) {
		case PT_INTERP:
		case PT_DYNAMIC:
		case PT_TLS:
		case PT_GNU_RELRO:
			return true;
		}
	return false;
}

int elf_load_linux(struct boot *boot, enum boot_protocol protocol)
{
	struct boot_params params = { 0 };
	bool long64 = protocol == BOOT_LINUX64;
	gpa_t entry, end;
	int r;

	if (!elf_is_elf(boot))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is neither a bzImage nor an "
				 "ELF file",
				 boot->config->kernel);
	if (elf_is_program(boot))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is a program of an operating "
				 "system, not a kernel",
				 boot->config->kernel);
	r = elf_load(boot, &entry, &end);
	if (r)
		return r;
	/* What the setup header of a bzImage would have told. */
	params.hdr.boot_flag = 0xaa55;
	params.hdr.header = 0x53726448;
	params.hdr.version = 0x020f;
	params.hdr.loadflags = LOADED_HIGH;
	params.hdr.kernel_alignment = 0x1000000;
	params.hdr.cmdline_size = 2047;
	params.hdr.initrd_addr_max = 0x7fffffff;
	r = linux_fill_params(boot, &params, end);
	if (r)
		return r;
	boot->entry = (struct entry){
		.mode = long64 ? ENTRY_LONG64 : ENTRY_PROT32,
		.rip = entry,
		.rsi = LAYOUT_INFO,
	};
	return 0;
}

static int pvh_write_info(struct boot *boot, gpa_t initrd, uint64_t initrd_size)
{
	const char *append = boot->config->append;
	struct pvh_memmap map[E820_MAX] = { 0 };
	struct pvh_module module = { initrd, initrd_size, 0, 0 };
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = initrd_size ? 1 : 0,
		.modlist = initrd_size ? LAYOUT_TABLE + sizeof(map) : 0,
		.cmdline = LAYOUT_CMDLINE,
		.rsdp = boot->rsdp,
		.memmap = LAYOUT_TABLE,
	};
	struct e820 e820;

	e820_build(&e820, boot->ram);
	info.memmap_entries = e820.nr;
	for (unsigned i = 0; i < e820.nr; i++)
		map[i] = (struct pvh_memmap){ e820.entry[i].gpa,
					      e820.entry[i].size,
					      e820.entry[i].type, 0 };
	if (ram_write(boot->ram, LAYOUT_TABLE, map, sizeof(map)) ||
	    ram_write(boot->ram, LAYOUT_TABLE + sizeof(map), &module,
		      sizeof(module)) ||
	    ram_write(boot->ram, LAYOUT_CMDLINE, append, strlen(append) + 1) ||
	    ram_write(boot->ram, LAYOUT_INFO, &info, sizeof(info)))
		return -EFAULT;
	return 0;
}

int elf_load_pvh(struct boot *boot)
{
	gpa_t pvh = elf_pvh_entry(boot), entry, end, initrd;
	uint64_t initrd_size;
	int r;

	if (!pvh)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" has no PVH entry note",
				 boot->config->kernel);
	r = elf_load(boot, &entry, &end);
	if (r)
		return r;
	r = image_load_initrd(boot, end, 0x80000000, IMAGE_TOP, &initrd,
			      &initrd_size);
	if (r)
		return r;
	boot->entry = (struct entry){
		.mode = ENTRY_PROT32,
		.rip = pvh,
		.rbx = LAYOUT_INFO,
	};
	return pvh_write_info(boot, initrd, initrd_size);
}

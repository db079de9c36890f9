#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test/test.h"
#include "vmm/boot/e820.h"
#include "vmm/boot/image.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/linux.h"
#include "vmm/boot/multiboot.h"
#include "vmm/log.h"

#define MIB (1ull << 20)

static struct ram ram;
static struct boot_config config;
static struct boot boot;
static char message[512];
static char initrd_path[] = "/tmp/ring3-initrd-XXXXXX";

static void setup(const void *data, size_t size, const char *name)
{
	memset(ram.base, 0xcc, LAYOUT_EBDA);
	config = (struct boot_config){ .kernel = name,
				       .append = "a=b",
				       .raw_addr = BOOT_RAW_ADDR };
	boot = (struct boot){ .config = &config,
			      .ram = &ram,
			      .rsdp = 0xe0000,
			      .data = data,
			      .size = size };
	message[0] = 0;
}

static bool said(const char *text)
{
	if (strstr(message, text))
		return true;
	printf("message is: %s\n", message);
	return false;
}

/* A bzImage of one setup sector and 4 KiB of "kernel". */
#define SETUP_BYTES 1024
#define PAYLOAD	    4096
static struct {
	uint8_t bytes[SETUP_BYTES + PAYLOAD];
} bz;

static struct setup_header *make_bzimage(uint16_t version, uint16_t xloadflags)
{
	struct setup_header *hdr = (void *)(bz.bytes + 0x1f1);

	memset(&bz, 0, sizeof(bz));
	memset(bz.bytes + SETUP_BYTES, 0x90, PAYLOAD);
	hdr->setup_sects = 1;
	hdr->syssize = PAYLOAD / 16;
	hdr->boot_flag = 0xaa55;
	hdr->jump = 0x66eb; /* to the end of the header */
	hdr->header = 0x53726448;
	hdr->version = version;
	hdr->loadflags = LOADED_HIGH;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->cmdline_size = 255;
	hdr->kernel_alignment = 0x200000;
	hdr->relocatable_kernel = 1;
	hdr->xloadflags = xloadflags;
	hdr->pref_address = 16 * MIB;
	hdr->init_size = 8 * MIB;
	return hdr;
}

static void test_bzimage64(void)
{
	struct boot_params *params;
	struct setup_data *seed;

	make_bzimage(0x020f, XLF_KERNEL_64);
	setup(&bz, sizeof(bz), "bzImage");
	config.initrd = initrd_path;
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_LONG64);
	CHECK_EQ(boot.entry.rip, 16 * MIB + 0x200);
	CHECK_EQ(boot.entry.rsi, LAYOUT_INFO);
	CHECK_EQ(ram.base[16 * MIB], 0x90);
	params = ram_ptr(&ram, boot.entry.rsi, sizeof(*params));
	CHECK_EQ(params->hdr.type_of_loader, 0xff);
	CHECK_EQ(params->hdr.version, 0x020f);
	CHECK_EQ(params->acpi_rsdp_addr, 0xe0000);
	CHECK(!strcmp(ram_ptr(&ram, params->hdr.cmd_line_ptr, 4), "a=b"));
	CHECK_EQ(params->hdr.ramdisk_size, 6);
	CHECK_EQ(params->hdr.ramdisk_image, 128 * MIB - 4096);
	CHECK(!memcmp(ram.base + params->hdr.ramdisk_image, "initrd", 6));
	CHECK_EQ(params->e820_table[0].addr, 0);
	CHECK_EQ(params->e820_table[0].size, LAYOUT_EBDA);
	CHECK(params->e820_entries >= 4);
	seed = ram_ptr(&ram, params->hdr.setup_data, sizeof(*seed));
	CHECK_EQ(seed->next, 0);
	CHECK_EQ(seed->type, 9);
	CHECK_EQ(seed->len, 32);
}

static void test_bzimage32(void)
{
	make_bzimage(0x020f, 0);
	setup(&bz, sizeof(bz), "bzImage");
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_PROT32);
	CHECK_EQ(boot.entry.rip, 16 * MIB);
	config.protocol = BOOT_LINUX64;
	CHECK(image_load(&boot) < 0);
	CHECK(said("no 64-bit entry"));

	/* Before 2.10 there is no preferred address. */
	make_bzimage(0x0206, 0);
	setup(&bz, sizeof(bz), "bzImage");
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.rip, MIB);
}

static void test_bzimage_bad(void)
{
	struct setup_header *hdr = make_bzimage(0x020f, XLF_KERNEL_64);

	/* Every truncation is refused, and none reads past the end. */
	for (size_t len = 1; len <= sizeof(bz) - 16; len += 13) {
		uint8_t *copy = malloc(len);

		memcpy(copy, &bz, len);
		setup(copy, len, "cut");
		CHECK(image_load(&boot) < 0);
		free(copy);
	}
	CHECK(said("truncated"));

	hdr->init_size = 120 * MIB;
	setup(&bz, sizeof(bz), "bzImage");
	CHECK_EQ(image_load(&boot), -ENOSPC);
	CHECK(said("--mem"));
	hdr->init_size = 112 * MIB; /* fits, but no room for the initrd */
	config.initrd = initrd_path;
	CHECK_EQ(image_load(&boot), -ENOSPC);
	CHECK(said("initrd"));
	CHECK(said("does not fit"));

	hdr = make_bzimage(0x0204, 0);
	setup(&bz, sizeof(bz), "old");
	CHECK(image_load(&boot) < 0);
	CHECK(said("2.04"));
	hdr = make_bzimage(0x020f, 0);
	hdr->loadflags = 0;
	CHECK(image_load(&boot) < 0);
	CHECK(said("zImage"));
	hdr = make_bzimage(0x020f, XLF_KERNEL_64);
	hdr->cmdline_size = 2;
	CHECK_EQ(image_load(&boot), -E2BIG);
	CHECK(said("command line"));
	hdr->cmdline_size = 255;
	config.initrd = "/nonexistent/initrd";
	CHECK_EQ(image_load(&boot), -ENOENT);
	CHECK(said("/nonexistent/initrd"));
}

/* An ELF64 file: one PT_LOAD, one PT_NOTE that names a PVH entry. */
static struct {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr head;
		char owner[4];
		uint32_t entry;
	} note;
	char code[64];
} elf;

static void make_elf(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.eh.e_ident, ELFMAG, SELFMAG);
	elf.eh.e_ident[EI_CLASS] = ELFCLASS64;
	elf.eh.e_type = ET_EXEC;
	elf.eh.e_machine = EM_X86_64;
	elf.eh.e_entry = 0x1000010;
	elf.eh.e_phoff = offsetof(typeof(elf), ph);
	elf.eh.e_phnum = 2;
	elf.eh.e_phentsize = sizeof(elf.ph[0]);
	elf.ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				  .p_offset = offsetof(typeof(elf), code),
				  .p_paddr = 0x1000000,
				  .p_filesz = sizeof(elf.code),
				  .p_memsz = 0x2000 };
	elf.ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE,
				  .p_offset = offsetof(typeof(elf), note),
				  .p_filesz = sizeof(elf.note),
				  .p_align = 4 };
	elf.note.head = (Elf64_Nhdr){ 4, 4, 18 };
	memcpy(elf.note.owner, "Xen", 4);
	elf.note.entry = 0x1000040;
	memset(elf.code, 0x77, sizeof(elf.code));
}

static void test_pvh(void)
{
	uint32_t *info;

	make_elf();
	setup(&elf, sizeof(elf), "vmlinux");
	config.initrd = initrd_path;
	memset(ram.base + 0x1000000, 0xcc, 0x2000);
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_PROT32);
	CHECK_EQ(boot.entry.rip, 0x1000040);
	CHECK_EQ(ram.base[0x1000000], 0x77);
	CHECK_EQ(ram.base[0x1001fff], 0); /* cleared behind the file's part */
	info = ram_ptr(&ram, boot.entry.rbx, 56);
	CHECK_EQ(info[0], 0x336ec578);
	CHECK_EQ(info[3], 1); /* modules */
	CHECK_EQ(*(uint64_t *)(info + 8), 0xe0000);
	CHECK(!strcmp(ram_ptr(&ram, *(uint64_t *)(info + 6), 4), "a=b"));
}

static void test_vmlinux(void)
{
	struct boot_params *params;

	make_elf();
	elf.note.head.n_type = 1;
	setup(&elf, sizeof(elf), "vmlinux");
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_LONG64);
	CHECK_EQ(boot.entry.rip, 0x1000010);
	params = ram_ptr(&ram, boot.entry.rsi, sizeof(*params));
	CHECK_EQ(params->hdr.header, 0x53726448);
	CHECK_EQ(params->hdr.boot_flag, 0xaa55);
	config.protocol = BOOT_PVH;
	CHECK(image_load(&boot) < 0);
	CHECK(said("PVH"));
}

static void test_elf_bad(void)
{
	make_elf();
	for (size_t len = 1; len < offsetof(typeof(elf), code) + 64; len++) {
		uint8_t *copy = malloc(len);

		memcpy(copy, &elf, len);
		setup(copy, len, "cut");
		CHECK(image_load(&boot) < 0);
		free(copy);
	}
	CHECK(said("truncated"));
	setup(&elf, sizeof(elf), "vmlinux");
	elf.eh.e_machine = EM_AARCH64;
	CHECK(image_load(&boot) < 0);
	CHECK(said("machine 183"));
	make_elf();
	elf.ph[0].p_paddr = 127 * MIB;
	elf.ph[0].p_memsz = 2 * MIB;
	CHECK_EQ(image_load(&boot), -ENOSPC);
	elf.ph[0].p_paddr = -4096ull;
	CHECK(image_load(&boot) < 0);
	elf.ph[0].p_paddr = LAYOUT_INFO;
	elf.ph[0].p_memsz = 4096;
	CHECK(image_load(&boot) < 0);
	CHECK(said("boot information"));
	make_elf();
	elf.ph[0].p_filesz = 0x3000;
	CHECK(image_load(&boot) < 0);
	make_elf();
	elf.ph[0].p_type = PT_NULL;
	CHECK(image_load(&boot) < 0);
	CHECK(said("nothing to load"));
	make_elf();
	elf.eh.e_phoff = ~0ull - 8;
	CHECK(image_load(&boot) < 0);
	make_elf();
	elf.ph[1].p_type = PT_INTERP;
	CHECK(image_load(&boot) < 0);
	CHECK(said("not a kernel"));
	/* A note whose sizes lead out of the segment. */
	make_elf();
	elf.note.head.n_namesz = ~0u;
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_LONG64);
}

/* A multiboot ELF32 image, as kvm-unit-tests has them. */
static struct {
	Elf32_Ehdr eh;
	Elf32_Phdr ph;
	uint32_t header[3];
} mb;

static void make_multiboot(void)
{
	memset(&mb, 0, sizeof(mb));
	memcpy(mb.eh.e_ident, ELFMAG, SELFMAG);
	mb.eh.e_ident[EI_CLASS] = ELFCLASS32;
	mb.eh.e_machine = EM_386;
	mb.eh.e_entry = 0x400010;
	mb.eh.e_phoff = offsetof(typeof(mb), ph);
	mb.eh.e_phnum = 1;
	mb.eh.e_phentsize = sizeof(mb.ph);
	mb.ph = (Elf32_Phdr){ .p_type = PT_LOAD,
			      .p_paddr = 0x400000,
			      .p_filesz = sizeof(mb),
			      .p_memsz = 0x10001 };
	mb.header[0] = 0x1badb002;
	mb.header[2] = -0x1badb002u;
}

static void test_multiboot(void)
{
	uint32_t *info, *module;
	struct e820 map;
	uint8_t *mmap;

	make_multiboot();
	setup(&mb, sizeof(mb), "/some/where/test.flat");
	config.initrd = initrd_path;
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_PROT32);
	CHECK_EQ(boot.entry.rip, 0x400010);
	CHECK_EQ(boot.entry.rax, 0x2badb002);
	info = ram_ptr(&ram, boot.entry.rbx, 88);
	CHECK_EQ(info[0] & 0x4d, 0x4d);
	CHECK_EQ(info[2], 127 * 1024);
	CHECK(!strcmp(ram_ptr(&ram, info[4], 14), "test.flat a=b"));
	CHECK_EQ(info[5], 1);
	module = ram_ptr(&ram, info[6], 16);
	CHECK_EQ(module[0], 0x411000);
	CHECK_EQ(module[1], 0x411006);
	CHECK(!memcmp(ram.base + module[0], "initrd", 6));
	e820_build(&map, &ram);
	CHECK_EQ(info[11], map.nr * 24);
	mmap = ram_ptr(&ram, info[12], info[11]);
	CHECK_EQ(*(uint32_t *)mmap, 20);
	CHECK_EQ(*(uint32_t *)(mmap + 20), E820_RAM);

	mb.header[1] = 4; /* wants a video mode */
	mb.header[2] = -0x1badb002u - 4;
	CHECK(image_load(&boot) < 0);
	CHECK(said("multiboot flags 0x4"));
	mb.header[2]++;
	CHECK(!multiboot_find((uint8_t *)&mb, sizeof(mb)));
	config.protocol = BOOT_MULTIBOOT;
	CHECK(image_load(&boot) < 0);
	CHECK(said("multiboot header"));
}

static void test_raw(void)
{
	static uint8_t image[BOOT_RAW_MAX + 1] = { 0xfa };

	setup(image, 512, "boot.bin");
	CHECK_EQ(image_load(&boot), 0);
	CHECK_EQ(boot.entry.mode, ENTRY_REAL);
	CHECK_EQ(boot.entry.rip, 0x7c00);
	CHECK_EQ(boot.entry.rdx, 0x80);
	CHECK_EQ(ram.base[0x7c00], 0xfa);
	boot.size = BOOT_RAW_MAX + 1;
	CHECK_EQ(image_load(&boot), -EFBIG);
	boot.size = 512;
	config.raw_addr = LAYOUT_EBDA - 511;
	CHECK(image_load(&boot) < 0);
	config.raw_addr--;
	CHECK_EQ(image_load(&boot), 0);
	setup(image, 512, "boot.img"); /* not asked for */
	CHECK_EQ(image_load(&boot), -ENOEXEC);
	CHECK(said("--boot raw"));
	config.protocol = BOOT_RAW;
	CHECK_EQ(image_load(&boot), 0);
}

static void test_entry(void)
{
	struct entry e = { .mode = ENTRY_LONG64, .rip = 0x1000, .rsi = 7 };
	struct kvm_sregs sregs = { .cr4 = 0 };
	struct kvm_regs regs;
	uint64_t *table;

	CHECK_EQ(entry_write_tables(&e, &ram), 0);
	entry_set_regs(&e, &regs, &sregs);
	CHECK_EQ(regs.rip, 0x1000);
	CHECK_EQ(regs.rsi, 7);
	CHECK_EQ(regs.rflags, 2);
	CHECK_EQ(sregs.efer, 0x500);
	CHECK_EQ(sregs.cr0 & 0x80000001, 0x80000001);
	CHECK(sregs.cs.l && !sregs.cs.db);
	/* The page tables map 3 GiB + 5 onto itself. */
	table = ram_ptr(&ram, sregs.cr3, 4096);
	table = ram_ptr(&ram, table[0] & PAGE_MASK, 4096);
	table = ram_ptr(&ram, table[3] & PAGE_MASK, 4096);
	CHECK_EQ(table[0], 0xc0000083);
	CHECK_EQ(table[511], 0xffe00083);

	e.mode = ENTRY_REAL;
	e.rip = 0x12345;
	memset(&sregs, 0, sizeof(sregs));
	entry_set_regs(&e, &regs, &sregs);
	CHECK_EQ(sregs.cs.selector, 0x1234);
	CHECK_EQ(sregs.cs.base, 0x12340);
	CHECK_EQ(regs.rip, 5);
}

static void test_ram(void)
{
	struct ram_region r[RAM_REGIONS_MAX];
	struct ram big;
	struct e820 map;

	CHECK_EQ(ram_init(&big, 5ull << 30), 0);
	CHECK_EQ(ram_regions(&big, r), 3);
	CHECK_EQ(r[2].gpa, RAM_HIGH_START);
	CHECK_EQ(r[2].size, 2ull << 30);
	CHECK(ram_ptr(&big, RAM_HOLE_START - 1, 1) != NULL);
	CHECK(ram_ptr(&big, RAM_HOLE_START - 1, 2) == NULL);
	CHECK(ram_ptr(&big, RAM_VGA_START, 1) == NULL);
	CHECK(ram_ptr(&big, RAM_VGA_START - 1, 2) == NULL);
	CHECK(ram_ptr(&big, RAM_HIGH_START, 2ull << 30) != NULL);
	CHECK(ram_ptr(&big, RAM_HIGH_START, (2ull << 30) + 1) == NULL);
	CHECK(ram_ptr(&big, ~0ull, 2) == NULL);
	CHECK(ram_ptr(&big, 0, ~0ull) == NULL);
	e820_build(&map, &big);
	CHECK_EQ(map.entry[map.nr - 1].gpa, RAM_HIGH_START);
	for (unsigned i = 1; i < map.nr; i++)
		CHECK(map.entry[i - 1].gpa + map.entry[i - 1].size <=
		      map.entry[i].gpa);
	ram_exit(&big);
}

int main(void)
{
	int fd = mkstemp(initrd_path);

	CHECK_EQ(write(fd, "initrd", 6), 6);
	CHECK_EQ(ram_init(&ram, 128 * MIB), 0);
	log_capture(message, sizeof(message));
	test_ram();
	test_entry();
	test_bzimage64();
	test_bzimage32();
	test_bzimage_bad();
	test_pvh();
	test_vmlinux();
	test_elf_bad();
	test_multiboot();
	test_raw();
	unlink(initrd_path);
	ram_exit(&ram);
	return test_done();
}

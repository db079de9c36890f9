/*
 * Inputs to start fuzzing from: seeds TARGET DIRECTORY.  Few and small: they
 * show the fuzzer the formats and some of what guests do.
 */
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <asm/bootparam.h>

static uint8_t buf[65536];
static size_t len;
static const char *folder;
static unsigned int count;

static void add(const void *data, size_t n)
{
	memcpy(buf + len, data, n);
	len += n;
}

static void add_int(uint64_t v, size_t n)
{
	add(&v, n);
}

static void save(const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/seed-%02u-%s", folder, count++, name);
	f = fopen(path, "wb");
	if (!f || fwrite(buf, 1, len, f) != len || fclose(f)) {
		perror(path);
		exit(1);
	}
	memset(buf, 0, len);
	len = 0;
}

/* --- Code --- */

#define CODE(name, bits, body)                                                 \
	__asm__(".pushsection .rodata\n.code" #bits "\n"                       \
		"seed_" #name ":\n" body "\nseed_end_" #name ":\n"             \
		".code64\n.popsection");                                       \
	extern const uint8_t seed_##name[], seed_end_##name[]

CODE(patch, 64, "1: incl 2f+1(%rip); 2: mov $5, %eax; dec %ecx; jnz 1b; ud2");
CODE(alias, 64,
     "mov $0x40000, %ebx; 1: incb 0x12(%rbx); add $7, %eax; "
     "movb $0xc3, (%rdi); call *%rsi; loop 1b; .byte 6");
CODE(copy, 64,
     "lea 1f(%rip), %rsi; mov $0x12000, %edi; mov $16, %ecx; "
     "rep movsb; mov $0x12000, %eax; call *%rax; ud2; "
     "1: movb $0x90, 0x12001; nop; nop; ret");
CODE(over, 64,
     "1: jmp 2f+1; 2: .byte 0xb8; inc %eax; cmp $40, %al; jb 1b; "
     "int3; .byte 0xeb, 0xff, 0xc0; hlt");
CODE(page, 64, ".fill 64, 1, 0x90; movw $0x9090, 0x10ffe; jmp 0x10ffc-0x10000");
CODE(vector, 64,
     "movups (%rbx), %xmm0; paddd %xmm0, %xmm1; "
     "movups %xmm1, 0x10008; mulpd %xmm1, %xmm0; movd %xmm0, %eax; "
     "xorps %xmm2, %xmm2; ud2");
CODE(avx, 64,
     "vmovups (%rbx), %ymm0; vpaddd %ymm0, %ymm1, %ymm2; "
     "vmovups %ymm2, 0x10010; vaddpd (%rsi), %ymm0, %ymm3; "
     "vzeroupper; vpbroadcastb (%rdi), %ymm4; ud2; xgetbv");
CODE(stack, 64,
     "mov $0x10000, %esp; push %rax; add $0x40, %rsp; "
     "pushq $0x90; pop (%rbx); lock incl (%rbx); ret");
CODE(flags, 64,
     "pushf; orl $0x100, (%rsp); popf; nop; cpuid; nop; "
     "pushf; andl $~0x100, (%rsp); popf; ud2; hlt");
CODE(mmio, 64,
     "mov $0x60000, %ebx; mov (%rbx), %eax; mov %eax, (%rbx); "
     "addl $1, 4(%rbx); movq $1, 0xfff(%rbx); hlt");
CODE(patch32, 32, "1: incb 0x10003; nop; mov $5, %al; dec %ecx; jnz 1b; ud2");
CODE(system, 64,
     "mov %cr3, %rax; mov %rax, %cr3; sgdt (%rbx); lgdt (%rbx); "
     "str %ax; ltr %ax; mov $0xc0000080, %ecx; rdmsr; wrmsr; "
     "invlpg (%rbx); int $0x20; iretq");
CODE(mode32, 32,
     "mov %cr0, %eax; mov %eax, %cr0; ljmp $0x78, $0; "
     "lcall $0x88, $0; int $9; push %fs; pop %gs; iret");
CODE(real, 16,
     "int $3; lidt (%bx); mov %cr0, %eax; or $1, %al; "
     "mov %eax, %cr0; ljmp $0x38, $0x100");
CODE(devices, 64,
     "mov $0xfee00000, %ebx; movl $0x1ff, 0xf0(%rbx); "
     "movl $0x20030, 0x320(%rbx); movl $1, 0x380(%rbx); "
     "sti; hlt; in $0x20, %al; out %al, $0x43; in $0x99, %eax; "
     "rep insb; rep outsw; jmp .");

static void smc(const char *name, uint8_t how, uint16_t rip,
		const uint8_t *code, const uint8_t *end)
{
	static const uint8_t places[][2] = { { 0, 16 }, { 1, 0 }, { 4, 32 },
					     { 1, 64 }, { 3, 0 }, { 2, 0 },
					     { 8, 0 } };

	add_int(how, 1);
	add_int(rip, 2);
	add_int(0x12345678, 4);
	add(places[0], 2);
	add_int(7, 1); /* RCX */
	for (int i = 1; i < 7; i++)
		add(places[i], 2);
	add_int(0x8877665544332211, 8);
	add(code, end - code);
	save(name);
}

static void seeds_smc(void)
{
#define SMC(name, how, rip) smc(#name, how, rip, seed_##name, seed_end_##name)
	SMC(patch, 1, 0);
	SMC(alias, 1, 0);
	SMC(copy, 1, 0x800);
	SMC(over, 1, 0);
	SMC(page, 1, 0xfa0);
	SMC(vector, 1, 0);
	SMC(avx, 9, 0);
	SMC(stack, 1, 0x20);
	SMC(flags, 1, 0x100);
	SMC(mmio, 1, 0);
	SMC(patch32, 0, 0);
	SMC(patch, 3, 0xff8);
	SMC(over, 0, 0xffd);
}

static void guest(const char *name, uint8_t mode, uint8_t how,
		  const uint8_t *code, const uint8_t *end)
{
	static const uint8_t change[] = { 3, 0, 0x00, 0x01, 1, 2,    3,	   4,
					  5, 6, 7,    8,    1, 0x0d, 0,	   0,
					  0, 0, 0,    0,    0, 0,    2,	   0x11,
					  0, 0, 0,    0,    0, 0,    0xf0, 0 };

	add_int(mode, 1);
	add_int(how, 1);
	add(change, sizeof(change));
	add_int(0, 5);			   /* CR4, CR0 */
	add((uint8_t[33]){ 0, 0x10 }, 33); /* general registers */
	add_int((end - code + 3) / 4, 1);
	add(code, end - code);
	save(name);
}

static void seeds_guest(void)
{
	static const char *const modes[] = { "real",	"prot16", "prot32",
					     "paged32", "pae",	  "long",
					     "la57",	"vm86" };

	for (uint8_t m = 0; m < 8; m++) {
		bool wide = m == 5 || m == 6;
		bool small = m == 0 || m == 1 || m == 7;

		if (wide) {
			guest(modes[m], m, 0, seed_system, seed_end_system);
			guest(modes[m], m, 2, seed_devices, seed_end_devices);
			guest(modes[m], m, 1, seed_flags, seed_end_flags);
		} else if (small) {
			guest(modes[m], m, 0, seed_real, seed_end_real);
		} else {
			guest(modes[m], m, 0, seed_mode32, seed_end_mode32);
			guest(modes[m], m, 1, seed_mode32, seed_end_mode32);
		}
	}
}

/* --- Kernel images; a byte of options first --- */

static void elf64(bool pvh)
{
	Elf64_Ehdr h = { .e_type = ET_EXEC,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_entry = 0x100000,
			 .e_phoff = sizeof(h),
			 .e_ehsize = sizeof(h),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 2 };
	Elf64_Phdr load = { .p_type = PT_LOAD,
			    .p_offset = 0x100,
			    .p_paddr = 0x100000,
			    .p_vaddr = 0x100000,
			    .p_filesz = 16,
			    .p_memsz = 64 };
	Elf64_Phdr note = { .p_type = PT_NOTE,
			    .p_offset = 0x110,
			    .p_filesz = 20,
			    .p_align = 4 };
	struct {
		Elf64_Nhdr n;
		char name[4];
		uint32_t entry;
	} xen = { { 4, 4, 18 }, "Xen", 0x100000 };

	memcpy(h.e_ident, ELFMAG "\2\1\1", 7);
	add_int(pvh ? 3 : 0, 1);
	add(&h, sizeof(h));
	add(&load, sizeof(load));
	add(&note, sizeof(note));
	len = 1 + 0x110;
	add(&xen, sizeof(xen));
	save(pvh ? "pvh" : "elf64");
}

static void multiboot(void)
{
	const uint32_t header[] = { 0x1badb002, 3, -(0x1badb002u + 3) };
	Elf32_Ehdr h = { .e_type = ET_EXEC,
			 .e_machine = EM_386,
			 .e_version = EV_CURRENT,
			 .e_entry = 0x100000,
			 .e_phoff = sizeof(h),
			 .e_ehsize = sizeof(h),
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 1 };
	Elf32_Phdr load = { .p_type = PT_LOAD,
			    .p_offset = 0x60,
			    .p_paddr = 0x100000,
			    .p_filesz = 32,
			    .p_memsz = 4096 };

	memcpy(h.e_ident, ELFMAG "\1\1\1", 7);
	add_int(16, 1);
	add(&h, sizeof(h));
	add(&load, sizeof(load));
	add(header, sizeof(header));
	len = 1 + 0xc0;
	save("multiboot");
}

static void bzimage(uint8_t how)
{
	struct boot_params p = { .hdr = { .setup_sects = 1,
					  .boot_flag = 0xaa55,
					  .header = 0x53726448,
					  .version = 0x20f,
					  .loadflags = 1,
					  .xloadflags = 1,
					  .syssize = 2,
					  .cmdline_size = 255,
					  .initrd_addr_max = 0x7fffffff,
					  .pref_address = 0x200000,
					  .init_size = 0x4000,
					  .jump = 0x66eb } };

	add_int(how, 1);
	add(&p, 1024);
	add_int(0, 8);
	len += 24;
	save("bzimage");
}

static void seeds_boot(void)
{
	elf64(false);
	elf64(true);
	multiboot();
	bzimage(0);
	bzimage(16);
	bzimage(2);
	add_int(5 | 32, 1);
	add("\xea\x00\x7c\x00\x00", 5);
	save("raw");
	add_int(0, 1);
	add("\x1f\x8b gzip", 7);
	save("gzip");
}

/* --- Registers --- */

static void seeds_dev(void)
{
	/* The PIT at a high rate, its latch; the PICs set up; EOI. */
	static const uint8_t timer[] = { 0,    0,  0x33, 0,  0x34, 0, 3, 0,
					 9,    0,  3,	 0,  1,	   0, 3, 0,
					 0,    4,  3,	 0,  0,	   0, 0, 0,
					 0x11, 12, 0x32, 15, 3 };
	/* Serial with loop-back, the RTC's registers, reset control. */
	static const uint8_t legacy[] = { 0, 0, 0x47, 0, 0x10, 0,  7,  0,  0x55,
					  4, 7, 0,    0, 6,    0,  10, 4,  0x16,
					  0, 0, 0x1a, 2, 0x80, 15, 1,  15, 3 };
	/* Local APIC: enable, timer, ICR; a message; take and end it. */
	static const uint8_t apic[] = { 1,    8,  0x18, 0x0f, 0xff, 1,	  0,
					0,    8,  0x18, 0x32, 0x30, 0,	  2,
					0,    8,  0x18, 0x38, 1,    0,	  0,
					0,    8,  0x18, 0x30, 0x31, 0,	  4,
					0,    11, 0,	0,    0,    0xe0, 0xfe,
					0,    0,  0,	0,    0x41, 0,	  0,
					0,    12, 0xf6, 10,   1,    0x80, 0,
					0x0d, 0,  0,	0,    0,    0,	  0 };
	/* I/O APIC: an entry, a level line; states. */
	static const uint8_t ioapic[] = {
		0, 7,	 8,    0, 0, 0x1a, 0,	 0,  0,	   7,  8, 0x10,
		0, 0x41, 0x80, 0, 0, 11,   0xa5, 14, 8,	   20, 1, 2,
		3, 4,	 5,    6, 7, 8,	   14,	 4,  0x20, 0,  0, 1
	};

	add(timer, sizeof(timer));
	save("timer");
	add(legacy, sizeof(legacy));
	save("legacy");
	add(apic, sizeof(apic));
	save("apic");
	add(ioapic, sizeof(ioapic));
	save("ioapic");
}

/* --- ioctls: all devices, flat code; then runs --- */

static void add_code(const uint8_t *code, const uint8_t *end)
{
	add_int(end - code, 1);
	add(code, end - code);
}

static void seeds_ioctl(void)
{
	for (uint8_t how = 0; how < 32; how += 5) {
		add_int(how | 7, 1);
		if (how & 8) {
			add_code(seed_mode32, seed_end_mode32);
		}
		for (uint8_t call = 0; call < 80; call++)
			add_int(call, 3);
		save("all");
	}
}

static const struct {
	const char *name;
	void (*make)(void);
} targets[] = {
	{ "smc", seeds_smc }, { "guest", seeds_guest }, { "boot", seeds_boot },
	{ "dev", seeds_dev }, { "ioctl", seeds_ioctl },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	folder = argv[2];
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(argv[1], targets[i].name))
			targets[i].make();
	return 0;
}

// LIBS: -lZydis
/*
 * Which pages may run natively: forbidden instructions planted in ordinary
 * code, and the code of this program's libraries and of large programs, with
 * Zydis as the oracle.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "test/test.h"
#include "test/unit/opcode_walk.h"
#include "x86/scan.h"

static ZydisDecoder decoder;

/* The oracle's list. */
static const bool forbidden_mnemonics[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	[ZYDIS_MNEMONIC_CPUID] = true,	    [ZYDIS_MNEMONIC_RDTSC] = true,
	[ZYDIS_MNEMONIC_RDTSCP] = true,	    [ZYDIS_MNEMONIC_RDPMC] = true,
	[ZYDIS_MNEMONIC_RDPID] = true,	    [ZYDIS_MNEMONIC_RDPRU] = true,
	[ZYDIS_MNEMONIC_SGDT] = true,	    [ZYDIS_MNEMONIC_SIDT] = true,
	[ZYDIS_MNEMONIC_SLDT] = true,	    [ZYDIS_MNEMONIC_STR] = true,
	[ZYDIS_MNEMONIC_SMSW] = true,	    [ZYDIS_MNEMONIC_VERR] = true,
	[ZYDIS_MNEMONIC_VERW] = true,	    [ZYDIS_MNEMONIC_LAR] = true,
	[ZYDIS_MNEMONIC_LSL] = true,	    [ZYDIS_MNEMONIC_LSS] = true,
	[ZYDIS_MNEMONIC_LFS] = true,	    [ZYDIS_MNEMONIC_LGS] = true,
	[ZYDIS_MNEMONIC_XGETBV] = true,	    [ZYDIS_MNEMONIC_XSAVE] = true,
	[ZYDIS_MNEMONIC_XSAVE64] = true,    [ZYDIS_MNEMONIC_XSAVEC] = true,
	[ZYDIS_MNEMONIC_XSAVEC64] = true,   [ZYDIS_MNEMONIC_XSAVEOPT] = true,
	[ZYDIS_MNEMONIC_XSAVEOPT64] = true, [ZYDIS_MNEMONIC_XRSTOR] = true,
	[ZYDIS_MNEMONIC_XRSTOR64] = true,   [ZYDIS_MNEMONIC_VMCALL] = true,
	[ZYDIS_MNEMONIC_VMMCALL] = true,    [ZYDIS_MNEMONIC_VMFUNC] = true,
	[ZYDIS_MNEMONIC_RDPKRU] = true,	    [ZYDIS_MNEMONIC_WRPKRU] = true,
	[ZYDIS_MNEMONIC_MONITORX] = true,   [ZYDIS_MNEMONIC_MWAITX] = true,
	[ZYDIS_MNEMONIC_UMONITOR] = true,   [ZYDIS_MNEMONIC_UMWAIT] = true,
	[ZYDIS_MNEMONIC_TPAUSE] = true,	    [ZYDIS_MNEMONIC_SYSENTER] = true,
	[ZYDIS_MNEMONIC_IRET] = true,	    [ZYDIS_MNEMONIC_IRETD] = true,
	[ZYDIS_MNEMONIC_IRETQ] = true,	    [ZYDIS_MNEMONIC_CLUI] = true,
	[ZYDIS_MNEMONIC_STUI] = true,	    [ZYDIS_MNEMONIC_TESTUI] = true,
	[ZYDIS_MNEMONIC_UIRET] = true,
};

static bool theirs_forbidden(const ZydisDecodedInstruction *z,
			     const ZydisDecodedOperand *ops)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_RET:
		return z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		for (int i = 0; i < z->operand_count_visible; i++)
			if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(ops[i].reg.value) ==
				    ZYDIS_REGCLASS_SEGMENT)
				return true;
		return false;
	default:
		return forbidden_mnemonics[z->mnemonic];
	}
}

/* A program or library, and what the oracle says about its pages. */
struct program {
	const uint8_t *file;
	size_t size;
	const Elf64_Phdr *ph;
	unsigned int nr_ph;
	uint8_t *marks; /* MARK_* of each page */
};

enum {
	MARK_MAYBE = 1, /* in a sweep over a section, which may hold data */
	MARK_SURE = 2,	/* in a function that .eh_frame describes */
	MARK_CPUID = 4, /* ... and it is CPUID */
};

static struct {
	unsigned long pages, ours, theirs, missed, wrong, alone;
	unsigned long sure, unlisted;
	double us;
} sum;

/* Of a page of compiled code, which may have a table of INTs in it. */
#define MANY 512

/* Whether the list has what the oracle is sure about, @at of the file. */
static void look_up(const struct program *prog, size_t at)
{
	const uint8_t *page = prog->file + (at & PAGE_MASK);
	bool later = (at & PAGE_MASK) + 2 * PAGE_SIZE <= prog->size;
	int list[MANY], nr, i;

	nr = scan_list(page, at < PAGE_SIZE ? NULL : page - PAGE_SIZE,
		       later ? page + PAGE_SIZE : NULL, 0, list, MANY);
	for (i = 0; i < nr; i++)
		if (list[i] == (int)(at & ~PAGE_MASK))
			break;
	sum.sure++;
	sum.unlisted += i >= nr;
}

static void mark(struct program *prog, size_t from, size_t len,
		 unsigned int how)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;

	for (size_t at = from, end = from + len; at < end;) {
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(
			    &decoder, prog->file + at, end - at, &z, ops))) {
			at++;
			continue;
		}
		if (theirs_forbidden(&z, ops)) {
			prog->marks[at / PAGE_SIZE] |= how;
			if (how == MARK_SURE)
				look_up(prog, at);
		}
		if (z.mnemonic == ZYDIS_MNEMONIC_CPUID && how == MARK_SURE)
			prog->marks[at / PAGE_SIZE] |= MARK_CPUID;
		at += z.length;
	}
}

static size_t file_offset(const struct program *prog, uint64_t address)
{
	for (unsigned int i = 0; i < prog->nr_ph; i++) {
		const Elf64_Phdr *ph = &prog->ph[i];

		if (ph->p_type == PT_LOAD && address >= ph->p_vaddr &&
		    address - ph->p_vaddr < ph->p_filesz)
			return address - ph->p_vaddr + ph->p_offset;
	}
	return 0;
}

/*
 * The functions of .eh_frame_hdr's table, if it has the usual encodings (LSB
 * "DWARF Extensions"): each entry leads to an FDE, whose fourth word is the
 * function's length.
 */
static void mark_functions(struct program *prog, const Elf64_Phdr *ph)
{
	const uint8_t *hdr = prog->file + ph->p_offset;
	int32_t entry[2], nr;

	if (memcmp(hdr, "\x01\x1b\x03\x3b", 4) != 0)
		return;
	memcpy(&nr, hdr + 8, 4);
	for (int i = 0; i < nr; i++) {
		size_t code, fde;
		uint32_t len;

		memcpy(entry, hdr + 12 + 8ul * i, 8);
		code = file_offset(prog, ph->p_vaddr + entry[0]);
		fde = file_offset(prog, ph->p_vaddr + entry[1]);
		if (!code || !fde)
			continue;
		memcpy(&len, prog->file + fde + 12, 4);
		if (code + len <= prog->size)
			mark(prog, code, len, MARK_SURE);
	}
}

static void mark_all(struct program *prog)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)prog->file;
	const Elf64_Shdr *sh = (const Elf64_Shdr *)(prog->file + eh->e_shoff);

	for (int i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_flags & SHF_EXECINSTR &&
		    sh[i].sh_type == SHT_PROGBITS)
			mark(prog, sh[i].sh_offset, sh[i].sh_size, MARK_MAYBE);
	for (unsigned int i = 0; i < prog->nr_ph; i++)
		if (prog->ph[i].p_type == PT_GNU_EH_FRAME)
			mark_functions(prog, &prog->ph[i]);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec * 1e-3;
}

/* Returns how many pages with CPUID were found. */
static unsigned int scan_segment(struct program *prog, const Elf64_Phdr *ph)
{
	size_t first = ph->p_offset / PAGE_SIZE;
	size_t end = (ph->p_offset + ph->p_filesz) / PAGE_SIZE;
	unsigned int cpuid = 0;

	for (size_t i = first; i + 1 < end; i++) {
		const uint8_t *page = prog->file + i * PAGE_SIZE;
		double begin = now_us();
		bool bad = scan_page(page, i > first ? page - PAGE_SIZE : NULL,
				     page + PAGE_SIZE, 0);

		sum.us += now_us() - begin;
		sum.pages++;
		sum.ours += bad;
		sum.theirs += prog->marks[i] != 0;
		sum.missed += prog->marks[i] & MARK_SURE && !bad;
		sum.wrong += !prog->marks[i] && bad;
		sum.alone += !prog->marks[i] &&
			     scan_page(page, NULL, page + PAGE_SIZE, 0);
		cpuid += prog->marks[i] & MARK_CPUID && bad;
	}
	return cpuid;
}

static unsigned int scan_program(const char *name)
{
	int fd = open(name, O_RDONLY);
	struct program prog = { 0 };
	unsigned int cpuid = 0;
	struct stat st;

	if (fd < 0)
		return 0;
	fstat(fd, &st);
	prog.size = st.st_size;
	prog.file = mmap(NULL, prog.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	CHECK(prog.file != MAP_FAILED);
	prog.ph =
		(const Elf64_Phdr *)(prog.file +
				     ((const Elf64_Ehdr *)prog.file)->e_phoff);
	prog.nr_ph = ((const Elf64_Ehdr *)prog.file)->e_phnum;
	prog.marks = calloc(prog.size / PAGE_SIZE + 1, 1);
	mark_all(&prog);
	for (unsigned int i = 0; i < prog.nr_ph; i++)
		if (prog.ph[i].p_type == PT_LOAD && prog.ph[i].p_flags & PF_X)
			cpuid += scan_segment(&prog, &prog.ph[i]);
	free(prog.marks);
	munmap((void *)prog.file, prog.size);
	return cpuid;
}

/* What this program has mapped: itself, the C library, the loader, Zydis. */
static void test_own_code(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096], last[4096] = "", *name;
	unsigned int loaders = 0;

	while (maps && fgets(line, sizeof(line), maps)) {
		line[strcspn(line, "\n")] = 0;
		name = strchr(line, '/');
		if (!name || !strstr(line, " r-xp ") || !strcmp(name, last))
			continue;
		strcpy(last, name);
		/* The loader asks CPUID what the processor can do. */
		if (scan_program(name) && strstr(name, "/ld-linux"))
			loaders++;
	}
	if (maps)
		fclose(maps);
#ifndef RING3_SANITIZE
	CHECK_EQ(loaders, 1);
#endif
}

static void test_programs(void)
{
	static const char *const patterns[] = {
		"/usr/bin/python3", "/usr/lib/gcc/x86_64-linux-gnu/*/cc1",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
	};
	glob_t found;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (glob(patterns[i], 0, NULL, &found))
			continue;
		for (size_t j = 0; j < found.gl_pathc; j++)
			scan_program(found.gl_pathv[j]);
		globfree(&found);
	}
}

/* Three pages of ordinary code, and where its instructions begin. */
static uint8_t base[3 * PAGE_SIZE], code[3 * PAGE_SIZE];
static bool begins[3 * PAGE_SIZE];
#define PAGE (code + PAGE_SIZE)

/* Pieces of this program's own decoder, end to end. */
static void make_code(void)
{
	const uint8_t *from = (const uint8_t *)insn_decode;
	size_t at = 0, n = 0;
	struct insn insn;

	memset(base, 0x90, sizeof(base));
	while (at + 15 <= sizeof(base)) {
		CHECK(insn_decode(from + n, 15, CODE64, &insn) == DECODE_OK);
		memcpy(base + at, from + n, insn.len);
		begins[at] = true;
		at += insn.len;
		n = n < 400 ? n + insn.len : 0;
	}
	memcpy(code, base, sizeof(base));
}

/* The first instruction at or behind @at becomes @bytes, and NOPs. */
static size_t plant(const char *bytes, size_t n, size_t at)
{
	size_t first, end;

	while (!begins[at])
		at++;
	first = at;
	memcpy(code, base, sizeof(base));
	memcpy(code + at, bytes, n);
	for (end = at + n; !begins[end]; end++)
		code[end] = 0x90;
	return first;
}

static bool scan(bool before, bool next, unsigned int faults)
{
	return scan_page(PAGE, before ? code : NULL,
			 next ? PAGE + PAGE_SIZE : NULL, faults);
}

/* Whether the list has it, @at of the code, and how long it is. */
static bool listed(size_t at, int *nr)
{
	int list[4];

	*nr = scan_list(PAGE, code, PAGE + PAGE_SIZE, 0, list, 4);
	for (int i = 0; i < *nr; i++)
		if (list[i] == (int)at - (int)PAGE_SIZE)
			return true;
	return false;
}

#define BYTES(s)                                                               \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}

static const struct {
	const char *bytes;
	size_t n;
} samples[] = {
	BYTES("\x0f\xa2"),	       /* CPUID */
	BYTES("\x40\x0f\xa2"),	       /* with REX */
	BYTES("\xf3\x66\x0f\xa2"),     /* with what has no effect */
	BYTES("\x0f\x31"),	       /* RDTSC */
	BYTES("\x0f\x01\xf9"),	       /* RDTSCP */
	BYTES("\x0f\x33"),	       /* RDPMC */
	BYTES("\x0f\x01\x00"),	       /* SGDT */
	BYTES("\x0f\x01\x0c\x24"),     /* SIDT */
	BYTES("\x0f\x01\xe0"),	       /* SMSW */
	BYTES("\x41\x0f\x01\x65\0"),   /* SMSW to memory */
	BYTES("\x0f\x00\xc0"),	       /* SLDT */
	BYTES("\x66\x0f\x00\xc9"),     /* STR */
	BYTES("\x0f\x00\xe1"),	       /* VERR */
	BYTES("\x0f\x00\x28"),	       /* VERW */
	BYTES("\x48\x0f\x02\xc1"),     /* LAR */
	BYTES("\x0f\x03\xc1"),	       /* LSL */
	BYTES("\x0f\x01\xd0"),	       /* XGETBV */
	BYTES("\x48\x0f\xc7\x24\x24"), /* XSAVEC */
	BYTES("\x0f\xae\x64\x24\x40"), /* XSAVE */
	BYTES("\x0f\x01\xc1"),	       /* VMCALL */
	BYTES("\xcd\x80"),	       /* INT 80 */
	BYTES("\xcd\x04"),	       /* INT 4 */
	BYTES("\x0f\x01\xd9"),	       /* VMMCALL */
	BYTES("\x0f\x01\xd4"),	       /* VMFUNC */
	BYTES("\xf3\x41\x0f\xc7\xf8"), /* RDPID */
	BYTES("\x0f\x01\xee"),	       /* RDPKRU */
	BYTES("\x0f\x01\xef"),	       /* WRPKRU */
	BYTES("\xf3\x0f\x01\xef"),     /* STUI */
	BYTES("\x0f\x01\xfd"),	       /* RDPRU */
	BYTES("\x8e\xd8"),	       /* MOV DS, EAX */
	BYTES("\x8c\xc8"),	       /* MOV EAX, CS */
	BYTES("\x0f\xa9"),	       /* POP GS */
	BYTES("\x48\x0f\xb4\x07"),     /* LFS */
	BYTES("\xff\x18"),	       /* far CALL */
	BYTES("\x48\xff\x6c\x24\x08"), /* far JMP */
	BYTES("\xcb"),		       /* far RET */
	BYTES("\x48\xca\x08\0"),
	BYTES("\x48\xcf"), /* IRETQ */
	BYTES("\x0f\x34"), /* SYSENTER */
};

/* What looks similar, or faults at CPL 3. */
static const struct {
	const char *bytes;
	size_t n;
} harmless[] = {
	BYTES("\x0f\x05"),	       /* SYSCALL */
	BYTES("\xcc"),		       /* INT3 */
	BYTES("\x0f\x22\xd8"),	       /* MOV CR3, RAX */
	BYTES("\x0f\x01\x10"),	       /* LGDT */
	BYTES("\x0f\x30"),	       /* WRMSR */
	BYTES("\xf4\xfa\xee"),	       /* HLT, CLI, OUT */
	BYTES("\x0f\xc7\xf0"),	       /* RDRAND */
	BYTES("\xf0\x48\x0f\xc7\x0e"), /* CMPXCHG16B */
	BYTES("\xf3\x48\x0f\xae\xd0"), /* WRFSBASE */
	BYTES("\xb8\x0f\xa2\x0f\x31"), /* an immediate */
	BYTES("\x48\xb8\x0f\xa2\x0f\x01\xf9\x8e\xd8\xcb"),
	BYTES("\x48\x8d\x05\x0f\xa2\0\0"), /* a displacement */
	BYTES("\x0f\xb6\x0f\x01\xc1"),	   /* MOVZX ECX, [RDI]; ADD ECX, EAX */
	BYTES("\x89\xca\x48\x89\xcb"),	   /* MOV EDX, ECX; MOV RBX, RCX */
	BYTES("\x62\xf1\x7c\x48\x28\xcb"), /* VMOVAPS ZMM1, ZMM3 */
};

static void test_planted(void)
{
	static const size_t places[] = { 0,
					 1,
					 2,
					 3,
					 5,
					 9,
					 17,
					 40,
					 100,
					 2048,
					 PAGE_SIZE - 40,
					 PAGE_SIZE - 20 };

	CHECK(!scan(true, true, 0));
	CHECK(!scan(false, false, 0));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		size_t at = PAGE_SIZE + places[i];

		for (size_t j = 0; j < ARRAY_SIZE(samples); j++) {
			size_t here = plant(samples[j].bytes, samples[j].n, at);
			int nr;

			CHECK(scan(true, true, 0));
			CHECK(listed(here, &nr));
			CHECK(nr <= 2);
			CHECK(scan(true, false, 0));
			CHECK(places[i] < 16 || scan(false, true, 0));
		}
		for (size_t j = 0; j < ARRAY_SIZE(harmless); j++) {
			plant(harmless[j].bytes, harmless[j].n, at);
			CHECK(!scan(true, true, 0));
		}
	}
}

/* An instruction that crosses into the next page. */
static void test_crossing(void)
{
	for (size_t j = 0; j < ARRAY_SIZE(samples); j++) {
		for (size_t in = 1; in < samples[j].n; in++) {
			size_t at = 2 * PAGE_SIZE - in;

			/* A one-byte NOP for each byte from a boundary on. */
			size_t from = plant("\x90", 1, at - 40);

			memset(code + from, 0x90, at - from);
			memset(code + at, 0x90, 40);
			memcpy(code + at, samples[j].bytes, samples[j].n);
			CHECK(scan(true, true, 0));
		}
	}
	/* The page ends with an opcode's first byte, with all of it. */
	code[2 * PAGE_SIZE - 2] = 0x90;
	code[2 * PAGE_SIZE - 1] = 0x0f;
	code[2 * PAGE_SIZE] = 0xaf;
	CHECK(scan(true, false, 0));
	CHECK(!scan(true, true, 0));
	code[2 * PAGE_SIZE] = 0xa2;
	CHECK(scan(true, true, 0));
	code[2 * PAGE_SIZE - 1] = 0x8e;
	CHECK(scan(true, false, 0));
	/* A prefix alone may belong to anything. */
	code[2 * PAGE_SIZE - 1] = 0x48;
	CHECK(!scan(true, false, 0));
	code[2 * PAGE_SIZE - 1] = 0xb8;
	CHECK(!scan(true, false, 0));
}

static void test_faults(void)
{
	plant("\x0f\x31", 2, PAGE_SIZE + 200);
	CHECK(!scan(true, true, SCAN_TSC_FAULTS));
	CHECK(scan(true, true, SCAN_CPUID_FAULTS));
	plant("\x0f\x01\xf9", 3, PAGE_SIZE + 200);
	CHECK(!scan(true, true, SCAN_TSC_FAULTS));
	plant("\x0f\xa2", 2, PAGE_SIZE + 200);
	CHECK(!scan(true, true, SCAN_CPUID_FAULTS));
	CHECK(scan(true, true, SCAN_TSC_FAULTS));
}

/* More than there is room for; none. */
static void test_list(void)
{
	int at[2], nr;

	memcpy(code, base, sizeof(base));
	CHECK(!listed(PAGE_SIZE, &nr));
	CHECK_EQ(nr, 0);
	memset(PAGE, 0x90, PAGE_SIZE);
	for (int i = 1; i <= 3; i++)
		memcpy(PAGE + 1000 * i, "\x0f\xa2", 2);
	CHECK_EQ(scan_list(PAGE, code, PAGE + PAGE_SIZE, 0, at, 2), -E2BIG);
	CHECK(listed(PAGE_SIZE + 2000, &nr));
	CHECK_EQ(nr, 3);
	CHECK_EQ(scan_list(PAGE, code, PAGE + PAGE_SIZE, SCAN_CPUID_FAULTS, at,
			   2),
		 0);
}

/* A function behind a table of constants. */
/* A function that begins with it, behind another one's end and padding. */
static void test_behind_zeros(void)
{
	int nr;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		for (size_t zeros = 8; zeros < 120; zeros++) {
			size_t at = plant("\xc3", 1, PAGE_SIZE - 8 + zeros);

			memset(code + at + 1, 0, zeros);
			memcpy(code + at + 1 + zeros, samples[i].bytes,
			       samples[i].n);
			CHECK(scan(true, true, 0));
			CHECK(listed(at + 1 + zeros, &nr));
		}
	}
}

static void test_data(void)
{
	size_t at = plant("\x90", 1, PAGE_SIZE + 1000);

	for (size_t i = 0; i < 256; i++)
		code[at + i] = i * 29 + i / 7;
	memcpy(code + at + 256, "\x53\x31\xc0\x31\xc9\x0f\xa2\x5b\xc3", 9);
	CHECK(scan(true, true, 0));
}

/* Of what the walk has. */
#define EVERY (WALK_SAMPLE > 1 ? 1 : 3)

static unsigned long cases, both, only_theirs, overlooked;
static unsigned int seen[NR_INSN_IDS];

/* What Zydis's list has is forbidden; what is forbidden is found. */
static void visit(const uint8_t bytes[15], enum code_size cs)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct insn insn;
	bool theirs;

	if (cases++ % EVERY || insn_decode(bytes, 15, cs, &insn) != DECODE_OK ||
	    insn.lock)
		return;
	theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, 15, &z,
						     ops)) &&
		 theirs_forbidden(&z, ops);
	if (!scan_forbidden(&insn, 0)) {
		if (theirs && !only_theirs++)
			printf("%s is not forbidden\n",
			       ZydisMnemonicGetString(z.mnemonic));
		return;
	}
	both += theirs;
	if (seen[insn.row->id]++ > 100)
		return;
	plant((const char *)bytes, insn.len, PAGE_SIZE + 64 + cases % 1000);
	if (!scan(true, true, 0) && !overlooked++)
		printf("%s is overlooked\n", insn.row->name);
}

int main(void)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
			 ZYDIS_STACK_WIDTH_64);
	make_code();
	test_planted();
	test_crossing();
	test_faults();
	test_list();
	test_behind_zeros();
	test_data();
	walk_opcodes(CODE64, visit);
	CHECK(both > 1000);
	CHECK_EQ(only_theirs, 0);
	CHECK_EQ(overlooked, 0);
	test_own_code();
	test_programs();
	printf("%lu pages, forbidden %lu, by Zydis %lu, missed %lu, wrong %lu, "
	       "%lu without the page before; %.1f us each\n",
	       sum.pages, sum.ours, sum.theirs, sum.missed, sum.wrong,
	       sum.alone, sum.us / sum.pages);
	printf("%lu instructions, not listed %lu\n", sum.sure, sum.unlisted);
	CHECK(sum.pages > 100);
	CHECK(sum.sure > 10);
	CHECK_EQ(sum.unlisted, 0);
	CHECK_EQ(sum.missed, 0);
	CHECK(sum.wrong * 500 < sum.pages);
	CHECK(sum.alone * 100 < sum.pages);
	return test_done();
}

// LIBS: -lZydis
/*
 * Which pages may run natively: forbidden instructions planted in ordinary
 * code, and the code of installed programs with Zydis as the oracle.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "test/test.h"
#include "x86/scan.h"

static ZydisDecoder decoder;

/* The oracle's own list. */
static bool theirs_forbidden(const ZydisDecodedInstruction *z,
			     const ZydisDecodedOperand *ops)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDPRU:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
	case ZYDIS_MNEMONIC_VMFUNC:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_UMONITOR:
	case ZYDIS_MNEMONIC_UMWAIT:
	case ZYDIS_MNEMONIC_TPAUSE:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return true;
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
		return false;
	}
}

static unsigned long pages, ours, theirs, missed, wrong;
static double scan_ns;

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* Marks the pages in which a linear sweep over a section finds something. */
static void mark(const uint8_t *file, const Elf64_Shdr *sh, uint8_t *marks)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;

	for (size_t at = sh->sh_offset; at < sh->sh_offset + sh->sh_size;) {
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(
			    &decoder, file + at, sh->sh_offset + sh->sh_size - at,
			    &z, ops))) {
			at++;
			continue;
		}
		if (theirs_forbidden(&z, ops)) {
			marks[at / PAGE_SIZE] = 1;
			if (getenv("SCAN_SHOW"))
				printf("  %#zx %s\n", at, ZydisMnemonicGetString(z.mnemonic));
		}
		at += z.length;
	}
}

static void scan_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	unsigned long p0 = pages, o0 = ours, t0 = theirs, m0 = missed, w0 = wrong;
	const Elf64_Ehdr *eh;
	const Elf64_Shdr *sh;
	const Elf64_Phdr *ph;
	uint8_t *file, *marks;
	struct stat st;

	if (fd < 0)
		return;
	fstat(fd, &st);
	file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return;
	eh = (const Elf64_Ehdr *)file;
	sh = (const Elf64_Shdr *)(file + eh->e_shoff);
	ph = (const Elf64_Phdr *)(file + eh->e_phoff);
	marks = calloc(st.st_size / PAGE_SIZE + 1, 1);
	for (int i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_flags & SHF_EXECINSTR && sh[i].sh_type == SHT_PROGBITS)
			mark(file, &sh[i], marks);
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !(ph[i].p_flags & PF_X))
			continue;
		for (size_t at = ph[i].p_offset & PAGE_MASK;
		     at + 2 * PAGE_SIZE <= ph[i].p_offset + ph[i].p_filesz; at += PAGE_SIZE) {
			double begin = now_ns();
			bool bad = scan_page(file + at, file + at + PAGE_SIZE, 0);

			scan_ns += now_ns() - begin;
			pages++;
			ours += bad;
			theirs += marks[at / PAGE_SIZE];
			missed += marks[at / PAGE_SIZE] && !bad;
			wrong += !marks[at / PAGE_SIZE] && bad;
			if (getenv("SCAN_SHOW") && bad != marks[at / PAGE_SIZE])
				printf("  %#zx %s\n", at, bad ? "wrong" : "missed");
		}
	}
	printf("%s: %lu pages, forbidden %lu, by Zydis %lu, missed %lu, wrong %lu\n", name,
	       pages - p0, ours - o0, theirs - t0, missed - m0, wrong - w0);
	free(marks);
	munmap(file, st.st_size);
}

int main(int argc, char **argv)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (int i = 1; i < argc; i++)
		scan_file(argv[i]);
	printf("%lu pages, %.2f us each; forbidden %lu, by Zydis %lu, missed %lu, wrong %lu\n",
	       pages, scan_ns / pages / 1000, ours, theirs, missed, wrong);
	return test_done();
}

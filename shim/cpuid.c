#include "shim/cpuid.h"

#include <cpuid.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "base/types.h"
#include "shim/options.h"
#include "shim/real.h"
#include "shim/signal.h"
#include "x86/insn.h"

#define MAX_SITES 64

/* CPUID.1:ECX.VMX and CPUID.80000001H:ECX.SVM, "CPUID" in SDM 2 and APM 3 */
#define BIT_VMX BIT(5)
#define BIT_SVM BIT(2)

#define CPUID_LEN 2

static const uint8_t cpuid_bytes[CPUID_LEN] = { 0x0f, 0xa2 };
static const uint8_t ud2_bytes[CPUID_LEN] = { 0x0f, 0x0b };

static const uint8_t *sites[MAX_SITES];
static unsigned int nr_sites;

/* selected - whether this process runs the program that is meant. */
static bool selected(void)
{
	const char *value = option_value(OPTION_CPUID);
	unsigned long dev, ino;
	struct stat st;

	return value && sscanf(value, "%lx:%lx", &dev, &ino) == 2 &&
	       !real()->fstatat(AT_FDCWD, "/proc/self/exe", &st, 0) &&
	       st.st_dev == dev && st.st_ino == ino;
}

static void patch(uint8_t *p)
{
	uint8_t *page = (uint8_t *)((uintptr_t)p & PAGE_MASK);
	size_t len = p + CPUID_LEN - page;

	if (nr_sites == MAX_SITES ||
	    mprotect(page, len, PROT_READ | PROT_WRITE))
		return;
	memcpy(p, ud2_bytes, CPUID_LEN);
	mprotect(page, len, PROT_READ | PROT_EXEC);
	sites[nr_sites++] = p;
}

/* sweep - one instruction after the other, so that no constant is taken. */
static void sweep(uint8_t *p, size_t len)
{
	struct insn in;
	size_t n;

	for (; len; p += n, len -= n) {
		n = 1;
		if (insn_decode(p, len < 15 ? len : 15, CODE64, &in) ==
		    DECODE_OK)
			n = in.len;
		if (n == CPUID_LEN && !memcmp(p, cpuid_bytes, CPUID_LEN))
			patch(p);
	}
}

/* The first object is the program itself. */
static int sweep_program(struct dl_phdr_info *info, size_t size, void *data)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) &&
		    !(ph->p_flags & PF_W))
			sweep((uint8_t *)info->dlpi_addr + ph->p_vaddr,
			      ph->p_filesz);
	}
	return 1;
}

void cpuid_start(void)
{
	if (!selected())
		return;
	signals_claim(SIGILL);
	dl_iterate_phdr(sweep_program, NULL);
}

bool cpuid_trapped(void *uc)
{
	greg_t *g = ((ucontext_t *)uc)->uc_mcontext.gregs;
	unsigned int leaf = g[REG_RAX], a, b, c, d, i;

	for (i = 0; i < nr_sites; i++)
		if (sites[i] == (const uint8_t *)g[REG_RIP])
			break;
	if (i == nr_sites)
		return false;
	__cpuid_count(leaf, (unsigned int)g[REG_RCX], a, b, c, d);
	if (leaf == 1)
		c |= BIT_VMX;
	if (leaf == 0x80000001)
		c |= BIT_SVM;
	g[REG_RAX] = a;
	g[REG_RBX] = b;
	g[REG_RCX] = c;
	g[REG_RDX] = d;
	g[REG_RIP] += CPUID_LEN;
	return true;
}

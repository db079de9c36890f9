#include "test/code/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"
#include "mmu/tlb.h"

#define RAM_SIZE (4ul << 20)
#define PML4	 0x1000ul

struct cpu *rig_cpu;
static struct dbt *d;
static uint8_t *ram;

/* Identity map of the first GiB with 2 MiB pages. */
static void page_tables(void)
{
	uint64_t *pml4 = (void *)(ram + PML4), *pdpt = (void *)(ram + 0x2000);
	uint64_t *pd = (void *)(ram + 0x3000);

	pml4[0] = 0x2007;
	pdpt[0] = 0x3007;
	for (unsigned int i = 0; i < 512; i++)
		pd[i] = i << 21 | 0x87;
}

static void kernel_mode(struct cpu *c)
{
	cpu_reset(c, false);
	c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE |
		 CR4_FSGSBASE;
	c->xcr0 = 7;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NX;
	for (unsigned int s = SEG_ES; s <= SEG_GS; s++)
		c->seg[s] = (struct seg){ .limit = ~0u,
					  .ar = s == SEG_CS ? 0xa09b : 0xc093,
					  .sel = s == SEG_CS ? 8 : 16 };
	c->cpl = 0;
	cpu_derive(c);
	tlb_load_cr3(&c->mmu, PML4, false);
}

void rig_setup(void)
{
	struct memslots *slots;

	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		exit(2);
	page_tables();
	d = dbt_create();
	rig_cpu = d ? dbt_cpu_create(d) : NULL;
	if (!rig_cpu || memslots_update(NULL, 0, 0, 0, RAM_SIZE, ram, &slots)) {
		puts("no vCPU");
		exit(2);
	}
	cpuid_default(rig_cpu);
	rig_cpu->mmu.slots = slots;
	kernel_mode(rig_cpu);
}

const struct block *rig_translate(const uint8_t *code, size_t n,
				  uint32_t extra_mode)
{
	uint64_t rip = RIG_CODE;

	dbt_enter_quiet(d);
	dbt_slots_changed(d, rig_cpu->mmu.slots);
	dbt_leave_quiet(d);
	memcpy(ram + RIG_CODE, code, n);
	memset(ram + RIG_CODE + n, 0xf4, 16);
	rig_cpu->rip = rip;
	/* What is position-independent is found by the offset in its page. */
	if (extra_mode & MODE_PIC)
		rip &= ~PAGE_MASK;
	return pages_translate(rig_cpu, rip, RIG_CODE,
			       mode_key(rig_cpu) | extra_mode);
}

const uint8_t *rig_code(void)
{
	return ram + RIG_CODE;
}

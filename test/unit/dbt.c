/*
 * The translator on small pieces of 64-bit guest code: the bytes between two
 * labels run in the careful and in the fast form, and natively as a function
 * where they are unprivileged; registers, flags and memory must agree.
 */
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"
#include "dbt/dbt.h"
#include "mmu/tlb.h"
#include "test/test.h"

#define RAM_SIZE (4ul << 20)
#define CODE	 0x10000ul
#define DATA	 0x20000ul
#define STACK	 0x30000ul
#define PML4	 0x1000ul

static uint8_t *ram;
static struct dbt *d;
static struct cpu *c;

/* Identity map of the first GiB with 2 MiB pages; DATA's region with 4 KiB. */
static void page_tables(void)
{
	uint64_t *pml4 = (void *)(ram + PML4), *pdpt = (void *)(ram + 0x2000);
	uint64_t *pd = (void *)(ram + 0x3000), *pt = (void *)(ram + 0x4000);

	pml4[0] = 0x2007;
	pdpt[0] = 0x3007;
	pd[0] = 0x4007;
	pd[1] = 0x200087;
	for (unsigned int i = 0; i < 512; i++)
		pt[i] = i * 4096 | 7;
}

static void setup(void)
{
	struct memslots *slots;

	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page_tables();
	d = dbt_create();
	c = dbt_cpu_create(d);
	if (!c || memslots_update(NULL, 0, 0, 0, RAM_SIZE, ram, &slots))
		exit(2);
	cpuid_default(c);
	c->mmu.slots = slots;
}

static void teardown(void)
{
	memslots_free(c->mmu.slots);
	dbt_cpu_destroy(c);
	dbt_destroy(d);
	munmap(ram, RAM_SIZE);
}

static void start(const uint8_t *code, size_t n, bool careful)
{
	static const uint32_t data_ar = 0xc093, code_ar = 0xa09b;

	cpu_reset(c, false);
	memcpy(ram + CODE, code, n);
	ram[CODE + n] = 0xf4; /* hlt */
	c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->xcr0 = 7;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NX;
	for (unsigned int s = SEG_ES; s <= SEG_GS; s++)
		c->seg[s] = (struct seg){ .limit = ~0u,
					  .ar = s == SEG_CS ? code_ar : data_ar,
					  .sel = s == SEG_CS ? 8 : 16 };
	c->rip = CODE;
	c->gpr[RSP] = STACK;
	c->careful = careful;
	c->cpl = 0;
	cpu_derive(c);
	tlb_flush_all(&c->mmu);
	tlb_load_cr3(&c->mmu, PML4, false);
	dbt_enter_quiet(d);
	dbt_slots_changed(d, c->mmu.slots);
	dbt_leave_quiet(d);
}

struct regs {
	uint64_t gpr[16], rflags;
	uint8_t data[4096];
};

static enum exit_reason run(const uint8_t *code, size_t n, bool careful,
			    const struct regs *in, struct regs *out)
{
	enum exit_reason r;

	start(code, n, careful);
	memcpy(c->gpr, in->gpr, sizeof(c->gpr));
	memcpy(ram + DATA, in->data, sizeof(in->data));
	cpu_set_rflags(c, in->rflags | 2);
	c->gpr[RSP] = STACK;
	c->gpr[RBX] = DATA;
	for (int tries = 0; tries < 100; tries++) {
		r = dbt_run(c);
		if (r != EXIT_EXTERNAL_INTERRUPT)
			break;
	}
	dbt_put_fpu(c);
	memcpy(out->gpr, c->gpr, sizeof(c->gpr));
	out->rflags = c->rflags;
	memcpy(out->data, ram + DATA, sizeof(out->data));
	return r;
}

#define SNIPPET(name, text)                                                    \
	extern const uint8_t name##_begin[], name##_end[];                     \
	__asm__(".pushsection .rodata\n" #name "_begin:\n" text "\n" #name     \
		"_end:\n.popsection")

SNIPPET(arith, "mov $5,%eax; add $7,%rax; lea 3(%rax,%rax,2),%rcx;"
	       "mov %rcx,%r10; imul %r10,%r11; xor %r15,%r11; sub %r11,(%rbx);"
	       "adc %r10d,8(%rbx); mov (%rbx),%r15; mov %r15w,16(%rbx)");
SNIPPET(high8, "mov $0x1234,%ecx; mov $0x5678,%eax; mov %ch,%ah; mov %cl,%ch;"
	       "add %ah,%cl; movzbl %ch,%ebp; movzbl %ah,%esi; mov %ch,5(%rbx);"
	       "xchg %cl,%ah; mov %ah,(%rbx,%rcx,1); add (%rbx),%ch");
SNIPPET(stack, "mov $0x1122334455667788,%rax; push %rax; push %r10; push $-3;"
	       "push (%rbx); pop %r10; pop %rdx; pop 8(%rbx); pop %r15;"
	       "push %rsp; pop %r12; call 1f; jmp 2f; 1: add $1,%r13; ret;"
	       "2: enter $16,$0; leave; pushw %ax; popw %r11w");
SNIPPET(loops, "mov $100,%ecx; xor %eax,%eax; 1: add %rcx,%rax; dec %ecx;"
	       "jnz 1b; mov $10,%ecx; 2: add $3,%rax; loop 2b; jrcxz 3f; ud2;"
	       "3: lea 4f(%rip),%rdx; jmp *%rdx; ud2; 4: mov %rdx,(%rbx);"
	       "lea 5f(%rip),%r11; mov %r11,8(%rbx); call *8(%rbx); jmp 6f;"
	       "5: inc %r14; ret; 6:");
SNIPPET(shifts, "mov $7,%ecx; mov $-99,%r11; shl %cl,%r11; sar %cl,%rax;"
		"rolq %cl,(%rbx); shld %cl,%r10,8(%rbx); ror %cl,%cl;"
		"bts %r12,16(%rbx); bt %r10d,%eax; shlx %r10,%r11,%r15;"
		"andn (%rbx),%r10,%r11; mulx (%rbx),%r10,%r11;"
		"cmpxchg %r11,(%rbx); xadd %r15,8(%rbx)");
SNIPPET(cross, "lea 0xffd(%rbx),%rdi; mov %rax,(%rdi); mov (%rdi),%rdx;"
	       "add %edx,(%rdi); mov %ax,0x1000(%rbx); mov 1(%rbx),%r11;"
	       "lock; addq $1,3(%rbx); movups %xmm0,0xff8(%rbx)");
SNIPPET(strings, "mov %rbx,%rsi; lea 100(%rbx),%rdi; mov $50,%ecx; rep movsb;"
		 "mov $0x41,%eax; mov $30,%ecx; rep stosl; std; movsq; cld;"
		 "lodsb; mov %rbx,%rdi; mov $200,%ecx; repne scasb; cmpsw");
#ifndef RING3_SANITIZE
SNIPPET(vector,
	"mov $1234567,%eax; cvtsi2sd %rax,%xmm1; sqrtsd %xmm1,%xmm2;"
	"movsd %xmm2,(%rbx); addsd (%rbx),%xmm2; movsd %xmm2,8(%rbx);"
	"vbroadcastsd 8(%rbx),%ymm3; vmovupd %ymm3,33(%rbx);"
	"movd %xmm2,%r10d; pextrq $0,%xmm2,%r11; fninit; fldpi; fstpl 80(%rbx);"
	"pcmpistri $0,%xmm3,%xmm2");
#endif

static void check(const char *name, const uint8_t *code, size_t n)
{
	static struct regs in, slow, fast;
	enum exit_reason r;

	for (int i = 0; i < 16; i++)
		in.gpr[i] = 0x9e3779b97f4a7c15ull * (i + 1);
	in.gpr[R12] = 77;
	for (unsigned int i = 0; i < sizeof(in.data); i++)
		in.data[i] = i * 7;
	for (int fl = 0; fl < 2; fl++) {
		in.rflags = fl ? 0x8d5 : 0;
		r = run(code, n, true, &in, &slow);
		if (r != EXIT_HLT)
			printf("%s careful: exit %d rip %lx vector %d\n", name,
			       r, c->rip, c->fault.vector);
		CHECK_EQ(r, EXIT_HLT);
		r = run(code, n, false, &in, &fast);
		if (r != EXIT_HLT)
			printf("%s fast: exit %d rip %lx vector %d\n", name, r,
			       c->rip, c->fault.vector);
		CHECK_EQ(r, EXIT_HLT);
		for (int i = 0; i < 16; i++) {
			if (slow.gpr[i] != fast.gpr[i])
				printf("%s: gpr %d\n", name, i);
			CHECK_EQ(fast.gpr[i], slow.gpr[i]);
		}
		CHECK_EQ(fast.rflags, slow.rflags);
		CHECK(!memcmp(fast.data, slow.data, sizeof(fast.data)));
	}
}

#define RUN(name) check(#name, name##_begin, name##_end - name##_begin)

int main(void)
{
	setup();
	RUN(arith);
	RUN(high8);
	RUN(stack);
	RUN(loops);
	RUN(shifts);
	RUN(cross);
	RUN(strings);
#ifdef RING3_SANITIZE
	printf("SKIP: vector: instrumented code uses the live registers\n");
#else
	RUN(vector);
#endif
	teardown();
	return test_done();
}

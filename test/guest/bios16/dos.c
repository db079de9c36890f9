/* Checks what the program of dos.S has found out, and "unreal" mode. */
#include "test/guest/bios16/bios16.h"

void dos_run(void);
void unreal_enter(void);
void unreal_leave(void);

extern char dos_text[];
extern u16 dos_length;
extern struct {
	u16 version, far, indirect, sp, table, wrap, patched, loop, divide;
	u16 div_insn, overflow, steps, les, cmps;
} dos_result;

void test_dos(void)
{
	static const char text[] = "hello from int 21h!";
	u32 same = 0;

	dos_run();
	while (same < sizeof(text) - 1 && dos_text[same] == text[same])
		same++;
	check("dos int21 text", same, sizeof(text) - 1);
	check("dos int21 length", dos_length, sizeof(text) - 1);
	check("dos int21 result", dos_result.version, 5);
	check("dos far call", dos_result.far, 42);
	check("dos far call through memory", dos_result.indirect, 64);
	check("dos stack pointer", dos_result.sp, 0xfffc);
	check("dos jump table", dos_result.table, 0x600d);
	check("dos offsets wrap", dos_result.wrap, 0x1234);
	check("dos patched instruction", dos_result.patched, 1);
	check("dos instruction patched in a loop", dos_result.loop, 5050);
	check("dos INT 0 restarts", dos_result.divide, 0x103);
	check("dos INT 0 points at DIV", dos_result.div_insn, 0xf1f6);
	check("dos INTO", dos_result.overflow, 1);
	/* Not behind the POPF that sets TF, nor behind the load of SS; NOP, two
	 * MOV, MOV to DS, PUSHF, POP, AND, PUSH, POPF. */
	check("dos single steps", dos_result.steps, 9);
	check("dos LES", dos_result.les, 0xc083); /* the routine's ADD */
	check("dos strings", dos_result.cmps, 0);
}

static void poke(u32 addr, u32 val)
{
	__asm__ volatile("addr32 movl %1, (%0)"
			 :
			 : "r"(addr), "r"(val)
			 : "memory");
}

static u32 peek(u32 addr)
{
	u32 val;

	__asm__ volatile("addr32 movl (%1), %0" : "=r"(val) : "r"(addr));
	return val;
}

/* Memory above 1 MiB, with the BIOS's interrupts between. */
void test_unreal(void)
{
	static struct regs r;
	u32 n = 0, sum = 0;

	r.eax = 0x2401; /* some machines start with A20 off */
	bios_call(0x15, &r);
	check("int15 2401h enables A20", r.flags & CF, 0);
	r.eax = 0x2402;
	bios_call(0x15, &r);
	check("int15 2402h A20 is on", r.eax & 0xff, 1);
	unreal_enter();
	poke(0x100600, 0x11111111);
	poke(0x600, 0x22222222);
	check("a20 1 MiB is not 0", peek(0x100600), 0x11111111);
	__asm__ volatile("movw %%ax, %%es; movl %%es:0x610, %0; movw %1, %%es"
			 : "=r"(n)
			 : "r"((u16)0), "a"(0xffff)
			 : "memory");
	check("a20 FFFF:0610 is above 1 MiB", n, 0x11111111);
	for (u32 i = 0; i < 64; i++) {
		poke(0x200000 + i * 0x1000, i);
		r.eax = 0;
		bios_call(0x1a, &r); /* with interrupts on */
	}
	__asm__ volatile("sti; hlt");
	for (u32 i = 0; i < 64; i++)
		sum += peek(0x200000 + i * 0x1000);
	check("unreal memory above 1 MiB", sum, 63 * 32);
	unreal_leave();
}

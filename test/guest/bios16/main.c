/*
 * Real-mode code that lives on the BIOS's services, as DOS and its programs do:
 * screen, disk, keyboard, clock, memory sizes.  Runs from a disk image below a
 * BIOS; expectations are from the BIOS's documented interface ("IBM PC/AT
 * Technical Reference", "Enhanced Disk Drive Specification") and hold under
 * QEMU as well.  Results go to the serial port.
 */
#include "test/guest/bios16/bios16.h"

extern u8 boot_drive;

static u32 passed, failed;
static struct regs r;
static u8 sector[512] __attribute__((aligned(16)));

static void put(const char *s)
{
	for (; *s; s++) {
		while (!(inb(0x3fd) & 0x20))
			;
		outb(0x3f8, *s);
	}
}

static void put_number(u32 n, u32 base)
{
	char buf[12], *p = buf + 11;

	*p = 0;
	do {
		*--p = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	put(p);
}

void check(const char *name, u32 got, u32 expected)
{
	if (got == expected) {
		passed++;
		put("PASS ");
		put(name);
		put("\n");
		return;
	}
	failed++;
	put("FAIL ");
	put(name);
	put(": value: got ");
	put_number(got, 16);
	put(" expected ");
	put_number(expected, 16);
	put(" (round 0)\n");
}

static void call(u32 vector, u32 eax)
{
	r.eax = eax;
	bios_call(vector, &r);
}

static void test_screen(void)
{
	static const char text[] = "hello from int 10h";
	u16 before;

	call(0x10, 0x0300); /* where the cursor is */
	before = r.edx;
	for (const char *p = text; *p; p++) {
		r.ebx = 7;
		call(0x10, 0x0e00 | *p);
	}
	r.ebx = 0;
	call(0x10, 0x0300);
	check("int10 teletype moves the cursor", (u8)(r.edx - before),
	      sizeof(text) - 1);
	call(0x10, 0x0e0d);
	call(0x10, 0x0e0a);
	call(0x10, 0x0f00); /* video mode: columns in AH */
	check("int10 mode has 80 columns", r.eax >> 8 & 0xff, 80);
}

/* The image's sector 1 starts with main.c's code: known from memory. */
static int same(const u8 *a, const u8 *b)
{
	for (u32 i = 0; i < 512; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static struct {
	u8 size, zero;
	u16 count, offset, segment;
	u64 lba;
} packet = { 16, 0, 1, 0, 0, 0 };

static void lba_call(u32 ah, u64 lba)
{
	packet.offset = (u32)sector;
	packet.lba = lba;
	packet.count = 1;
	r.edx = boot_drive;
	r.esi = (u32)&packet;
	call(0x13, ah << 8);
}

static void test_disk(void)
{
	u8 *boot = (u8 *)0x7c00;

	r.edx = boot_drive;
	r.ebx = 0x55aa;
	call(0x13, 0x4100);
	check("int13 extensions are there", r.ebx & 0xffff, 0xaa55);

	lba_call(0x42, 0);
	check("int13 42h reads", r.flags & CF, 0);
	check("int13 42h signature", sector[510] | sector[511] << 8, 0xaa55);
	check("int13 42h code", sector[0], boot[0]);

	sector[0] = 0;
	r.ecx = 2; /* cylinder 0, sector 2 */
	r.edx = boot_drive;
	r.ebx = (u32)sector;
	call(0x13, 0x0201);
	check("int13 02h reads", r.flags & CF, 0);
	check("int13 02h one sector", r.eax & 0xff, 1);
	check("int13 02h content", same(sector, (u8 *)0x7e00), 1);

	for (u32 i = 0; i < 512; i++)
		sector[i] = i * 7 + 1;
	lba_call(0x43, 1000);
	check("int13 43h writes", r.flags & CF, 0);
	for (u32 i = 0; i < 512; i++)
		sector[i] = 0;
	lba_call(0x42, 1000);
	check("int13 42h reads back", sector[511], (u8)(511 * 7 + 1));
	check("int13 42h reads back all", sector[1], 8);

	lba_call(0x42, 0xffffffff);
	check("int13 42h beyond the end fails", r.flags & CF, 1);
	r.edx = boot_drive + 5;
	r.ecx = 1;
	r.ebx = (u32)sector;
	call(0x13, 0x0201);
	check("int13 02h of no drive fails", r.flags & CF, 1);
	r.edx = boot_drive;
	call(0x13, 0x0800);
	check("int13 08h knows the drive", r.flags & CF, 0);
}

static void test_keyboard(void)
{
	call(0x16, 0x0100);
	check("int16 no key waits", r.flags & ZF, ZF);
	call(0x16, 0x0200);
	check("int16 no shift key", r.eax & 0x0f, 0);
	r.ecx = 0x1e61; /* put an 'a' there */
	call(0x16, 0x0500);
	check("int16 05h takes a key", r.eax & 0xff, 0);
	call(0x16, 0x0100);
	check("int16 01h sees it", r.flags & ZF, 0);
	call(0x16, 0x0000);
	check("int16 00h gets it", r.eax & 0xffff, 0x1e61);
}

static u32 ticks(void)
{
	call(0x1a, 0);
	return (r.ecx & 0xffff) << 16 | (r.edx & 0xffff);
}

static u32 bcd(u32 v)
{
	return (v >> 4 & 15) * 10 + (v & 15);
}

static void test_clock(void)
{
	u32 start = ticks(), n = 0;

	/* The timer's interrupt wakes HLT and counts. */
	while (ticks() - start < 3 && n++ < 200)
		__asm__ volatile("sti; hlt");
	check("int1a ticks", ticks() - start >= 3, 1);
	check("int1a one tick a halt", n <= 20, 1);
	call(0x1a, 0x0200);
	check("int1a 02h", r.flags & CF, 0);
	check("int1a hour", bcd(r.ecx >> 8 & 0xff) < 24, 1);
	check("int1a minute", bcd(r.ecx & 0xff) < 60, 1);
	call(0x1a, 0x0400);
	check("int1a century", r.ecx >> 8 & 0xff, 0x20);
}

static void test_memory(void)
{
	static struct {
		u64 start, size;
		u32 type;
	} e;
	u32 ram = 0, n = 0;

	call(0x12, 0);
	check("int12 base memory", (r.eax & 0xffff) >= 600, 1);
	call(0x15, 0x8800);
	check("int15 88h", (r.eax & 0xffff) >= 1024, 1);
	r.ebx = 0;
	do {
		r.ecx = 20;
		r.edx = 0x534d4150;
		r.es = 0;
		r.edi = (u32)&e;
		call(0x15, 0xe820);
		if (r.flags & CF)
			break;
		if (e.type == 1 && e.start == 0x100000)
			ram = e.size >> 20;
	} while (r.ebx && ++n < 100);
	check("int15 e820 RAM above 1 MiB", ram > 3, 1);
	check("int15 e820 ends", r.ebx, 0);
}

/* INT 15h 87h copies by way of protected mode. */
static void test_move(void)
{
	static struct {
		u16 limit, low;
		u8 mid, access;
		u16 high;
	} gdt[6];
	static u8 from[16] = "extended memory", back[16];

	gdt[2].limit = gdt[3].limit = 0xffff;
	gdt[2].access = gdt[3].access = 0x93;
	gdt[2].low = (u32)from;
	gdt[2].mid = 0;
	gdt[3].low = 0;
	gdt[3].mid = 0x20; /* 2 MiB */
	r.es = 0;
	r.esi = (u32)gdt;
	r.ecx = 8;
	call(0x15, 0x8700);
	check("int15 87h up", r.flags & CF, 0);
	gdt[2].low = 0;
	gdt[2].mid = 0x20;
	gdt[3].low = (u32)back;
	gdt[3].mid = 0;
	r.es = 0;
	r.esi = (u32)gdt;
	r.ecx = 8;
	call(0x15, 0x8700);
	check("int15 87h down", r.flags & CF, 0);
	for (u32 i = 0; i < 16; i++)
		if (back[i] != from[i])
			back[0] = 0;
	check("int15 87h content", back[0], 'e');
}

u32 main(void)
{
	test_screen();
	test_disk();
	test_keyboard();
	test_clock();
	test_memory();
	test_move();
	test_dos();
	test_unreal();
	test_timer();
	put("SUMMARY ");
	put_number(passed, 10);
	put(" passed, ");
	put_number(failed, 10);
	put(" failed, 0 skipped\n");
	return failed ? 1 : 0;
}

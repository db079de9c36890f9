/*
 * Accesses of C code to guest memory: crossing pages, faults before any write,
 * MMIO fragments and their restart, read-only slots, dirty log, code pages.
 */
#include "mmu/access.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "test/test.h"

/*
 * Physical memory: RAM at 0 (4 pages of tables and data), ROM behind it (2
 * pages), then a hole, then RAM with a dirty log at HIGH.
 */
#define RAM_PAGES 16
#define ROM	  (RAM_PAGES * PAGE_SIZE)
#define ROM_PAGES 2
#define HOLE	  (ROM + ROM_PAGES * PAGE_SIZE)
#define HIGH	  0x100000ull

/* Linear pages, by the number of their PTE; 32-bit paging. */
enum {
	P_DATA, /* RAM page 4 */
	P_FAR,	/* RAM page 8: not physically adjacent */
	P_RO,	/* RAM page 9, read-only */
	P_ABSENT,
	P_MMIO,	  /* HOLE */
	P_MMIO2,  /* HOLE + 16 pages */
	P_DATA2,  /* RAM page 5 */
	P_ROM,	  /* ROM */
	P_LOGGED, /* HIGH */
	P_SUPER,  /* RAM page 10, supervisor */
	P_ABSENT2,
	P_LAST = 1023, /* RAM page 11 (the last of its table) */
};

#define GVA(page, off) ((gva_t)(page)*PAGE_SIZE + (off))
#define DIR	       0x1000
#define TABLE	       0x2000
#define TABLE_TOP      0x3000

static struct mmu mmu;
static struct mmio mmio;
static struct x86_fault fault;
static uint8_t *ram, *rom, *high;

static struct {
	int calls;
	gpa_t gpa;
	unsigned int len;
} code;

static void code_write(struct mmu *m, gpa_t gpa, unsigned int len)
{
	code.calls++;
	code.gpa = gpa;
	code.len = len;
}

static const struct mmu_ops ops = { .code_write = code_write };

static void add_slot(uint32_t id, uint32_t flags, gpa_t gpa, uint64_t size,
		     uint8_t *hva)
{
	struct memslots *new;

	CHECK_EQ(memslots_update(mmu.slots, id, flags, gpa, size, hva, &new),
		 0);
	memslots_retire(mmu.slots, new);
	mmu.slots = new;
}

static uint8_t *pages(unsigned int n)
{
	uint8_t *p = aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);

	for (unsigned int i = 0; i < n * PAGE_SIZE; i++)
		p[i] = i * 7 + (i >> 12);
	return p;
}

static void set_pte(unsigned int page, gpa_t gpa, unsigned int bits)
{
	((uint32_t *)(ram + TABLE))[page] = gpa | bits;
}

static void set_up(void)
{
	const unsigned int rw = PTE_P | PTE_W | PTE_U;

	ram = pages(RAM_PAGES);
	rom = pages(ROM_PAGES);
	high = pages(4);
	memset(ram + DIR, 0, 3 * PAGE_SIZE);
	add_slot(0, 0, 0, ROM, ram);
	add_slot(1, MEMSLOT_READONLY, ROM, ROM_PAGES * PAGE_SIZE, rom);
	add_slot(2, MEMSLOT_DIRTY_LOG, HIGH, 4 * PAGE_SIZE, high);
	((uint32_t *)(ram + DIR))[0] = TABLE | rw;
	((uint32_t *)(ram + DIR))[1023] = TABLE_TOP | rw;
	set_pte(P_DATA, 0x4000, rw);
	set_pte(P_FAR, 0x8000, rw);
	set_pte(P_RO, 0x9000, PTE_P | PTE_U);
	set_pte(P_MMIO, HOLE, rw);
	set_pte(P_MMIO2, HOLE + 0x10000, rw);
	set_pte(P_DATA2, 0x5000, rw);
	set_pte(P_ROM, ROM, rw);
	set_pte(P_LOGGED, HIGH, rw);
	set_pte(P_SUPER, 0xa000, PTE_P | PTE_W);
	set_pte(P_LAST, 0xb000, rw);
	((uint32_t *)(ram + TABLE_TOP))[1023] = 0xc000 | rw;
	mmu.cr3 = DIR;
	mmu.role = (struct mmu_role){ .paging = PAGING_32,
				      .maxphyaddr = 40,
				      .wp = true };
	mmu.ops = &ops;
}

static enum cpu_result rd(gva_t gva, void *buf, unsigned int len)
{
	return mem_read(&mmu, &mmio, gva, buf, len, ACCESS_USER, &fault);
}

static enum cpu_result wr(gva_t gva, const void *buf, unsigned int len)
{
	return mem_write(&mmu, &mmio, gva, buf, len, ACCESS_USER, &fault);
}

/* All sizes at all offsets of two pages that are not adjacent in memory. */
static void test_ram(void)
{
	static const uint16_t sizes[] = { 1,  2,  3,  4,  6,   8,   10,	 16,
					  31, 32, 63, 64, 127, 128, 512, 4096 };
	uint8_t got[4096], want[8192], put[4096];

	for (int i = 0; i < 4096; i++)
		put[i] = i * 11 + 3;
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		unsigned int len = sizes[k], bad = 0;

		for (unsigned int off = 0; off < 4096; off += 1 + off % 3) {
			memcpy(want, ram + 0x4000, 4096);
			memcpy(want + 4096, ram + 0x8000, 4096);
			bad += rd(GVA(P_DATA, off), got, len) != CPU_OK;
			bad += !!memcmp(got, want + off, len);
			put[0]++;
			bad += wr(GVA(P_DATA, off), put, len) != CPU_OK;
			memcpy(want + off, put, len);
			bad += !!memcmp(want, ram + 0x4000, 4096);
			bad += !!memcmp(want + 4096, ram + 0x8000, 4096);
		}
		CHECK_EQ(bad, 0);
	}
	CHECK_EQ(mmio.nr_wr, 0);
	CHECK(!mmio.wants);
}

/* A fault on the second page comes before any byte is written. */
static void test_crossing_faults(void)
{
	uint8_t before[4096], buf[64] = { 0 };

	memcpy(before, ram + 0x8000, 4096);
	CHECK_EQ(wr(GVA(P_RO, -4), buf, 8), CPU_FAULT);
	CHECK_EQ(fault.vector, VEC_PF);
	CHECK_EQ(fault.error, PFEC_P | PFEC_W | PFEC_U);
	CHECK_EQ(fault.address, GVA(P_RO, 0));
	CHECK(!memcmp(before, ram + 0x8000, 4096));
	CHECK_EQ(wr(GVA(P_RO, -4), buf, 4), CPU_OK);
	CHECK_EQ(rd(GVA(P_ABSENT, -1), buf, 2), CPU_FAULT);
	CHECK_EQ(fault.error, PFEC_U);
	CHECK_EQ(fault.address, GVA(P_ABSENT, 0));
	/* the first page's fault comes first */
	CHECK_EQ(rd(GVA(P_ABSENT, 4090), buf, 16), CPU_FAULT);
	CHECK_EQ(fault.address, GVA(P_ABSENT, 4090));
	CHECK_EQ(rd(GVA(P_SUPER, 0), buf, 4), CPU_FAULT);
	CHECK_EQ(fault.error, PFEC_P | PFEC_U);
	CHECK_EQ(mem_read(&mmu, &mmio, GVA(P_SUPER, 0), buf, 4, ACCESS_READ,
			  &fault),
		 CPU_OK);
	/* a load of a read-modify-write asks for both rights */
	CHECK_EQ(mem_read(&mmu, &mmio, GVA(P_RO, 0), buf, 4, ACCESS_WRITE,
			  &fault),
		 CPU_FAULT);
	CHECK_EQ(fault.error, PFEC_P | PFEC_W);
	/* half MMIO, half absent: nothing is collected */
	CHECK_EQ(wr(GVA(P_ABSENT, -4), buf, 8), CPU_FAULT);
	set_pte(P_ABSENT2, HOLE, PTE_P | PTE_W | PTE_U);
	CHECK_EQ(wr(GVA(P_ABSENT2 + 1, -4), buf, 8), CPU_FAULT);
	CHECK_EQ(mmio.nr_wr, 0);
	CHECK_EQ(rd(GVA(P_ABSENT2 + 1, -4), buf, 8), CPU_FAULT);
	CHECK(!mmio.wants);
	set_pte(P_ABSENT2, 0, 0);
}

/* Linear addresses of 32-bit modes wrap. */
static void test_wrap(void)
{
	uint8_t buf[8], want[8];

	memcpy(want, ram + 0xcffc, 4);
	memcpy(want + 4, ram + 0x4000, 4);
	CHECK_EQ(rd(0xfffffffc, buf, 8), CPU_OK);
	CHECK(!memcmp(buf, want, 8));
	mmu.role.paging = PAGING_NONE;
	memcpy(want, ram, 8);
	CHECK_EQ(rd(0, buf, 8), CPU_OK);
	CHECK(!memcmp(buf, want, 8));
	mmio = (struct mmio){ 0 };
	CHECK_EQ(rd(0xfffffffc, buf, 8), CPU_EXIT);
	CHECK_EQ(mmio.want.gpa, 0xfffffffc);
	CHECK_EQ(mmio.want.len, 4);
	mmio.rd[mmio.nr_rd++] = mmio.want;
	CHECK_EQ(rd(0xfffffffc, buf, 8), CPU_OK);
	CHECK(!memcmp(buf + 4, ram, 4));
	mmio = (struct mmio){ 0 };
	mmu.role.paging = PAGING_32;
}

/* Plays root mode: answers with a byte pattern of the address. */
static void answer(void)
{
	struct mmio_frag *a = &mmio.rd[mmio.nr_rd++];

	*a = mmio.want;
	for (int i = 0; i < a->len; i++)
		a->data[i] = (a->gpa + i) * 5;
}

/* Restarts a read until it is done; returns the number of exits. */
static int read_to_end(gva_t gva, uint8_t *buf, unsigned int len)
{
	int exits = 0;

	mmio = (struct mmio){ 0 };
	while (rd(gva, buf, len) == CPU_EXIT && exits < 100) {
		CHECK(mmio.wants && mmio.want.len <= 8);
		answer();
		mmio.pos_rd = 0;
		exits++;
	}
	CHECK(!mmio.wants);
	return exits;
}

static bool is_pattern(const uint8_t *buf, gpa_t gpa, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		if (buf[i] != (uint8_t)((gpa + i) * 5))
			return false;
	return true;
}

static void test_mmio_read(void)
{
	uint8_t buf[512];

	CHECK_EQ(read_to_end(GVA(P_MMIO, 0x10), buf, 4), 1);
	CHECK_EQ(mmio.rd[0].gpa, HOLE + 0x10);
	CHECK_EQ(mmio.rd[0].len, 4);
	CHECK(is_pattern(buf, HOLE + 0x10, 4));
	CHECK_EQ(read_to_end(GVA(P_MMIO, 0x10), buf, 10), 2);
	CHECK(is_pattern(buf, HOLE + 0x10, 10));
	CHECK_EQ(mmio.rd[1].len, 2);
	CHECK_EQ(read_to_end(GVA(P_MMIO, 4093), buf, 8), 2);
	CHECK_EQ(mmio.rd[0].len, 3);
	CHECK_EQ(mmio.rd[1].len, 5);
	CHECK_EQ(mmio.rd[1].gpa, HOLE + 0x10000);
	CHECK(is_pattern(buf, HOLE + 4093, 3));
	CHECK(is_pattern(buf + 3, HOLE + 0x10000, 5));
	/* one side RAM */
	CHECK_EQ(read_to_end(GVA(P_DATA2, -2), buf, 4), 1);
	CHECK(is_pattern(buf, HOLE + 0x10ffe, 2));
	CHECK(!memcmp(buf + 2, ram + 0x5000, 2));
	/* more than the table holds: the rest floats */
	CHECK_EQ(read_to_end(GVA(P_MMIO, 0), buf, 512), MMIO_MAX_FRAGS);
	CHECK(is_pattern(buf, HOLE, 128));
	CHECK_EQ(buf[128], 0xff);
	CHECK_EQ(buf[511], 0xff);
	CHECK_EQ(mem_read(&mmu, NULL, GVA(P_MMIO, 0), buf, 9, 0, &fault),
		 CPU_OK);
	CHECK_EQ(buf[8], 0xff);
}

/* An answer that does not fit the question is dropped, with all after it. */
static void test_mmio_mismatch(void)
{
	uint8_t buf[16];

	read_to_end(GVA(P_MMIO, 0), buf, 16);
	mmio.pos_rd = 0;
	CHECK_EQ(rd(GVA(P_MMIO, 0), buf, 8), CPU_OK);
	CHECK_EQ(rd(GVA(P_MMIO, 0x20), buf, 8), CPU_EXIT);
	CHECK_EQ(mmio.nr_rd, 1);
	CHECK_EQ(mmio.want.gpa, HOLE + 0x20);
	mmio = (struct mmio){ 0 };
}

static void test_mmio_write(void)
{
	uint8_t buf[512], before[4096];

	for (int i = 0; i < 512; i++)
		buf[i] = i;
	mmio = (struct mmio){ 0 };
	CHECK_EQ(wr(GVA(P_MMIO, 0xff3), buf, 26), CPU_OK);
	CHECK_EQ(mmio.nr_wr, 4);
	CHECK_EQ(mmio.wr[0].gpa, HOLE + 0xff3);
	CHECK_EQ(mmio.wr[0].len, 8);
	CHECK_EQ(mmio.wr[1].len, 5);
	CHECK_EQ(mmio.wr[2].gpa, HOLE + 0x10000);
	CHECK_EQ(mmio.wr[3].len, 5);
	CHECK_EQ(mmio.wr[3].data[4], 25);
	CHECK_EQ(wr(GVA(P_MMIO, 0), buf, 1), CPU_OK);
	CHECK_EQ(mmio.nr_wr, 5);
	CHECK_EQ(wr(GVA(P_MMIO, 0), buf, 512), CPU_OK);
	CHECK_EQ(mmio.nr_wr, MMIO_MAX_FRAGS);
	CHECK_EQ(mem_write(&mmu, NULL, GVA(P_MMIO, 0), buf, 9, 0, &fault),
		 CPU_OK);

	/* ROM reads as memory, writes to it are MMIO */
	mmio = (struct mmio){ 0 };
	memcpy(before, rom, 4096);
	CHECK_EQ(rd(GVA(P_ROM, 8), buf, 16), CPU_OK);
	CHECK(!memcmp(buf, rom + 8, 16));
	CHECK_EQ(wr(GVA(P_ROM, 8), "abcd", 4), CPU_OK);
	CHECK(!memcmp(before, rom, 4096));
	CHECK_EQ(mmio.nr_wr, 1);
	CHECK_EQ(mmio.wr[0].gpa, ROM + 8);
	CHECK(!memcmp(mmio.wr[0].data, "abcd", 4));
	mmio = (struct mmio){ 0 };
}

static void test_tracking(void)
{
	uint64_t *dirty = mmu.slots->slot[2].dirty;
	uint8_t *pgf = mmu.slots->slot[0].page_flags;
	uint8_t buf[32] = { 0 };

	set_pte(P_ABSENT2, HIGH + 0x2000, PTE_P | PTE_W | PTE_U);
	set_pte(P_ABSENT2 + 1, HIGH + 0x3000, PTE_P | PTE_W | PTE_U);
	CHECK_EQ(rd(GVA(P_LOGGED, 0), buf, 32), CPU_OK);
	CHECK_EQ(*dirty, 0);
	CHECK_EQ(wr(GVA(P_LOGGED, 0), buf, 1), CPU_OK);
	CHECK_EQ(*dirty, 1);
	CHECK_EQ(wr(GVA(P_ABSENT2, 4094), buf, 4), CPU_OK);
	CHECK_EQ(*dirty, 0xd);

	CHECK_EQ(code.calls, 0);
	pgf[8] = PGF_CODE;
	CHECK_EQ(wr(GVA(P_DATA, 4090), buf, 16), CPU_OK);
	CHECK_EQ(code.calls, 1);
	CHECK_EQ(code.gpa, 0x8000);
	CHECK_EQ(code.len, 10);
	CHECK_EQ(rd(GVA(P_FAR, 0), buf, 16), CPU_OK);
	CHECK_EQ(code.calls, 1);
	CHECK_EQ(mem_write_phys(&mmu, 0x8ffe, buf, 4), 0);
	CHECK_EQ(code.calls, 2);
	CHECK_EQ(code.gpa, 0x8ffe);
	CHECK_EQ(code.len, 2);
	pgf[8] = 0;
	set_pte(P_ABSENT2, 0, 0);
	set_pte(P_ABSENT2 + 1, 0, 0);
}

static enum cpu_result host(gva_t gva, unsigned int len, unsigned int access,
			    uint8_t **hva, gpa_t *gpa)
{
	return mem_host(&mmu, gva, len, access | ACCESS_USER, hva, gpa, &fault);
}

static void test_host(void)
{
	uint8_t *hva;
	gpa_t gpa = 0;

	mmu.slots->slot[2].dirty[0] = 0;
	CHECK_EQ(host(GVA(P_FAR, 0xff0), 16, ACCESS_WRITE, &hva, &gpa), CPU_OK);
	CHECK(hva == ram + 0x8ff0);
	CHECK_EQ(gpa, 0x8ff0);
	CHECK_EQ(host(GVA(P_FAR, 0xff1), 16, ACCESS_WRITE, &hva, &gpa), CPU_OK);
	CHECK(!hva);
	CHECK_EQ(host(GVA(P_MMIO, 4), 4, ACCESS_WRITE, &hva, &gpa), CPU_OK);
	CHECK(!hva);
	CHECK_EQ(gpa, HOLE + 4);
	CHECK_EQ(host(GVA(P_ROM, 4), 4, ACCESS_WRITE, &hva, &gpa), CPU_OK);
	CHECK(!hva);
	CHECK_EQ(host(GVA(P_ROM, 4), 4, ACCESS_READ, &hva, &gpa), CPU_OK);
	CHECK(hva == rom + 4);
	CHECK_EQ(host(GVA(P_RO, 4), 4, ACCESS_WRITE, &hva, &gpa), CPU_FAULT);
	CHECK_EQ(fault.address, GVA(P_RO, 4));
	CHECK_EQ(host(GVA(P_LOGGED, 4), 4, ACCESS_READ, &hva, &gpa), CPU_OK);
	CHECK_EQ(mmu.slots->slot[2].dirty[0], 0);
	CHECK_EQ(host(GVA(P_LOGGED, 4), 4, ACCESS_WRITE, &hva, &gpa), CPU_OK);
	CHECK_EQ(mmu.slots->slot[2].dirty[0], 1);
}

static void test_phys(void)
{
	uint8_t buf[2 * PAGE_SIZE], was = ram[ROM - 1];

	CHECK_EQ(mem_read_phys(&mmu, 0x4ff0, buf, 0x1000), 0);
	CHECK(!memcmp(buf, ram + 0x4ff0, 0x1000));
	/* across two slots */
	CHECK_EQ(mem_read_phys(&mmu, ROM - 3, buf, 8), 0);
	CHECK(!memcmp(buf, ram + ROM - 3, 3) && !memcmp(buf + 3, rom, 5));
	CHECK_EQ(mem_read_phys(&mmu, HOLE - 1, buf, 1), 0);
	CHECK_EQ(mem_read_phys(&mmu, HOLE - 1, buf, 2), -EFAULT);
	buf[0] = ~was;
	CHECK_EQ(mem_write_phys(&mmu, ROM - 1, buf, 2), -EFAULT);
	CHECK_EQ(ram[ROM - 1], was);
	CHECK_EQ(mem_write_phys(&mmu, ROM - 1, buf, 1), 0);
	CHECK_EQ(ram[ROM - 1], (uint8_t)~was);
	mmu.slots->slot[2].dirty[0] = 0;
	CHECK_EQ(mem_write_phys(&mmu, HIGH + 0xfff, buf, 0x1002), 0);
	CHECK_EQ(mmu.slots->slot[2].dirty[0], 7);
	CHECK(!memcmp(high + 0xfff, buf, 0x1002));
}

/* Aligned accesses are not torn: another thread sees whole values only. */
static void *atomic_writer(void *arg)
{
	uint64_t *word = arg;

	for (uint64_t i = 0; i < 300000; i++)
		__atomic_store_n(word, (i & 0xff) * 0x0101010101010101ull,
				 __ATOMIC_RELAXED);
	return NULL;
}

static void test_single_copy(void)
{
	static const uint8_t sizes[] = { 2, 4, 8 };
	pthread_t thread;
	uint64_t v = 0;
	int torn = 0;

	memset(ram + 0x4100, 0, 8);
	CHECK_EQ(pthread_create(&thread, NULL, atomic_writer, ram + 0x4100), 0);
	for (int i = 0; i < 100000; i++) {
		unsigned int len = sizes[i % 3];

		if (rd(GVA(P_DATA, 0x100), &v, len) != CPU_OK ||
		    (v & MASK(len * 8)) != ((v & 0xff) * 0x0101010101010101ull &
					    MASK(len * 8)))
			torn++;
	}
	pthread_join(thread, NULL);
	CHECK_EQ(torn, 0);
}

int main(void)
{
	set_up();
	test_ram();
	test_crossing_faults();
	test_wrap();
	test_mmio_read();
	test_mmio_mismatch();
	test_mmio_write();
	test_tracking();
	test_host();
	test_phys();
	test_single_copy();
	memslots_free(mmu.slots);
	free(ram);
	free(rom);
	free(high);
	return test_done();
}

#pragma once

#include "mmu/mmu.h"

/*
 * Memory accesses by C code on the guest's behalf, through page tables and
 * memslots.  An access may cross pages; all its pages are translated before
 * anything is written.  What is not RAM (no slot, or a write to a read-only
 * slot) is MMIO, in fragments of at most 8 bytes that cross no page.
 */
struct mmio_frag {
	gpa_t gpa;
	uint8_t len; /* 1..8 */
	uint8_t data[8];
};

#define MMIO_MAX_FRAGS 16

/*
 * MMIO of the current instruction.  Reads restart it: a read that is not yet
 * answered stops the instruction (CPU_EXIT, @want says what is needed), root
 * mode appends the answer to rd[] and the instruction is executed again.
 * Writes collect in wr[] and are carried out after the instruction.
 */
struct mmio {
	uint8_t nr_rd;	/* answered reads */
	uint8_t pos_rd; /* consumed in this attempt; reset before each */
	uint8_t nr_wr;
	bool wants; /* @want is an unanswered read */
	struct mmio_frag want;
	struct mmio_frag rd[MMIO_MAX_FRAGS];
	struct mmio_frag wr[MMIO_MAX_FRAGS];
};

/*
 * mem_read, mem_write - @len bytes (1..4096) at linear address @gva.
 * @access: ACCESS_USER, ACCESS_FETCH, ACCESS_AC; the write bit is implied in
 * mem_write; in mem_read it asks for the right to write, too (the load of a
 * read-modify-write).
 * Returns CPU_OK, CPU_FAULT (@f filled), CPU_EXIT (unanswered MMIO read in
 * @mmio->want).  Writes mark pages dirty and tell ops->code_write.
 * An access of 1, 2, 4 or 8 bytes that crosses no page is one load or store.
 * Without @mmio (NULL), and beyond MMIO_MAX_FRAGS fragments an instruction,
 * MMIO reads as all ones and drops writes.
 */
enum cpu_result mem_read(struct mmu *mmu, struct mmio *mmio, gva_t gva,
			 void *buf, unsigned int len, unsigned int access,
			 struct x86_fault *f);
enum cpu_result mem_write(struct mmu *mmu, struct mmio *mmio, gva_t gva,
			  const void *buf, unsigned int len,
			  unsigned int access, struct x86_fault *f);

/*
 * mem_host - host address of a RAM access that lies within one page, for
 * read-modify-write on the spot (atomics).  @access with ACCESS_WRITE marks
 * the page dirty.  *@hva is NULL if the access is MMIO (*@gpa is valid then) or
 * crosses a page (which is not looked at: it may fault).
 * A page with code: the caller must call mmu->ops->code_write afterwards;
 * *@gpa is for that, or GPA_UNTOLD, in no slot, if there is no need to.
 */
#define GPA_UNTOLD (~(gpa_t)0)

enum cpu_result mem_host(struct mmu *mmu, gva_t gva, unsigned int len,
			 unsigned int access, uint8_t **hva, gpa_t *gpa,
			 struct x86_fault *f);

/*
 * mem_known - how many of the @len bytes at @gva, the first of them at @hva as
 * the TLB knows, are in a row in host memory, as far as it knows.  64-bit mode.
 */
unsigned int mem_known(const struct mmu *mmu, gva_t gva, const uint8_t *hva,
		       unsigned int len, unsigned int access);

/*
 * mem_read_phys, mem_write_phys - guest physical RAM for root mode (kvmclock
 * pages and the like).  Return 0, or -EFAULT if a byte is not RAM or, for
 * writes, is in a read-only slot; nothing is written then.
 */
int mem_read_phys(struct mmu *mmu, gpa_t gpa, void *buf, unsigned int len);
int mem_write_phys(struct mmu *mmu, gpa_t gpa, const void *buf,
		   unsigned int len);

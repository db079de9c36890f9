#pragma once

#include "mmu/mmu.h"

/*
 * walk_gva - translates @gva for an access of kind @access (ACCESS_*), checks
 * permissions and sets accessed and dirty bits (atomically, in guest memory,
 * and only if the whole walk succeeds as far as the architecture asks).
 * Returns CPU_OK and @out, or CPU_FAULT and @f (#PF with error code and
 * address).  Without paging @out->gpa is @gva.  A table that lies outside
 * every memslot reads as all ones.
 * Canonicality is the caller's matter.
 * Source: SDM 3A "Paging": "32-Bit Paging", "PAE Paging", "4-Level Paging and
 * 5-Level Paging", "Access Rights", "Page-Fault Exceptions"; APM 2 "Page
 * Translation and Protection".
 */
enum cpu_result walk_gva(struct mmu *mmu, gva_t gva, unsigned int access,
			 struct walk *out, struct x86_fault *f);

/*
 * walk_load_pdptrs - loads the four PAE page-directory pointers from CR3
 * (SDM 3A "PDPTE Registers").  Returns false if a reserved bit is set (#GP).
 */
bool walk_load_pdptrs(struct mmu *mmu, uint64_t cr3);

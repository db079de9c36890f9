#pragma once

#include "mmu/mmu.h"

/*
 * The software TLB as seen by code that changes translations.  Entries are
 * tagged by PCID.  Source: SDM 3A "Invalidation of TLBs and Paging-Structure
 * Caches".  None of these may be called by another thread than the vCPU's.
 */

/* tlb_flush_all - every entry, all tags, global ones too. */
void tlb_flush_all(struct mmu *mmu);

/* tlb_flush_nonglobal - all tags, global entries stay. */
void tlb_flush_nonglobal(struct mmu *mmu);

/* tlb_flush_pcid - the non-global entries of one PCID. */
void tlb_flush_pcid(struct mmu *mmu, unsigned int pcid);

/* tlb_flush_gva - INVLPG: @gva in the current PCID and among global entries. */
void tlb_flush_gva(struct mmu *mmu, gva_t gva);

/* tlb_flush_pcid_gva - INVPCID type 0: @gva in @pcid, not global. */
void tlb_flush_pcid_gva(struct mmu *mmu, unsigned int pcid, gva_t gva);

/*
 * tlb_load_cr3 - makes @cr3 (without bit 63) current.  @keep: bit 63 was set
 * with CR4.PCIDE, nothing is flushed.  Does not load PDPTEs.
 */
void tlb_load_cr3(struct mmu *mmu, uint64_t cr3, bool keep);

#pragma once

#include "mmu/tlb.h"

/* Shared by the files of the TLB. */

/* tlb_tag_flush - everything of a tag; @keep_global: but global entries. */
void tlb_tag_flush(struct tlb *t, struct tlb_tag *tag, bool keep_global);
/* tlb_tag_flush_gva - what a tag has for the page of @gva. */
void tlb_tag_flush_gva(struct tlb *t, struct tlb_tag *tag, gva_t gva);

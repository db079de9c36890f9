#pragma once

/*
 * Where the loaders put what the guest finds in low memory.  Kept clear for
 * images that load low: 0x0000-0x8fff (page 0 holds the BIOS data area) and
 * 0x8000-0xda30.
 */
#define LAYOUT_BDA	   0x00400
#define LAYOUT_INFO	   0x90000 /* boot_params, multiboot info, start info */
#define LAYOUT_GDT	   0x91000
#define LAYOUT_PAGE_TABLES 0x92000 /* PML4, PDPT, 4 page directories */
#define LAYOUT_CMDLINE	   0x98000
#define LAYOUT_CMDLINE_MAX 0x2000  /* with the final zero */
#define LAYOUT_TABLE	   0x9a000 /* memory map and modules */
#define LAYOUT_SETUP_DATA  0x9b000
#define LAYOUT_EBDA	   0x9fc00 /* end of what e820 calls RAM */
#define LAYOUT_ACPI	   0xe0000
#define LAYOUT_ACPI_END	   0xf0000
#define LAYOUT_MPTABLE	   0xf0000
#define LAYOUT_BIOS_STUBS  0xff000 /* interrupt stubs of real mode */
#define LAYOUT_BIOS_END	   0x100000
#define LAYOUT_HIGH	   0x100000

/* Guest-physical pages that KVM wants for itself, and device windows. */
#define LAYOUT_IDENTITY_MAP 0xfeffc000
#define LAYOUT_TSS	    0xfeffd000 /* 3 pages */
#define LAYOUT_IOAPIC	    0xfec00000
#define LAYOUT_LAPIC	    0xfee00000

#include <stdio.h>
#include <string.h>

#include "vmm/disk/ata.h"

#define CYLINDERS_MAX 16383
#define LBA28_MAX     0x0fffffff

/* Text of @len bytes, padded with blanks, two characters a word. */
static void put_text(uint16_t *to, const char *text, unsigned len)
{
	char buf[48];

	snprintf(buf, sizeof(buf), "%-*s", (int)len, text);
	for (unsigned i = 0; i < len / 2; i++)
		to[i] = (uint8_t)buf[2 * i] << 8 | (uint8_t)buf[2 * i + 1];
}

/* Words by their number in "IDENTIFY DEVICE". */
void ata_identify(const struct ata_drive *d, uint8_t to[DISK_SECTOR])
{
	uint16_t w[DISK_SECTOR / 2] = { 0 };
	uint64_t n = d->disk.sectors;
	uint64_t cylinders = n / (16 * 63);
	uint32_t small = n < LBA28_MAX ? n : LBA28_MAX;
	uint32_t chs;

	if (cylinders > CYLINDERS_MAX)
		cylinders = CYLINDERS_MAX;
	w[0] = 0x0040; /* fixed disk */
	w[1] = w[54] = cylinders;
	w[3] = w[55] = 16;
	w[6] = w[56] = 63;
	chs = cylinders * 16 * 63;
	w[57] = chs;
	w[58] = chs >> 16;
	put_text(&w[10], d->disk.serial, 20);
	put_text(&w[23], "1", 8);
	put_text(&w[27], "ring3 disk", 40);
	w[47] = 0x8000 | ATA_MULTIPLE_MAX;
	w[48] = 1;	/* 32-bit data register accesses */
	w[49] = 0x0300; /* LBA, DMA */
	w[51] = w[52] = 0x0200;
	w[53] = 0x0007; /* words 54 to 58, 64 to 70 and 88 count */
	w[59] = d->multiple ? 0x0100 | d->multiple : 0;
	w[60] = small;
	w[61] = small >> 16;
	w[63] = 0x0407; /* multiword DMA 0 to 2, 2 is set */
	w[64] = 0x0003; /* PIO modes 3 and 4 */
	w[65] = w[66] = w[67] = w[68] = 120;		  /* ns a cycle */
	w[80] = 0x007e;					  /* ATA-1 to ATA-6 */
	w[82] = 0x0020 | (d->disk.readonly ? 0 : 0x4000); /* write cache */
	w[83] = 0x7400; /* 48-bit addresses, FLUSH CACHE (EXT) */
	w[84] = 0x4000;
	w[85] = w[82];
	w[86] = 0x3400;
	w[87] = 0x4000;
	w[88] = 0x203f; /* Ultra DMA 0 to 5, 5 is set */
	w[93] = 0x6001; /* a cable of 80 wires */
	memcpy(&w[100], &n, sizeof(n));
	memcpy(to, w, DISK_SECTOR);
}

#include "vmm/boot/e820.h"

#include "vmm/boot/layout.h"

static void e820_add(struct e820 *map, gpa_t start, gpa_t end, uint32_t type)
{
	if (start < end)
		map->entry[map->nr++] =
			(struct e820_entry){ start, end - start, type };
}

void e820_build(struct e820 *map, const struct ram *ram)
{
	map->nr = 0;
	e820_add(map, 0, LAYOUT_EBDA, E820_RAM);
	e820_add(map, LAYOUT_EBDA, RAM_VGA_START, E820_RESERVED);
	e820_add(map, LAYOUT_ACPI, LAYOUT_BIOS_END, E820_RESERVED);
	e820_add(map, LAYOUT_HIGH, ram->low_size, E820_RAM);
	e820_add(map, LAYOUT_IDENTITY_MAP, LAYOUT_TSS + 3 * PAGE_SIZE,
		 E820_RESERVED);
	e820_add(map, RAM_HIGH_START, RAM_HIGH_START + ram->high_size,
		 E820_RAM);
}

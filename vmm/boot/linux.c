#include "vmm/boot/linux.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/boot/e820.h"
#include "vmm/boot/layout.h"
#include "vmm/log.h"

#define HDR_OFFSET offsetof(struct boot_params, hdr)
#define HDR_MAGIC  0x53726448 /* "HdrS" */
#define BOOT_FLAG  0xaa55
#define SECTOR	   512
#define PARAGRAPH  16

#define LOADER_UNDEFINED    0xff
#define ENTRY64_OFFSET	    0x200
#define SETUP_TYPE_RNG_SEED 9
#define SEED_SIZE	    32

/* Oldest protocol that we start: kernels since Linux 2.6.22 speak it. */
#define PROTOCOL_MIN 0x0206

static const struct setup_header *linux_header(const uint8_t *data)
{
	return (const struct setup_header *)(data + HDR_OFFSET);
}

bool linux_is_bzimage(const uint8_t *data, uint64_t size)
{
	const struct setup_header *hdr = linux_header(data);

	return size >= HDR_OFFSET + sizeof(*hdr) &&
	       hdr->boot_flag == BOOT_FLAG && hdr->header == HDR_MAGIC;
}

bool linux_has_entry64(const uint8_t *data)
{
	const struct setup_header *hdr = linux_header(data);

	return hdr->version >= 0x020c && (hdr->xloadflags & XLF_KERNEL_64);
}

static uint64_t linux_setup_size(const struct setup_header *hdr)
{
	return ((hdr->setup_sects ?: 4) + 1) * SECTOR;
}

/* The header says how big the protected-mode part is; a short file was cut. */
static int linux_check(const struct boot *boot, const struct setup_header *hdr)
{
	uint64_t setup = linux_setup_size(hdr);
	uint64_t want = setup + (uint64_t)hdr->syssize * PARAGRAPH;
	const char *name = boot->config->kernel;

	if (hdr->version < PROTOCOL_MIN)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" speaks boot protocol %u.%02u; "
				 "2.06 or later is needed",
				 name, hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is a zImage, which loads below "
				 "1 MiB; a bzImage is needed",
				 name);
	/* The last paragraph may be short in the file. */
	if (boot->size <= setup || boot->size + PARAGRAPH <= want)
		return log_error(-ENOEXEC,
				 "kernel \"%s\" is truncated: %llu bytes of "
				 "%llu",
				 name, (unsigned long long)boot->size,
				 (unsigned long long)want);
	return 0;
}

/*
 * Where the kernel is loaded, and how much it needs from there.  A relocatable
 * one moves itself up to its preferred address if it is loaded below.
 */
static gpa_t linux_place(const struct setup_header *hdr, uint64_t payload,
			 uint64_t *need)
{
	*need = payload;
	if (hdr->version < 0x020a)
		return LAYOUT_HIGH;
	if (hdr->init_size > payload)
		*need = hdr->init_size;
	return hdr->pref_address < LAYOUT_HIGH ? LAYOUT_HIGH
					       : hdr->pref_address;
}

static gpa_t linux_initrd_limit(const struct setup_header *hdr)
{
	return hdr->initrd_addr_max ? hdr->initrd_addr_max + 1ull
				    : 0x38000000ull;
}

static int linux_check_cmdline(const struct boot *boot,
			       const struct setup_header *hdr)
{
	size_t len = strlen(boot->config->append);

	if (hdr->cmdline_size && len > hdr->cmdline_size)
		return log_error(-E2BIG,
				 "the kernel command line has %zu bytes; "
				 "kernel \"%s\" takes %u",
				 len, boot->config->kernel, hdr->cmdline_size);
	return 0;
}

static void linux_fill_e820(const struct boot *boot, struct boot_params *params)
{
	struct e820 map;

	e820_build(&map, boot->ram);
	for (unsigned i = 0; i < map.nr; i++) {
		params->e820_table[i].addr = map.entry[i].gpa;
		params->e820_table[i].size = map.entry[i].size;
		params->e820_table[i].type = map.entry[i].type;
	}
	params->e820_entries = map.nr;
	params->alt_mem_k = (boot->ram->low_size - LAYOUT_HIGH) >> 10;
}

/* A seed for the guest's random numbers, so that it need not wait for any. */
static int linux_write_seed(const struct boot *boot, struct boot_params *params)
{
	struct setup_data head = { .type = SETUP_TYPE_RNG_SEED,
				   .len = SEED_SIZE };
	uint8_t seed[SEED_SIZE];

	if (params->hdr.version < 0x0209 ||
	    getrandom(seed, SEED_SIZE, GRND_NONBLOCK) != SEED_SIZE)
		return 0;
	params->hdr.setup_data = LAYOUT_SETUP_DATA;
	if (ram_write(boot->ram, LAYOUT_SETUP_DATA, &head, sizeof(head)))
		return -EFAULT;
	return ram_write(boot->ram, LAYOUT_SETUP_DATA + sizeof(head), seed,
			 SEED_SIZE);
}

int linux_fill_params(struct boot *boot, struct boot_params *params,
		      gpa_t floor)
{
	const char *append = boot->config->append;
	struct setup_header *hdr = &params->hdr;
	uint64_t size;
	gpa_t addr;
	int r;

	r = linux_check_cmdline(boot, hdr);
	if (r)
		return r;
	r = image_load_initrd(boot, floor, linux_initrd_limit(hdr), IMAGE_TOP,
			      &addr, &size);
	if (r)
		return r;
	hdr->ramdisk_image = addr;
	hdr->ramdisk_size = size;
	hdr->type_of_loader = LOADER_UNDEFINED;
	hdr->cmd_line_ptr = LAYOUT_CMDLINE;
	hdr->vid_mode = 0xffff; /* "normal" */
	params->acpi_rsdp_addr = boot->rsdp;
	linux_fill_e820(boot, params);
	if (linux_write_seed(boot, params) ||
	    ram_write(boot->ram, LAYOUT_CMDLINE, append, strlen(append) + 1) ||
	    ram_write(boot->ram, LAYOUT_INFO, params, sizeof(*params)))
		return image_too_big(boot, "boot information", 0, LAYOUT_EBDA);
	return 0;
}

int linux_load_bzimage(struct boot *boot, bool long64)
{
	const struct setup_header *hdr = linux_header(boot->data);
	struct boot_params params = { 0 };
	uint64_t setup, payload, need, hdr_size;
	gpa_t addr;
	int r;

	r = linux_check(boot, hdr);
	if (r)
		return r;
	if (long64 && !linux_has_entry64(boot->data))
		return log_error(-ENOEXEC,
				 "kernel \"%s\" has no 64-bit entry point",
				 boot->config->kernel);
	setup = linux_setup_size(hdr);
	payload = boot->size - setup;
	addr = linux_place(hdr, payload, &need);
	if (!ram_ptr(boot->ram, addr, need))
		return image_too_big(boot, "the kernel", addr, need);
	if (ram_write(boot->ram, addr, boot->data + setup, payload))
		return -EFAULT;

	/* The header ends where the jump at 0x200 goes to. */
	hdr_size = 0x202 + boot->data[0x201] - HDR_OFFSET;
	if (hdr_size > sizeof(params.hdr))
		hdr_size = sizeof(params.hdr);
	memcpy(&params.hdr, hdr, hdr_size);
	params.hdr.code32_start = addr;
	r = linux_fill_params(boot, &params, addr + need);
	if (r)
		return r;
	boot->entry = (struct entry){
		.mode = long64 ? ENTRY_LONG64 : ENTRY_PROT32,
		.rip = addr + (long64 ? ENTRY64_OFFSET : 0),
		.rsi = LAYOUT_INFO,
	};
	return 0;
}

#pragma once

#include "vmm/boot/entry.h"

/*
 * Loading a kernel: what the user asked for, the files' contents, and the
 * protocol by which the kernel wants to be started.  Loaders print what is
 * wrong with a file, with its values, and return -errno.
 */
enum boot_protocol {
	BOOT_AUTO,
	BOOT_LINUX64,
	BOOT_LINUX32,
	BOOT_PVH,
	BOOT_MULTIBOOT,
	BOOT_RAW,
};

struct boot_config {
	const char *kernel; /* path */
	const char *initrd; /* path, or NULL */
	const char *append; /* "" if none */
	enum boot_protocol protocol;
	gpa_t raw_addr; /* BOOT_RAW: load and entry address */
};

#define BOOT_RAW_ADDR 0x7c00
#define BOOT_RAW_MAX  (512 << 10)

/* Where the ACPI tables start, for protocols that tell. */
struct boot {
	const struct boot_config *config;
	const struct ram *ram;
	gpa_t rsdp;
	const uint8_t *data; /* the kernel file */
	uint64_t size;
	struct entry entry; /* the loader's result */
};

/* image_read - a whole file into memory of malloc; 0 or -errno. */
int image_read(const char *what, const char *path, uint8_t **data,
	       uint64_t *size);

/* image_name - a protocol's name, as --boot takes it. */
const char *image_name(enum boot_protocol protocol);
int image_find_name(const char *name, enum boot_protocol *protocol);

/*
 * image_load - find the kernel's kind, load it, its initrd and its command
 * line; fills @boot->entry.
 */
int image_load(struct boot *boot);

/*
 * image_load_initrd - place the initrd between @floor and @limit, page
 * aligned, at the top or the bottom of the range.  @size is 0 if there is
 * none.
 */
enum image_end { IMAGE_TOP, IMAGE_BOTTOM };
int image_load_initrd(const struct boot *boot, gpa_t floor, gpa_t limit,
		      enum image_end where, gpa_t *addr, uint64_t *size);

/* image_too_big - the message for what does not fit into guest RAM. */
int image_too_big(const struct boot *boot, const char *what, gpa_t start,
		  uint64_t size);

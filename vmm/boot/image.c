#include "vmm/boot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/boot/elf.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/linux.h"
#include "vmm/boot/multiboot.h"
#include "vmm/log.h"

/* No kernel or initrd is this big; a wrong file may be. */
#define IMAGE_MAX (3ull << 30)

static const char *const protocol_names[] = {
	[BOOT_AUTO] = "auto",		[BOOT_LINUX64] = "linux64",
	[BOOT_LINUX32] = "linux32",	[BOOT_PVH] = "pvh",
	[BOOT_MULTIBOOT] = "multiboot", [BOOT_RAW] = "raw",
};

const char *image_name(enum boot_protocol protocol)
{
	return protocol_names[protocol];
}

int image_find_name(const char *name, enum boot_protocol *protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocol_names); i++)
		if (strcmp(name, protocol_names[i]) == 0) {
			*protocol = i;
			return 0;
		}
	return -EINVAL;
}

static int image_read_fd(const char *what, const char *path, int fd,
			 uint8_t **data, uint64_t *size)
{
	uint64_t len = 0;
	struct stat st;
	uint8_t *buf;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return log_error(-errno, "cannot read %s \"%s\": %s", what,
				 path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return log_error(-EINVAL, "%s \"%s\" is not a regular file",
				 what, path);
	if (st.st_size == 0)
		return log_error(-EINVAL, "%s \"%s\" is empty", what, path);
	if ((uint64_t)st.st_size > IMAGE_MAX)
		return log_error(-EFBIG,
				 "%s \"%s\" has %lld bytes; at most %llu can "
				 "be loaded",
				 what, path, (long long)st.st_size, IMAGE_MAX);
	buf = malloc(st.st_size);
	if (!buf)
		return log_error(-ENOMEM, "no memory to read %s \"%s\"", what,
				 path);
	while (len < (uint64_t)st.st_size) {
		n = read(fd, buf + len, st.st_size - len);
		if (n > 0) {
			len += n;
		} else if (n == 0) {
			break;
		} else if (errno != EINTR) {
			free(buf);
			return log_error(-errno, "cannot read %s \"%s\": %s",
					 what, path, strerror(errno));
		}
	}
	*data = buf;
	*size = len;
	return 0;
}

int image_read(const char *what, const char *path, uint8_t **data,
	       uint64_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return log_error(-errno, "cannot open %s \"%s\": %s", what,
				 path, strerror(errno));
	r = image_read_fd(what, path, fd, data, size);
	close(fd);
	return r;
}

int image_too_big(const struct boot *boot, const char *what, gpa_t start,
		  uint64_t size)
{
	return log_error(-ENOSPC,
			 "%s needs guest memory from %#llx to %#llx, but RAM "
			 "there ends at %#llx; give more with --mem",
			 what, (unsigned long long)start,
			 (unsigned long long)(start + size),
			 (unsigned long long)boot->ram->low_size);
}

static int image_place(const struct boot *boot, uint64_t size, gpa_t floor,
		       gpa_t limit, enum image_end where, gpa_t *addr)
{
	floor = (floor + PAGE_SIZE - 1) & PAGE_MASK;
	if (limit > boot->ram->low_size)
		limit = boot->ram->low_size;
	if (limit < size || ((limit - size) & PAGE_MASK) < floor)
		return log_error(-ENOSPC,
				 "initrd \"%s\" has %llu bytes and does not "
				 "fit between %#llx and %#llx; give more "
				 "memory with --mem",
				 boot->config->initrd, (unsigned long long)size,
				 (unsigned long long)floor,
				 (unsigned long long)limit);
	*addr = where == IMAGE_TOP ? (limit - size) & PAGE_MASK : floor;
	return 0;
}

int image_load_initrd(const struct boot *boot, gpa_t floor, gpa_t limit,
		      enum image_end where, gpa_t *addr, uint64_t *size)
{
	uint8_t *data;
	int r;

	*addr = *size = 0;
	if (!boot->config->initrd)
		return 0;
	r = image_read("initrd", boot->config->initrd, &data, size);
	if (r)
		return r;
	r = image_place(boot, *size, floor, limit, where, addr);
	if (!r)
		r = ram_write(boot->ram, *addr, data, *size);
	free(data);
	return r;
}

/* A flat image, entered in real mode as a BIOS enters a boot sector. */
static int image_load_raw(struct boot *boot)
{
	gpa_t addr = boot->config->raw_addr;

	if (boot->size > BOOT_RAW_MAX)
		return log_error(-EFBIG,
				 "raw image \"%s\" has %llu bytes; at most %u "
				 "can be loaded",
				 boot->config->kernel,
				 (unsigned long long)boot->size, BOOT_RAW_MAX);
	if (boot->config->initrd)
		return log_error(-EINVAL,
				 "a raw image takes no initrd (\"%s\")",
				 boot->config->initrd);
	if (addr > LAYOUT_EBDA || boot->size > LAYOUT_EBDA - addr)
		return log_error(-EINVAL,
				 "raw image \"%s\" of %llu bytes at %#llx "
				 "does not end below %#x; see --raw-addr",
				 boot->config->kernel,
				 (unsigned long long)boot->size,
				 (unsigned long long)addr, LAYOUT_EBDA);
	boot->entry = (struct entry){
		.mode = ENTRY_REAL,
		.rip = addr,
		.rdx = 0x80,
		.rsp = BOOT_RAW_ADDR,
	};
	return ram_write(boot->ram, addr, boot->data, boot->size);
}

static bool image_has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);

	return len > n && strcasecmp(path + len - n, suffix) == 0;
}

static enum boot_protocol image_detect(const struct boot *boot)
{
	if (linux_is_bzimage(boot->data, boot->size))
		return linux_has_entry64(boot->data) ? BOOT_LINUX64
						     : BOOT_LINUX32;
	if (multiboot_find(boot->data, boot->size) && elf_is_elf(boot))
		return BOOT_MULTIBOOT;
	if (elf_is_elf(boot))
		return elf_protocol(boot);
	if (image_has_suffix(boot->config->kernel, ".bin"))
		return BOOT_RAW;
	return BOOT_AUTO;
}

static const struct {
	const char *magic;
	unsigned len;
	const char *what;
} known_files[] = {
	{ "\x1f\x8b", 2, "a gzip file; unpack it first" },
	{ "\xfd"
	  "7zXZ",
	  5, "an xz file; unpack it first" },
	{ "\x28\xb5\x2f\xfd", 4, "a zstd file; unpack it first" },
	{ "!<arch>", 7, "a package or library; take the kernel out of it" },
	{ "070701", 6, "a cpio archive; give it with --initrd" },
	{ "#!", 2, "a script" },
	{ "MZ", 2, "an EFI or DOS program without Linux's boot header" },
};

static int image_unknown(const struct boot *boot)
{
	const uint8_t *d = boot->data;

	for (size_t i = 0; i < ARRAY_SIZE(known_files); i++)
		if (boot->size >= known_files[i].len &&
		    memcmp(d, known_files[i].magic, known_files[i].len) == 0)
			return log_error(-ENOEXEC, "kernel \"%s\" is %s",
					 boot->config->kernel,
					 known_files[i].what);
	return log_error(-ENOEXEC,
			 "kernel \"%s\" (%llu bytes) is no bzImage, ELF or "
			 "multiboot kernel; use --boot raw for a real-mode "
			 "image",
			 boot->config->kernel, (unsigned long long)boot->size);
}

int image_load(struct boot *boot)
{
	enum boot_protocol protocol = boot->config->protocol;
	bool bzimage = linux_is_bzimage(boot->data, boot->size);

	if (strlen(boot->config->append) >= LAYOUT_CMDLINE_MAX)
		return log_error(-E2BIG,
				 "the kernel command line has %zu bytes; at "
				 "most %u can be passed",
				 strlen(boot->config->append),
				 LAYOUT_CMDLINE_MAX - 1);
	if (protocol == BOOT_AUTO)
		protocol = image_detect(boot);
	switch (protocol) {
	case BOOT_LINUX64:
	case BOOT_LINUX32:
		if (bzimage)
			return linux_load_bzimage(boot,
						  protocol == BOOT_LINUX64);
		return elf_load_linux(boot, protocol);
	case BOOT_PVH:
		return elf_load_pvh(boot);
	case BOOT_MULTIBOOT:
		return multiboot_load(boot);
	case BOOT_RAW:
		return image_load_raw(boot);
	case BOOT_AUTO:
		break;
	}
	return image_unknown(boot);
}

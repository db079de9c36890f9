/*
 * libFuzzer target: the kernel image and the command line that the user of
 * `ring3 run` gives.  Whatever they are, loading succeeds or fails with a
 * message, and what it says about the start is sane.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/boot/elf.h"
#include "vmm/boot/image.h"
#include "vmm/boot/linux.h"
#include "vmm/boot/multiboot.h"

#define RAM_BYTES (4ull << 20)

#define REQUIRE(cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			abort();                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file named after a descriptor, for what is read by its path. */
static const char *initrd(const uint8_t *data, size_t size)
{
	static char path[32];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("initrd", 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	REQUIRE(!ftruncate(fd, size));
	REQUIRE(pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ram ram;
	struct boot_config config = { .kernel = "kernel.bin",
				      .append = "console=ttyS0",
				      .raw_addr = BOOT_RAW_ADDR };
	struct boot boot = { .config = &config, .ram = &ram };
	uint8_t *copy, how;
	size_t tail = 0;

	if (!ram.base)
		REQUIRE(!ram_init(&ram, RAM_BYTES));
	if (size < 1)
		return 0;
	how = data[0];
	data++, size--;
	config.protocol = (how & 7) % (BOOT_RAW + 1);
	if (how & 8)
		config.kernel = "/some/where/kernel";
	if (how & 16) {
		tail = size / 4;
		config.initrd = initrd(data + size - tail, tail);
	}
	if (how & 32)
		config.raw_addr = 0x9f000 + (how >> 6) * 0x400;
	/* Exactly as long as the file, for the address sanitizer. */
	copy = malloc(size - tail);
	memcpy(copy, data, size - tail);
	boot.data = copy;
	boot.size = size - tail;
	if (boot.size && !image_load(&boot)) {
		struct kvm_regs regs;
		struct kvm_sregs sregs = { 0 };

		REQUIRE(boot.entry.mode <= ENTRY_LONG64);
		REQUIRE(!entry_write_tables(&boot.entry, &ram));
		entry_set_regs(&boot.entry, &regs, &sregs);
	}
	free(copy);
	return 0;
}

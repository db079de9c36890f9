#include "host/stub_image.h"

#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/stub.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10
#endif

/* See struct stub_call. */
__asm__(".pushsection .rodata\n"
	"stub_code:\n"
	"	int3\n"
	"1:	mov (%rbx), %rax\n"
	"	mov 8(%rbx), %rdi\n"
	"	mov 16(%rbx), %rsi\n"
	"	mov 24(%rbx), %rdx\n"
	"	mov 32(%rbx), %r10\n"
	"	mov 40(%rbx), %r8\n"
	"	mov 48(%rbx), %r9\n"
	"stub_code_syscall:\n"
	"	syscall\n"
	"	cmp $-4095, %rax\n"
	"	jae 2f\n"
	"	add $64, %rbx\n"
	"	dec %ebp\n"
	"	jnz 1b\n"
	"2:	int3\n"
	"stub_code_end:\n"
	".popsection\n");
extern const char stub_code[] __attribute__((visibility("hidden")));
extern const char stub_code_syscall[] __attribute__((visibility("hidden")));
extern const char stub_code_end[] __attribute__((visibility("hidden")));
_Static_assert(sizeof(struct stub_call) == 64, "the stub's code");

struct header {
	Elf64_Ehdr file;
	Elf64_Phdr segment[2];
};

#define CODE (STUB_BASE + sizeof(struct header))

uint64_t stub_loop(void)
{
	return CODE + 1;
}

uint64_t stub_syscall(void)
{
	return CODE + (uint64_t)(stub_code_syscall - stub_code);
}

uint64_t stub_after_syscall(void)
{
	return stub_syscall() + 2;
}

uint64_t stub_after_int3(void)
{
	return CODE + (uint64_t)(stub_code_end - stub_code);
}

static const struct header header = {
	.file = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = CODE,
		.e_phoff = offsetof(struct header, segment),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	},
	.segment = {
		{
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = STUB_BASE,
			.p_paddr = STUB_BASE,
			.p_filesz = PAGE_SIZE,
			.p_memsz = PAGE_SIZE,
			.p_align = PAGE_SIZE,
		},
		{ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W },
	},
};

int stub_image(void)
{
	size_t code_len = (size_t)(stub_code_end - stub_code);
	int fd = memfd_create("ring3-runner", MFD_CLOEXEC | MFD_EXEC);

	/* Before Linux 6.3 every memory file was executable. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("ring3-runner", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, PAGE_SIZE) ||
	    pwrite(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    pwrite(fd, stub_code, code_len, sizeof(header)) !=
		    (ssize_t)code_len) {
		close(fd);
		return -ENOSPC;
	}
	return fd;
}

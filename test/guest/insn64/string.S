/*
 * String instructions: all widths, both directions, REP, REPE and REPNE, with
 * a count of zero, overlapping, with segment overrides and 32-bit addresses.
 */
#include "test/guest/lib/snip.h"

	.irp	w, b, w, l, q
	T	"movs\w"
	T	"std; movs\w; cld"
	T	"stos\w"
	T	"std; stos\w; cld"
	T	"lods\w"
	T	"std; lods\w; cld"
	T	"cmps\w"
	T	"std; cmps\w; cld"
	T	"scas\w"
	T	"std; scas\w; cld"
	T	"mov $9, %ecx; rep movs\w"
	T	"mov $9, %ecx; std; rep movs\w; cld"
	T	"mov $9, %ecx; lea 1(%rsi), %rdi; rep movs\w"
	T	"mov $9, %ecx; lea 3(%rsi), %rdi; std; rep movs\w; cld"
	T	"mov $9, %ecx; rep stos\w"
	T	"mov $9, %ecx; std; rep stos\w; cld"
	T	"mov $4, %ecx; rep lods\w"
	T	"xor %ecx, %ecx; rep movs\w", F_NOAF
	T	"xor %ecx, %ecx; rep stos\w", F_NOAF
	T	"xor %ecx, %ecx; rep lods\w", F_NOAF
	T	"mov %eax, %ecx; cmp %rdx, %rcx; mov $0, %ecx; repe cmps\w"
	T	"xor %ecx, %ecx; repne scas\w", F_NOAF
	T	"mov $9, %ecx; mov %rsi, %rdi; repe cmps\w"
	T	"mov $9, %ecx; mov %rsi, %rdi; repne cmps\w"
	T	"mov $9, %ecx; repne cmps\w"
	T	"mov $9, %ecx; repe cmps\w"
	T	"mov $40, %ecx; repne scas\w"
	T	"mov $40, %ecx; repe scas\w"
	T	"mov 24(%rsi), %rax; mov $30, %ecx; mov %rsi, %rdi; repne scas\w"
	T	"mov 24(%rsi), %rax; mov $30, %ecx; std; repne scas\w; cld"
	T	"mov 24(%rsi), %rax; lea 24(%rsi), %rdi; mov $5, %ecx; repe scas\w"
	T	"mov $5, %ecx; mov %rsi, %rdi; movb $0, 6(%rsi); addb $1, 64(%rsi); repe cmps\w; setb %al; mov %rcx, %r8"
	T	"mov $0xffffffff00000004, %rcx; addr32 rep movs\w"
	T	"mov $0xffffffff00000004, %rcx; bts $40, %rdi; addr32 rep stos\w"
	T	"bts $33, %rsi; addr32 lods\w"
	T	"mov $3, %ecx; mov $0x10, %esi; fs rep movs\w"
	T	"mov $0x10, %esi; gs lods\w"
	T	"mov $0x10, %esi; gs cmps\w"
	T	"mov $3, %ecx; repne movs\w"
	T	"mov $3, %ecx; repne stos\w"
	.endr
	T	"mov $0x120, %ecx; lea -0x200(%rbx), %rdi; rep stosb"
	T	"mov $0x100, %ecx; mov %rbx, %rsi; lea -0x120(%rbx), %rdi; rep movsb"
	T	"mov $0x20, %ecx; mov %rbx, %rsi; lea -0x120(%rbx), %rdi; rep movsq"
	T	"mov $0x20, %ecx; rep; movsl; rep; stosl; lodsl; mov $2, %ecx; rep; stosb"
	.section .note.GNU-stack, "", @progbits

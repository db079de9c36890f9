/*
 * A program in the form of a COM file and what it needs of DOS: INT 20h and a
 * few functions of INT 21h.  dos_run() copies it to 3000:0100 and starts it with
 * all segment registers there, as DOS does.  It has its result in the words at
 * its end, which come back to dos_result.
 */
	.code16
#define PSP	0x3000
#define OTHER	0x4000
#define C(label) (label - com + 0x100)	/* its offset in the program */

	.text
	.globl dos_run
dos_run:
	pushal
	mov	%esp, dos_esp
	cld
	mov	$PSP, %ax
	mov	%ax, %es
	movw	$0x20cd, %es:0		/* the PSP begins with INT 20h */
	mov	$com, %si
	mov	$0x100, %di
	mov	$(com_end - com), %cx
	rep	movsb
	movw	$int20, 4 * 0x20
	movw	$0, 4 * 0x20 + 2
	movw	$int21, 4 * 0x21
	movw	$0, 4 * 0x21 + 2
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0xfffe, %sp
	pushw	$0			/* RET ends at PSP:0 */
	ljmp	$PSP, $0x100

int20:	mov	$PSP, %ax
	mov	%ax, %ds
	xor	%ax, %ax
	mov	%ax, %es
	mov	%ax, %ss
	mov	%es:dos_esp, %esp
	cld
	mov	$C(result), %si
	mov	$dos_result, %di
	mov	$(com_end - result), %cx
	rep	movsb
	mov	%ax, %ds
	sti
	popal
	retl

/* AH = 2: character DL; 9: string DS:DX up to "$"; 30h: version. */
int21:	sti
	cmp	$0x30, %ah
	je	3f
	push	%bx
	push	%si
	push	%es
	xor	%bx, %bx
	mov	%bx, %es
	mov	%es:dos_length, %bx
	mov	%dx, %si
	cmp	$9, %ah
	je	2f
	mov	%dl, %es:dos_text(%bx)
	inc	%bx
	jmp	4f
1:	mov	%al, %es:dos_text(%bx)
	inc	%bx
2:	lodsb
	cmp	$'$', %al
	jne	1b
4:	mov	%bx, %es:dos_length
	pop	%es
	pop	%si
	pop	%bx
	iret
3:	mov	$0x0005, %ax
	iret

/* --- The program; it is never executed here --- */
com:	mov	$0x30, %ah
	int	$0x21
	mov	%ax, C(r_version)
	mov	$9, %ah
	mov	$C(hello), %dx
	int	$0x21
	mov	$2, %ah
	mov	$'!', %dl
	int	$0x21

	/* Segments: a routine in another one, far call and far return. */
	push	%es
	mov	$OTHER, %ax
	mov	%ax, %es
	xor	%di, %di
	mov	$C(routine), %si
	mov	$(routine_end - routine), %cx
	rep	movsb
	pop	%es
	mov	$20, %ax
	lcall	$OTHER, $0
	mov	%ax, C(r_far)
	lcall	*C(pointer)
	mov	%ax, C(r_indirect)
	mov	%sp, C(r_sp)

	/* A table of near addresses, all wrapping at 64 KiB. */
	mov	$2, %bx
	jmp	*%cs:C(table)(%bx)
bad:	movw	$0xbad, C(r_table)
	jmp	1f
good:	movw	$0x600d, C(r_table)
1:	mov	$0xffff, %bx
	mov	C(word)+1(%bx), %ax	/* offset wraps: word + 0x10000 */
	mov	%ax, C(r_wrap)

	/* It changes its own next instruction, as unpackers do. */
	movb	$0x40, C(patched)	/* NOP becomes INC AX */
	xor	%ax, %ax
	jmp	patched
patched: nop
	mov	%ax, C(r_patched)
	mov	$100, %cx
	xor	%bx, %bx
2:	incb	C(imm)+1
imm:	mov	$0, %al
	add	%al, %bl
	adc	$0, %bh
	loop	2b
	mov	%bx, C(r_loop)		/* 1 + 2 + .. + 100 = 5050 */

	/* Exceptions through the interrupt table. */
	push	%es
	xor	%ax, %ax
	mov	%ax, %es
	movw	$C(divide), %es:0
	movw	%cs, %es:2
	movw	$C(step), %es:4
	movw	%cs, %es:6
	movw	$C(overflow), %es:16
	movw	%cs, %es:18
	pop	%es
	mov	$7, %ax
	xor	%cl, %cl
	div	%cl			/* CL becomes 2 in the handler */
	mov	%ax, C(r_divide)	/* 0103h: 7 = 3 * 2 + 1 */
	mov	$0x7f, %al
	inc	%al
	into
	pushf
	pop	%ax
	or	$0x100, %ax		/* TF */
	push	%ax
	popf
	nop				/* steps: this, .. */
	mov	$C(r_version), %bx
	mov	%ds, %ax
	mov	%ax, %ds
	pushf
	pop	%ax
	and	$~0x100, %ax
	push	%ax
	popf				/* .. to this */
	nop

	/* Strings downwards; LDS and LES. */
	std
	mov	$C(to) + 7, %di
	mov	$C(from) + 7, %si
	mov	$8, %cx
	rep	movsb
	cld
	les	C(pointer_to), %di
	mov	%es:(%di), %ax
	mov	%ax, C(r_les)
	mov	%ds, %ax
	mov	%ax, %es
	mov	$C(from), %si
	mov	$C(to), %di
	mov	$8, %cx
	repe	cmpsb
	mov	%cx, C(r_cmps)
	ret				/* to INT 20h */

divide:	push	%bp			/* the frame's IP is DIV's own */
	mov	%sp, %bp
	mov	2(%bp), %ax
	mov	%ax, %bx
	mov	(%bx), %bx
	mov	%bx, C(r_div_insn)
	mov	$7, %ax
	mov	$2, %cl
	pop	%bp
	iret
step:	incw	C(r_steps)
	iret
overflow: incw	C(r_overflow)
	iret

routine: add	$22, %ax
	lret
routine_end:

hello:	.ascii	"hello from int 21h$"
table:	.word	C(bad), C(good)
pointer: .word	0, OTHER
pointer_to: .word 0, OTHER
word:	.word	0x1234
from:	.ascii	"ABCDEFGH"
to:	.fill	8
result:
r_version: .word 0
r_far:	.word	0
r_indirect: .word 0
r_sp:	.word	0
r_table: .word	0
r_wrap:	.word	0
r_patched: .word 0
r_loop:	.word	0
r_divide: .word	0
r_div_insn: .word 0
r_overflow: .word 0
r_steps: .word	0
r_les:	.word	0
r_cmps:	.word	0
com_end:

	.text
/*
 * unreal_enter() - DS and ES with limits of 4 GiB in real mode, by way of
 * protected mode; unreal_leave() - 64 KiB again.
 */
	.globl unreal_enter, unreal_leave
unreal_leave:
	mov	$16, %dx
	jmp	1f
unreal_enter:
	mov	$8, %dx
1:	pushfl
	cli
	lgdtl	gdtr
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	jmp	2f
2:	mov	%dx, %ds
	mov	%dx, %es
	and	$~1, %al
	mov	%eax, %cr0
	ljmp	$0, $3f
3:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	popfl
	retl

/* IRQ 0's handlers: one that counts, one that calls the one before, too. */
	.globl tick_count, tick_chain
tick_count:
	incl	%cs:ticks_seen
	push	%ax
	mov	$0x20, %al
	out	%al, $0x20
	pop	%ax
	iret
tick_chain:
	incl	%cs:ticks_seen
	pushf
	lcall	*%cs:old_tick
	iret

	.balign	8
gdt:	.quad	0, 0x008f92000000ffff, 0x000092000000ffff
gdtr:	.word	23
	.long	gdt
	.globl	ticks_seen, old_tick, dos_length, dos_text, dos_result
	.balign	4
ticks_seen: .long 0
old_tick: .long	0
dos_esp: .long	0
dos_length: .word 0
dos_text: .fill	32
dos_result: .fill 64
	.section .note.GNU-stack, "", @progbits

/* snip_enter(code): registers from snip_in, run, registers to snip_out. */
	.text
	.globl snip_enter, snip_exit
snip_enter:
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	mov	20(%esp), %eax
	mov	%eax, snip_code
	pushf
	mov	%esp, snip_sp
	push	snip_in + 32
	popf
	mov	snip_in + 0, %eax
	mov	snip_in + 4, %ecx
	mov	snip_in + 8, %edx
	mov	snip_in + 12, %ebx
	mov	snip_in + 16, %esp
	mov	snip_in + 20, %ebp
	mov	snip_in + 24, %esi
	mov	snip_in + 28, %edi
	jmp	*snip_code
snip_exit:
	mov	%eax, snip_out + 0
	mov	%ecx, snip_out + 4
	mov	%edx, snip_out + 8
	mov	%ebx, snip_out + 12
	mov	%esp, snip_out + 16
	mov	%ebp, snip_out + 20
	mov	%esi, snip_out + 24
	mov	%edi, snip_out + 28
	mov	snip_sp, %esp
	pushf
	pop	snip_out + 32
	popf
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	ret

	.bss
	.align	4
snip_sp:
	.skip	4
snip_code:
	.skip	4
	.section .note.GNU-stack, "", @progbits

/* User code that makes one access to the address in RDI. */
	.section .user.text, "ax"
	.globl user_read, user_write, user_rmw, user_call
user_read:
	movb	(%rdi), %al
	int	$0x80
user_write:
	movb	$0x5a, (%rdi)
	int	$0x80
user_rmw:
	addb	$1, (%rdi)
	int	$0x80
user_call:
	call	*%rdi
	int	$0x80
	.section .note.GNU-stack, "", @progbits

/* User code that makes one access to the address in EDI. */
	.section .user.text, "ax"
	.globl user_read, user_write, user_rmw, user_call
user_read:
	movb	(%edi), %al
	int	$0x80
user_write:
	movb	$0x5a, (%edi)
	int	$0x80
user_rmw:
	addb	$1, (%edi)
	int	$0x80
user_call:
	call	*%edi
	int	$0x80
	.section .note.GNU-stack, "", @progbits

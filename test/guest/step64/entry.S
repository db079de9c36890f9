/* What user code reaches by SYSCALL: back at once, R11 as it is. */
	.text
	.globl step_entry, step_entry_tf
step_entry:
	nop
	sysretq
	/* Back with TF, which the kernel side itself does not have. */
step_entry_tf:
	or	$0x100, %r11
	sysretq
	.section .note.GNU-stack, "", @progbits

/* What the build machine's processor makes of the snippets. */
	.section .rodata
	.align	8
	.globl snip_golden
snip_golden:
	.incbin	GOLDEN
	.section .note.GNU-stack, "", @progbits

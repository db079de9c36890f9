/*
 * A triple fault: with an empty IDT the #UD, its #GP and the double fault all
 * fail, and the processor shuts down.  The run must end with the status of a
 * shutdown, which the runner checks ("ends=triple" in cfg).
 */
#include "test/guest/lib/trap.h"

void guest_main(void)
{
	print("PASS before\n");
	lidt(idt, 0);
	asm volatile("ud2");
	print("FAIL after: still alive: got 0 expected 1 (round 0)\n");
	guest_exit(1);
}

#include <string.h>

#include "cpu/op.h"
#include "root/bus.h"
#include "root/exit.h"

#define QUIRK_PORT 0x7e

/* io_answer - the IN is answered: finish it, or let INS consume the data. */
static int io_answer(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	struct io_access *io = &c->io;
	uint32_t value = 0;

	/* Breakpoints on ports are for the processor to find. */
	if (io->string || (c->dr7 & 0xff)) {
		io->state = IO_ANSWERED;
		return RESUME;
	}
	memcpy(&value, io->data, io->size);
	gpr_write(c, RAX, io->size, false, value);
	io->state = IO_NONE;
	return exit_commit(v);
}

static int exit_in(struct vcpu *v)
{
	struct io_access *io = &v->cpu->io;
	uint32_t n;

	for (n = 0; n < io->count; n++) {
		if (!bus_pio_read(v, io->port, io->size,
				  io->data + n * io->size))
			break;
	}
	if (n) {
		/* An in-kernel device answers all elements or none. */
		io->count = n;
		return io_answer(v);
	}
	memset(io->data, 0, io->size * io->count);
	io->state = IO_ASKED;
	v->uexit.kind = UEXIT_IO;
	v->complete = io_answer;
	return TO_USER;
}

static int exit_out(struct vcpu *v)
{
	struct io_access *io = &v->cpu->io;
	uint32_t n = 0;

	while (n < io->count &&
	       bus_pio_write(v, io->port, io->size, io->data + n * io->size))
		n++;
	if (n == io->count) {
		return exit_commit(v);
	}
	/* What in-kernel devices and eventfds took does not go out again. */
	io->count -= n;
	memmove(io->data, io->data + n * io->size, io->count * io->size);
	v->uexit.kind = UEXIT_IO;
	/*
	 * OUTS has moved RSI and RCX already, so its RIP must go with them;
	 * OUT is still at its instruction when user mode looks.  Old clients
	 * patch the code in front of RIP at port 7EH (Linux's quirk
	 * KVM_X86_QUIRK_OUT_7E_INC_RIP).
	 */
	if (io->string || io->port == QUIRK_PORT)
		dbt_commit(v->cpu);
	else
		v->complete = exit_commit;
	return TO_USER;
}

int exit_io(struct vcpu *v)
{
	return v->cpu->io.in ? exit_in(v) : exit_out(v);
}

#include <string.h>

#include "irqchip/lapic.h"
#include "root/bus.h"
#include "root/exit.h"

/* The timer's current count, in the local APIC's page. */
#define APIC_PAGE_COUNT 0x390

/* ask_user - one fragment goes to user mode. */
static int ask_user(struct vcpu *v, const struct mmio_frag *f, bool write,
		    complete_fn complete)
{
	v->uexit.kind = UEXIT_MMIO;
	v->uexit.mmio.gpa = f->gpa;
	v->uexit.mmio.len = f->len;
	v->uexit.mmio.write = write;
	memset(v->uexit.mmio.data, 0, sizeof(v->uexit.mmio.data));
	if (write)
		memcpy(v->uexit.mmio.data, f->data, f->len);
	v->complete = complete;
	return TO_USER;
}

/* read_answered - the fragment's data are in mmio.want. */
static void read_answered(struct mmio *m)
{
	m->rd[m->nr_rd++] = m->want;
	m->wants = false;
}

static int complete_read(struct vcpu *v)
{
	struct mmio *m = &v->cpu->mmio;

	memcpy(m->want.data, v->uexit.mmio.data, m->want.len);
	read_answered(m);
	return RESUME;
}

static int exit_read(struct vcpu *v)
{
	struct mmio *m = &v->cpu->mmio;

	if (m->nr_rd >= MMIO_MAX_FRAGS) {
		v->vm->bugged = true;
		return -1;
	}
	if (v->apic &&
	    m->want.gpa == (lapic_base(v->apic) & PAGE_MASK) + APIC_PAGE_COUNT)
		vcpu_polls_timer(v);
	if (!bus_mmio_read(v, m->want.gpa, m->want.len, m->want.data))
		return ask_user(v, &m->want, false, complete_read);
	read_answered(m);
	return RESUME;
}

int mmio_finish(struct vcpu *v)
{
	struct mmio *m = &v->cpu->mmio;
	const struct mmio_frag *f;

	while (v->mmio_pos < m->nr_wr) {
		f = &m->wr[v->mmio_pos++];
		if (!bus_mmio_write(v, f->gpa, f->len, f->data))
			return ask_user(v, f, true, mmio_finish);
	}
	v->mmio_pos = 0;
	m->nr_wr = 0;
	return RESUME;
}

int exit_mmio(struct vcpu *v)
{
	return v->cpu->mmio.wants ? exit_read(v) : mmio_finish(v);
}

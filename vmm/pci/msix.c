#include "vmm/pci/msix.h"

#include <string.h>

#define CAP_ID	      0x11
#define CAP_SIZE      12
#define CAP_CONTROL   2
#define CONTROL_MASK  0x4000
#define CONTROL_ON    0x8000
#define PENDING_START 0x800
#define ENTRY_MASKED  1

void msix_init(struct msix *m, struct pci_func *f, unsigned bar, unsigned nr,
	       const struct msi_sink *sink)
{
	uint8_t cap[CAP_SIZE] = { CAP_ID };
	uint16_t control = nr - 1;
	uint32_t table = bar, pending = PENDING_START | bar;

	memcpy(cap + CAP_CONTROL, &control, 2);
	memcpy(cap + 4, &table, 4);
	memcpy(cap + 8, &pending, 4);
	*m = (struct msix){ .sink = sink, .func = f, .nr = nr };
	m->cap = pci_add_cap(f, cap, sizeof(cap));
	pci_set_writable(f, m->cap + CAP_CONTROL, 2, CONTROL_ON | CONTROL_MASK);
	for (unsigned i = 0; i < nr; i++)
		m->table[i].control = ENTRY_MASKED;
}

static uint32_t msix_control(const struct msix *m)
{
	return pci_get(m->func, m->cap + CAP_CONTROL, 2);
}

bool msix_enabled(const struct msix *m)
{
	return msix_control(m) & CONTROL_ON;
}

static bool msix_masked(const struct msix *m, unsigned vector)
{
	return (msix_control(m) & CONTROL_MASK) ||
	       (m->table[vector].control & ENTRY_MASKED);
}

void msix_send(struct msix *m, unsigned vector)
{
	const struct msix_entry *e = &m->table[vector];

	if (vector >= m->nr || !msix_enabled(m))
		return;
	if (msix_masked(m, vector)) {
		m->pending |= 1 << vector;
		return;
	}
	m->pending &= ~(1 << vector);
	m->sink->send(m->sink->arg,
		      (uint64_t)e->address_high << 32 | e->address_low,
		      e->data);
}

void msix_update(struct msix *m)
{
	if (!msix_enabled(m))
		return;
	for (unsigned i = 0; i < m->nr; i++)
		if (m->pending >> i & 1)
			msix_send(m, i);
}

uint64_t msix_read(struct msix *m, uint64_t offset, unsigned len)
{
	uint64_t val = 0;

	if (offset + len <= m->nr * sizeof(m->table[0]))
		memcpy(&val, (uint8_t *)m->table + offset, len);
	else if (offset == PENDING_START)
		val = m->pending;
	return val;
}

void msix_write(struct msix *m, uint64_t offset, unsigned len, uint64_t val)
{
	if (len < 4 || offset + len > m->nr * sizeof(m->table[0]))
		return;
	memcpy((uint8_t *)m->table + offset, &val, len);
	msix_update(m);
}

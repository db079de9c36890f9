#include "api/mce.h"

#include <errno.h>
#include <string.h>

#include "api/object.h"
#include "root/inject.h"

/* Source: SDM 3B "Machine-Check Architecture". */
#define MAX_BANKS	32
#define MCG_CTL_P	BIT(8)
#define MCG_SER_P	BIT(24)
#define MCG_STATUS_MCIP BIT(2)
#define STATUS_VAL	BIT(63)
#define STATUS_OVER	BIT(62)
#define STATUS_UC	BIT(61)

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, BANK_REGS };

int mce_get_cap(void *object, void *arg, void *user)
{
	*(uint64_t *)arg = MCG_CTL_P | MCG_SER_P;
	return 0;
}

int mce_setup(void *object, void *arg, void *user)
{
	struct cpu *c = ((struct api_vcpu *)object)->vcpu->cpu;
	uint64_t cap = *(uint64_t *)arg;
	unsigned int banks = cap & 0xff;

	if (!banks || banks > MAX_BANKS ||
	    (cap & ~(MCG_CTL_P | MCG_SER_P | 0xff | 0xff0000)))
		return -EINVAL;
	c->mcg_cap = cap;
	if (cap & MCG_CTL_P)
		c->mcg_ctl = ~0ull;
	for (unsigned int i = 0; i < banks; i++)
		c->mce_bank[i * BANK_REGS + BANK_CTL] = ~0ull;
	return 0;
}

static void fill_bank(uint64_t *bank, const struct kvm_x86_mce *in,
		      uint64_t over)
{
	bank[BANK_STATUS] = in->status | over;
	bank[BANK_ADDR] = in->addr;
	bank[BANK_MISC] = in->misc;
}

int mce_inject(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_x86_mce *in = arg;
	struct cpu *c = v->cpu;
	uint64_t *bank, over;

	if (in->bank >= (c->mcg_cap & 0xff) || !(in->status & STATUS_VAL))
		return -EINVAL;
	bank = &c->mce_bank[in->bank * BANK_REGS];
	/* Disabled reporting of uncorrected errors drops them. */
	if ((in->status & STATUS_UC) && (c->mcg_cap & MCG_CTL_P) &&
	    (c->mcg_ctl != ~0ull || bank[BANK_CTL] != ~0ull))
		return 0;
	over = bank[BANK_STATUS] & STATUS_VAL ? STATUS_OVER : 0;
	if (in->status & STATUS_UC) {
		if ((c->mcg_status & MCG_STATUS_MCIP) || !(c->cr4 & CR4_MCE)) {
			vcpu_request(v, REQ_TRIPLE_FAULT);
			return 0;
		}
		fill_bank(bank, in, over);
		c->mcg_status = in->mcg_status;
		inject_exception(v, VEC_MC, false, 0);
	} else if (!over || !(bank[BANK_STATUS] & STATUS_UC)) {
		fill_bank(bank, in, over);
	} else {
		bank[BANK_STATUS] |= STATUS_OVER;
	}
	return 0;
}

#include "root/exit.h"
#include "root/hv.h"
#include "root/inject.h"

/* Hypercalls; TLFS, "Hypercall Interface". */

#define CALL_CODE(input) ((uint16_t)(input))
#define CALL_REP(input)	 ((input) >> 32 & 0xfff)
#define NOTIFY_LONG_SPIN 0x08
#define POST_MESSAGE	 0x5c
#define SIGNAL_EVENT	 0x5d
#define STATUS_SUCCESS	 0
#define STATUS_NO_CALL	 2
#define STATUS_BAD_INPUT 3

static void set_result(struct cpu *c, uint64_t result)
{
	if (cpu_64bit(c)) {
		c->gpr[RAX] = result;
		return;
	}
	c->gpr[RAX] = (uint32_t)result;
	c->gpr[RDX] = result >> 32;
}

static uint64_t pair(const struct cpu *c, unsigned int high, unsigned int low)
{
	return c->gpr[high] << 32 | (uint32_t)c->gpr[low];
}

static int complete_call(struct vcpu *v)
{
	set_result(v->cpu, v->uexit.hv.result);
	return exit_commit(v);
}

static int answer(struct vcpu *v, uint64_t result)
{
	set_result(v->cpu, result);
	return exit_commit(v);
}

static int to_user(struct vcpu *v, uint64_t input, uint64_t in_gpa,
		   uint64_t out_gpa)
{
	v->uexit.kind = UEXIT_HV_CALL;
	v->uexit.hv.input = input;
	v->uexit.hv.result = 0;
	v->uexit.hv.param[0] = in_gpa;
	v->uexit.hv.param[1] = out_gpa;
	v->complete = complete_call;
	return TO_USER;
}

int hv_call(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint64_t input, in_gpa, out_gpa;

	if (c->cpl || !cpu_protected(c)) {
		inject_exception(v, VEC_UD, false, 0);
		return RESUME;
	}
	if (cpu_64bit(c)) {
		input = c->gpr[RCX];
		in_gpa = c->gpr[RDX];
		out_gpa = c->gpr[R8];
	} else {
		input = pair(c, RDX, RAX);
		in_gpa = pair(c, RBX, RCX);
		out_gpa = pair(c, RDI, RSI);
	}
	switch (CALL_CODE(input)) {
	case NOTIFY_LONG_SPIN:
		return answer(v, STATUS_SUCCESS);
	case POST_MESSAGE:
	case SIGNAL_EVENT:
		if (CALL_REP(input) || !v->hv.synic)
			return answer(v, STATUS_BAD_INPUT);
		return to_user(v, input, in_gpa, out_gpa);
	default:
		return answer(v, STATUS_NO_CALL);
	}
}

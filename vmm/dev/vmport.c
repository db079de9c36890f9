#include "vmm/dev/vmport.h"

#define MAGIC 0x564d5868 /* "VMXh" */

#define CALL_GET_VERSION 10
#define VERSION		 6
#define PRODUCT_SERVER	 2

uint32_t vmport_call(struct kvm_regs *regs, bool *changed)
{
	*changed = false;
	if ((uint32_t)regs->rax != MAGIC)
		return UINT32_MAX;
	if ((uint16_t)regs->rcx != CALL_GET_VERSION)
		return regs->rax;
	regs->rbx = MAGIC;
	regs->rcx = PRODUCT_SERVER;
	*changed = true;
	return VERSION;
}

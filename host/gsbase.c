#include "host/gsbase.h"

#include <asm/prctl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE BIT(1)
#endif

static bool has_fsgsbase;

void gsbase_init(void)
{
	has_fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

bool gsbase_is_fast(void)
{
	return has_fsgsbase;
}

void set_gs(const void *base)
{
	if (likely(has_fsgsbase))
		__asm__ volatile(".byte 0xf3,0x48,0x0f,0xae,0xd8" /* wrgsbase */
				 :
				 : "a"(base));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

void *get_gs(void)
{
	void *base;

	if (likely(has_fsgsbase))
		__asm__ volatile(".byte 0xf3,0x48,0x0f,0xae,0xc8" /* rdgsbase */
				 : "=a"(base));
	else
		syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

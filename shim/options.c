#include "shim/options.h"

#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "include/ring3.h"

const char *const option_names[NR_OPTIONS] = {
	[OPTION_EXEC] = "RING3_EXEC",
	[OPTION_LOG] = "RING3_LOG",
	[OPTION_STATS] = "RING3_STATS",
	[OPTION_CPUID] = "RING3_CPUID",
};

const char *option_value(enum option o)
{
	const char *value = getenv(option_names[o]);

	return value && *value ? value : NULL;
}

void options_apply(int vcpu_fd)
{
	struct kvm_enable_cap cap = { .cap = RING3_CAP_CAREFUL, .args = { 1 } };
	const char *exec = option_value(OPTION_EXEC);

	if (exec && !strcmp(exec, "careful"))
		ring3_ioctl(vcpu_fd, KVM_ENABLE_CAP, &cap);
}

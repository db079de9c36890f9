#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "api/caps.h"
#include "api/fd.h"
#include "api/ioctl.h"
#include "api/lists.h"
#include "api/mce.h"
#include "api/vcpu_msr.h"
#include "api/vm.h"
#include "include/ring3.h"

int ring3_open(int flags)
{
	int fd = fd_memfd("kvm", 0);
	int r = fd;

	if (fd >= 0) {
		if (!(flags & O_CLOEXEC))
			fcntl(fd, F_SETFD, 0);
		r = fd_install(fd, FILE_SYSTEM, NULL, NULL);
		if (!r)
			return fd;
		close(fd);
	}
	errno = -r;
	return -1;
}

static int get_api_version(void *object, void *arg, void *user)
{
	return user ? -EINVAL : KVM_API_VERSION;
}

static int get_mmap_size(void *object, void *arg, void *user)
{
	return user ? -EINVAL : (int)VCPU_MMAP_SIZE;
}

static int check_extension(void *object, void *arg, void *user)
{
	return caps_check(NULL, (unsigned long)user);
}

static int create_vm(void *object, void *arg, void *user)
{
	/* No VM types but the default one. */
	if (user)
		return -EINVAL;
	return api_vm_create();
}

const struct ioctl_row system_ioctls[] = {
	IOCTL(KVM_GET_API_VERSION, get_api_version),
	IOCTL(KVM_CHECK_EXTENSION, check_extension),
	IOCTL(KVM_GET_VCPU_MMAP_SIZE, get_mmap_size),
	IOCTL(KVM_CREATE_VM, create_vm),
	IOCTL_FLAGS(KVM_GET_SUPPORTED_CPUID, list_supported_cpuid, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_SUPPORTED_HV_CPUID, list_hv_cpuid, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_EMULATED_CPUID, list_emulated_cpuid, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_MSR_INDEX_LIST, list_msrs, IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_MSR_FEATURE_INDEX_LIST, list_msr_features,
		    IOCTL_RAW),
	IOCTL_FLAGS(KVM_GET_MSRS, msrs_get_features, IOCTL_RAW),
	IOCTL(KVM_X86_GET_MCE_CAP_SUPPORTED, mce_get_cap),
	{ 0 },
};

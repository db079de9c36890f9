#pragma once

/*
 * cpuinfo_open - /proc/cpuinfo with the flag of hardware virtualization, vmx or
 * svm, which programs look for before they try /dev/kvm.  A descriptor, or -1
 * with errno.
 */
int cpuinfo_open(int flags);

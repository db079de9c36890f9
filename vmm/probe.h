#pragma once

#include "vmm/kvmfd.h"

/*
 * probe_accel - what `--accel auto` means here: ACCEL_KVM if /dev/kvm runs
 * guest kernel code at a useful speed, else ACCEL_RING3.
 *
 * A /dev/kvm may open and yet interpret guest kernel code one instruction at a
 * time; a loop in 64-bit kernel mode is timed to find that out.
 */
enum accel probe_accel(void);

/*
 * probe_ps - picoseconds that an instruction of a guest kernel takes, or -errno
 * if the loop cannot be run.
 */
long probe_ps(enum accel accel);

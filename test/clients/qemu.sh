#!/bin/bash
# qemu.sh [PATTERN...] - Debian's QEMU with -accel kvm on ring3: Linux on its
# machine types, devices, firmware, snapshots and migration.  Without patterns
# one short case; LONG=1: all.
set -u
. "$(dirname "$0")/common.sh"
command -v qemu-system-x86_64 >/dev/null || {
	skip qemu "no qemu-system-x86_64; scripts/deps.sh clients installs it"
	finish
	exit
}
. test/clients/qemu-cases.sh

if [ ${#patterns[@]} = 0 ] && [ -z "${LONG:-}" ]; then
	patterns=(boot-q35-max-2)
fi
for machine in pc q35 microvm; do
	for cpu in max host; do
		for cpus in 1 2 4; do
			run_case boot $machine $cpu $cpus
		done
	done
done
for machine in pc q35; do
	run_case devices $machine
	run_case grub $machine
done
run_case split q35
run_case sandbox q35
run_case ovmf shell
run_case ovmf linux
run_case ovmf wide
run_case snapshot q35
run_case migration q35
run_case migration q35 dirty-ring-size=4096
finish

#!/bin/bash
# all.sh - the clients of /dev/kvm on ring3: one QEMU boot, or with LONG=1 every
# case of every client.
cd "$(dirname "$0")" || exit 2
bad=0
./qemu.sh || bad=1
if [ -n "${LONG:-}" ]; then
	./kvmtool.sh || bad=1
	./guestfish.sh || bad=1
fi
exit $bad

#!/bin/bash
# guestfish.sh - libguestfs on ring3: makes a file system in an image, writes a file
# and reads it back in a second run.
set -u
. "$(dirname "$0")/common.sh"
limit=${CLIENT_TIMEOUT:-300}
kernels=(/boot/vmlinuz-*)
if ! command -v guestfish >/dev/null; then
	skip guestfish "no guestfish; Debian's packages guestfish and libguestfs-tools"
elif [ ! -r "${kernels[0]}" ]; then
	skip guestfish "no readable kernel in /boot for its appliance"
else
	log=$out/guestfish.log
	image=$out/guestfish.img
	count=$out/guestfish.stats
	ok=0
	rm -f "$image" "$count"
	# The direct backend starts QEMU itself.
	export LIBGUESTFS_BACKEND=direct
	client "$log" "$limit" guestfish -N "$image=fs:ext4:64M" -m /dev/sda1 \
		write /hello "hello from ring3" &&
		timeout -k 5 "$limit" "$ring3" exec --stats="$count" -- \
			guestfish --ro -a "$image" -m /dev/sda1 cat /hello \
			</dev/null >>"$log" 2>&1 &&
		grep -q "^hello from ring3" "$log" &&
		grep -q "^RUN " "$count" && ok=1
	result guestfish $ok "($log)"
fi
finish

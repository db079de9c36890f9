#!/bin/sh
# fetch-kernel.sh [NAME] - Debian's kernel package linux-image-NAME, without
# installing it; prints the path of its vmlinuz.  NAME: cloud-amd64 (default),
# amd64, 686-pae, ... or with an architecture: 686-pae:i386.
set -eu
cd "$(dirname "$0")/.."
name=${1:-cloud-amd64}
name=${name#linux-image-}
case $name in
*686*:* | *:*) ;;
*686*) name=$name:i386 ;;
esac
dir=build/guest/kernel-${name%%:*}

find_kernel() {
	for kernel in "$dir"/boot/vmlinuz-*; do
		[ ! -f "$kernel" ] || return 0
	done
	return 1
}
find_kernel || scripts/fetch-deb.sh "linux-image-$name" "$dir" ./boot
find_kernel || {
	echo "fetch-kernel.sh: linux-image-$name holds no vmlinuz" >&2
	exit 1
}
echo "$kernel"

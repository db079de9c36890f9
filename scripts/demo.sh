#!/bin/sh
# demo.sh - from a bare Debian 12 to a Debian kernel that runs on ring3's own
# engine: installs what is missing to build, builds, fetches Debian's cloud
# kernel and busybox (unpacked below build/guest, not installed), boots them, and
# shows the exits that the run took.  ACCEL=kvm uses /dev/kvm instead.
set -eu
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

step "What is needed to build"
scripts/deps.sh build

step "Build"
make -j"$(nproc)" build/ring3

step "Debian's cloud kernel and busybox"
kernel=$(scripts/fetch-kernel.sh cloud-amd64)
mkdir -p build/guest
cat >build/guest/demo-commands <<'EOF'
run() {
	echo
	echo "guest# $*"
	sh -c "$*"
}
run uname -a
run "grep -m 3 -E 'vendor_id|model name|flags' /proc/cpuinfo | cut -c 1-76"
run dmesg "| grep -i -m 2 hypervisor"
run free -m
run "head -n 5 /proc/interrupts"
run "date; sleep 1; date"
EOF
scripts/mkinitramfs.sh build/guest/demo-commands build/guest/demo.cpio.gz
echo "$kernel"

set -- build/ring3 run --accel "${ACCEL:-ring3}" --stats --mem 512M \
	--initrd build/guest/demo.cpio.gz \
	--append "console=ttyS0 quiet panic=-1" "$kernel"
step "$*"
start=$(date +%s)
status=0
"$@" </dev/null || status=$?
step "The guest ran $(($(date +%s) - start)) s; ring3's exit status is $status (0: it powered off)"
exit $status

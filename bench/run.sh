#!/bin/sh
# run.sh - measures ring3 with a guest benchmark kit: its workloads natively,
# on `ring3 run` and on QEMU's TCG in turn, several rounds; then the table.
# `make bench` calls it.  The kit is no part of this tree; what is needed of it
# stands in bench/README.  Settings, all from the environment:
#   KIT=DIR      the kit's sources
#   W="a b"      workloads or groups (default: all)
#   SCALE=f      of the amount of work (default 0.1)
#   ROUNDS=n     (default 5)
#   REAL=1       the kit's real programs instead (root, mmdebstrap)
#   RING3=PROG   (default build/ring3); RING3="A B" compares builds;
#                exec:PROG is QEMU (-accel kvm) by `PROG exec`
#   MODEL=CPU    for QEMU (default max)
#   APPEND=..    more for the guest kernel's command line
#   ARGS=..      options for `ring3 run`
#   QEMU=PROG    (default qemu-system-x86_64); QEMU=no leaves TCG out
#   TCG_ROUNDS=n rounds with TCG, which take longest (default ROUNDS)
#   KERNEL=FILE  (default: Debian's cloud kernel, fetched)
#   CPU=n        runs natively on this processor
#   TREERUN=PROG what runs a VM (default build/bench/treerun; "... -p" looks
#                processes up in /proc: switches cost less, ticks of 10 ms)
#   LOGS=DIR     keeps the logs there; bench/report.awk makes the table anew
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
say() { echo "bench: $*" >&2; }
fail() { say "$*"; exit 2; }
[ -n "${KIT:-}" ] && [ -f "$KIT/Makefile" ] ||
	fail "KIT=DIR must name a checkout of the benchmark kit"
KIT=$(cd "$KIT" && pwd)
SCALE=${SCALE:-0.1} ROUNDS=${ROUNDS:-5} W=${W:-} REAL=${REAL:-} CPU=${CPU:-}
RING3=${RING3:-$top/build/ring3} QEMU=${QEMU:-qemu-system-x86_64} ARGS=${ARGS:-}
TCG_ROUNDS=${TCG_ROUNDS:-$ROUNDS}
out=${OUT:-$top/build/bench}
logs=${LOGS:-$out/logs}
treerun=${TREERUN:-$top/build/bench/treerun}
KERNEL=${KERNEL:-$("$top/scripts/fetch-kernel.sh" cloud-amd64)}
busybox=$(command -v busybox) || fail "needs busybox (Debian: busybox-static)"
if [ "$QEMU" != no ] && ! command -v "$QEMU" >/dev/null; then
	say "no $QEMU: without TCG"
	QEMU=no
fi

mkdir -p "$out" "$logs"
rm -f "$logs"/*.log
make -s -C "$KIT" OUT="$out" BUSYBOX="$busybox" all initramfs
image=$out/initramfs.cpio.gz mem=512 scale="scale=$SCALE"
list=$(echo $W | tr ' ' ,)
if [ -n "$REAL" ]; then
	image=$out/real.cpio mem=2048 scale=
	list=${list:-gcc,python,sqlite,xz,spawn}
	[ -f "$image" ] || "$KIT/real/mkroot.sh" "$busybox" "$out" >&2
fi
append="console=ttyS0 quiet reboot=t panic=-1 $scale ${list:+bench=$list} ${APPEND:-}"
pin=
[ -z "$CPU" ] || pin="taskset -c $CPU"

native() {
	if [ -n "$REAL" ]; then
		$pin "$KIT/real/native.sh" "$out/real/root" $(echo $list | tr , ' ')
	else
		BENCH_SCALE=$SCALE $pin "$out/bench" $W
	fi
}

# vm LOG COMMAND... - a guest's console and the host's clocks into LOG; CPU time
# is that of all processes that the VM consists of.
vm() {
	log=$1
	shift
	# $treerun may have an option.
	# shellcheck disable=SC2086
	$treerun -t "${VM_TIMEOUT:-3600}" -l "$log" -- "$@" \
		</dev/null 2>"$log.err" || true
	grep -q 'MARK done' "$log" || say "$log: the guest did not come to its end"
}

# qemu LOG ACCELERATOR COMMAND...
qemu() {
	log=$1 accel=$2
	shift 2
	vm "$log" "$@" -accel "$accel" -cpu "${MODEL:-max}" -M q35 -m "$mem" -smp 1 \
		-nodefaults -no-user-config -display none -serial stdio -no-reboot \
		-kernel "$KERNEL" -initrd "$image" -append "$append"
}

ring3() {
	case $2 in
	exec:*)
		client=$QEMU
		[ "$client" != no ] || client=qemu-system-x86_64
		qemu "$1" kvm "${2#exec:}" exec -- "$client"
		;;
	*)
		vm "$1" "$2" run --accel ring3 $ARGS -m "${mem}M" -k "$KERNEL" \
			-i "$image" -a "$append"
		;;
	esac
}

for round in $(seq "$ROUNDS"); do
	say "round $round of $ROUNDS"
	native >"$logs/native.$round.log"
	n=0
	for program in $RING3; do
		n=$((n + 1))
		ring3 "$logs/ring3-$n.$round.log" "$program"
	done
	[ "$QEMU" = no ] || [ "$round" -gt "$TCG_ROUNDS" ] ||
		qemu "$logs/tcg.$round.log" tcg,thread=multi "$QEMU"
done
"$out/bench" -l >"$logs/list"
echo "# scale $SCALE, $ROUNDS rounds; $(uname -m), $(nproc) processors," \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1);" \
	"load $(cut -d ' ' -f 1-3 /proc/loadavg)"
awk -f "$top/bench/report.awk" "$logs/list" "$logs"/*.log

# boot.sh - sourced by the scripts of this folder: boots Linux under ring3 and
# counts results.  RING3 is the program under test (build/ring3).
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
out=build/boot
ring3=${RING3:-build/ring3}
passed=0
failed=0
mkdir -p $out
[ -n "${RING3:-}" ] || make -s || exit 1

# result NAME OK NOTE
result() {
	if [ "$2" = 1 ]; then
		passed=$((passed + 1))
		echo "PASS $1 $3"
	else
		failed=$((failed + 1))
		echo "FAIL $1 $3"
	fi
}

# now_ms - the host's clock in milliseconds
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# make_initrd NAME [-a ARCH] - an initramfs that runs the commands on stdin;
# prints its path.
make_initrd() {
	local name=$1

	shift
	cat >"$out/$name.init" || return 1
	scripts/mkinitramfs.sh "$@" "$out/$name.init" "$out/$name.cpio.gz"
}

# self_check_initrd NAME [-a ARCH] - the guest computes, forks, writes and reads
# files, sleeps, and says how many CPUs it sees if all of it went well.
self_check_initrd() {
	make_initrd "$@" <<'END'
cpus=$(grep -c ^processor /proc/cpuinfo)
sum=0
i=0
while [ $i -lt 1000 ]; do i=$((i + 1)); sum=$((sum + i)); done
md5=$(seq 1 20000 | md5sum | cut -c 1-8)
for i in 1 2 3 4; do (seq 1 5000 | sort -n | tail -n 1 >/tmp/$i) & done
wait
tails=$(cat /tmp/[1-4] | tr '\n' ' ')
mkdir /tmp/d && mount -t tmpfs none /tmp/d
dd if=/dev/zero of=/tmp/d/zero bs=64k count=64 2>/dev/null
zero=$(wc -c </tmp/d/zero)
sleep 0.1
[ "$sum $md5 $zero $tails" = "500500 e071f707 4194304 5000 5000 5000 5000 " ] &&
	echo "ring3-boot: ok cpus=$cpus mem=$(sed -n 's/MemTotal: *//p' /proc/meminfo)" ||
	echo "ring3-boot: wrong: $sum $md5 $zero $tails"
poweroff -f
END
}

# boot LOG SECONDS OPTION... - runs ring3 with a time limit; the serial line goes
# to LOG, ring3's own messages to LOG.err, with the processor time at its end.
# Returns its status, 124 for a hang.
boot() {
	local log=$1 limit=$2 TIMEFORMAT

	shift 2
	TIMEFORMAT="cpu %U + %S s"
	{
		time timeout -k 5 "$limit" "$ring3" run --accel ring3 "$@" \
			</dev/null >"$log" 2>"$log.err"
	} 2>>"$log.err"
}

# clean_log LOG - whether the guest's kernel had nothing to complain about.
clean_log() {
	! grep -aE 'Kernel panic|BUG:|Oops|WARNING:|rcu_.*stall|soft lockup|hung task|clocksource.*unstable|did not respond' "$1"
}

# good_boot LOG STATUS CPUS - whether a self-checking guest did what it should.
good_boot() {
	[ "$2" = 0 ] && grep -aq "^ring3-boot: ok cpus=$3 " "$1" && clean_log "$1"
}

# cpu_time LOG - the processor time of a boot
cpu_time() { tail -n 1 "$1.err"; }

finish() {
	echo "$passed passed, $failed failed"
	[ $failed = 0 ]
}

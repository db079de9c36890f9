# qemu-state.sh - sourced by qemu-cases.sh: a guest that goes on from a snapshot, or
# in another process.  It fills a file system in memory with random blocks and
# checks them all, round by round, so that a lost page shows.
# shellcheck shell=bash

# writer_initrd - its initramfs
writer_initrd() {
	initrd writer <<'END'
mkdir /ram
mount -t tmpfs none /ram
cd /ram
cpus=$(grep -c ^processor /proc/cpuinfo)
for round in $(seq 1 30); do
	for job in 0 1; do
		(for i in $(seq $((job * 8)) $((job * 8 + 7))); do
			[ $round = 1 ] || md5sum -s -c $i.sum || echo "guest: wrong: $i"
			dd if=/dev/urandom of=$i bs=64k count=4 2>/dev/null
			md5sum $i >$i.sum
		done) &
	done
	wait
	echo "guest: round $round"
done
grep -c ^processor /proc/cpuinfo | grep -qx $cpus && echo "guest: ok"
poweroff -f
END
}

# machine_args MACHINE - what both sides of a migration have in common
machine_args() {
	args=(-M "$1" -cpu max -smp 2 -m 256M -kernel "$kernel"
		-initrd "$initrd" -append "$append")
}

# start NAME ARG... - QEMU in the background, with its monitor on pipes
start() {
	local name=$1

	shift
	rm -f "$out/$name.in" "$out/$name.out"
	mkfifo "$out/$name.in" "$out/$name.out"
	log=$out/qemu-$name.log
	: >"$log"
	qemu -monitor pipe:"$out/$name" "$@" &
	pid=$!
	# Both ends stay open as long as this shell wants them.
	exec {to}<>"$out/$name.in" {from}<>"$out/$name.out"
}

# monitor TO COMMAND - a line to a monitor
monitor() { echo "$2" >&"$1"; }

# await LOG PATTERN - until a line of the log matches; the limit is the run's.
await() {
	local i

	for ((i = 0; i < limit * 10; i++)); do
		! grep -aqE "$2" "$1" || return 0
		sleep 0.1
	done
	echo "no \"$2\" in $1"
	return 1
}

# sound LOG - whether the guest has missed nothing
sound() {
	! grep -a "guest: wrong" "$1" && clean_log "$1"
}

# case_snapshot MACHINE - savevm, loadvm in the same process, and in another.
case_snapshot() {
	local kernel initrd args to from pid disk=$out/snapshot.qcow2

	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(writer_initrd) || return 1
	qemu-img create -q -f qcow2 "$disk" 1G || return 1
	machine_args "$1"
	args+=(-drive "file=$disk,format=qcow2,if=virtio")
	start "snapshot-$1" "${args[@]}"
	await "$log" "guest: round 5\b" || return 1
	monitor "$to" "savevm one"
	await "$log" "guest: round 10\b" || return 1
	monitor "$to" "loadvm one"
	wait $pid
	ended $? && sound "$log" || return 1
	# The rounds behind the snapshot were run twice.
	[ "$(grep -ac "guest: round 10\b" "$log")" = 2 ] ||
		{ echo "loadvm did not go back"; return 1; }
	log=$out/qemu-snapshot-$1-again.log
	qemu "${args[@]}" -loadvm one
	ended $? && sound "$log"
}

# case_migration MACHINE [OPTIONS] - to another process while the guest writes.
# OPTIONS are of -accel kvm, such as dirty-ring-size=4096.
case_migration() {
	local kernel initrd args to from pid socket=$out/migration.sock
	local source target log2 accel=kvm${2:+,$2}

	kernel=$(scripts/fetch-kernel.sh) || return 1
	initrd=$(writer_initrd) || return 1
	machine_args "$1"
	rm -f "$socket"
	start "migration-$1-target" "${args[@]}" -incoming "unix:$socket"
	target=$pid log2=$log
	start "migration-$1-source" "${args[@]}"
	source=$pid
	await "$log" "guest: round 5\b" || return 1
	monitor "$to" "migrate -d unix:$socket"
	await "$log2" "guest: round" || return 1
	monitor "$to" quit
	wait $source
	sound "$log" || return 1
	log=$log2
	wait $target
	ended $? && sound "$log"
}

#!/bin/bash
# run-guests.sh - builds and runs the bare-metal guests of test/guest.
#
#   test/run-guests.sh [--vm ring3|tcg|kvm|'COMMAND'] [--expect LIST] [GLOB...]
#
# COMMAND is split into words; {kernel}, {append} and {smp} are replaced, and a
# word that is {append} alone stays one word.  ring3 (the default) is
# "build/ring3 run --accel ring3"; tcg and kvm are QEMU, as oracles.
# RING3_EXEC=careful|fast chooses the engine's executor, RING3_DIRECT whether
# user code may run in host processes, GUEST_TIMEOUT the
# seconds a guest may take (240), GUEST_JOBS how many run at once (2), MODE the
# build and O its folder.  Logs are kept in build/test/guest/log.
#
# test/guest/expect/NAME lists known failures, one a line: GUEST TEST.  TEST
# "(end)" stands for a guest that does not get to its end.  A list may only
# shrink: a listed failure that passes fails the run.
set -u
cd "$(dirname "$0")/.."

mode=${MODE:-release}
out=build
[ "$mode" = release ] || out=build-$mode
out=${O:-$out}
guests=$out/test/guest
vm=ring3
lists=
globs=()
one=

while [ $# -gt 0 ]; do
	case $1 in
	--vm) vm=$2; shift ;;
	--expect) lists=$2; shift ;;
	--one) one=$2; shift ;;
	-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "run-guests.sh: unknown option $1" >&2; exit 2 ;;
	*) globs+=("$1") ;;
	esac
	shift
done

# The command line of one guest, in the array `cmd`; $1 its image.
make_command() {
	local qemu="-serial stdio -display none -no-reboot -device pc-testdev
		-device isa-debug-exit,iobase=0xf4,iosize=4"
	local load="-kernel $1 -smp $smp" words w

	cmd=()
	case $1 in *.bin | *.img) load="-drive file=$1,format=raw,if=ide -smp $smp" ;; esac
	case $vm in
	ring3)
		cmd=("$out/ring3" run --accel ring3 --cpus "$smp")
		[ -z "$append" ] || cmd+=(--append "$append")
		[ -z "$options" ] || cmd+=("$options")
		if [ -n "$disk" ]; then
			cmd+=(--disk "$1")
		else
			cmd+=(--kernel "$1")
		fi
		;;
	tcg) words="qemu-system-x86_64 -accel tcg -cpu max $load $qemu" ;;
	kvm) words="qemu-system-x86_64 -accel kvm -cpu max,-arch-capabilities $load $qemu" ;;
	*) words=$vm ;;
	esac
	[ ${#cmd[@]} = 0 ] || return 0
	for w in $words; do
		w=${w//\{kernel\}/$1}
		w=${w//\{smp\}/$smp}
		cmd+=("${w//\{append\}/$append}")
	done
}

# The known failures of guest $1; $2 is the prefix of a line.
known() {
	local l

	for l in $lists; do
		[ ! -f "$l" ] || sed -n "s/^$2$1 //p" "$l"
	done
}

# Ended as it should?  $1 is the exit status.
ended() {
	case $ends in
	pass) [ "$1" = 1 ] || { [ "$1" = 3 ] && grep -aq '^SUMMARY' "$log"; } ;;
	triple)
		case $vm in
		tcg | kvm) [ "$1" = 0 ] ;;
		*) [ "$1" = 10 ] ;;
		esac
		;;
	esac && { [ "$ends" != pass ] || grep -aq '^SUMMARY' "$log"; }
}

# Runs the guest $1; writes its row to $log.row.
run_one() {
	local name=$1 image=$guests/$1.elf cmd rc start secs
	local pass=0 fail=0 skip=0 note= smp=1 append= options= ends=pass
	local disk=

	log=$guests/log/$name
	[ ! -f test/guest/"$name"/raw.ld ] || image=$guests/$name.bin
	# shellcheck disable=SC1090
	[ ! -f test/guest/"$name"/cfg ] || . test/guest/"$name"/cfg
	# A disk of its own, which the guest may write.
	if [ -n "$disk" ]; then
		cp "$image" "$log.img" && truncate -s 1M "$log.img"
		image=$log.img
	fi
	make_command "$image"
	# The sanitizer has fixed ideas of the address space.
	[ "$mode" != tsan ] || cmd=(setarch -R "${cmd[@]}")
	start=$(date +%s%N)
	timeout -k 5 "${GUEST_TIMEOUT:-240}" "${cmd[@]}" </dev/null \
		>"$log" 2>"$log.err"
	rc=$?
	secs=$((($(date +%s%N) - start) / 100000000))
	secs=$((secs / 10)).$((secs % 10))
	tr -d '\r' <"$log" >"$log.txt" && mv "$log.txt" "$log"

	sed -n 's/^FAIL \(.*\): [^:]*: got .*/\1/p; s/^FAIL unexpected.*/(end)/p' \
		"$log" | sort -u >"$log.failed"
	sed -n 's/^PASS //p' "$log" | sort -u >"$log.passed"
	known "$name" "" | sort -u >"$log.known"
	known "$name" "?" | sort -u >"$log.maybe"
	if ended $rc; then
		sed -i '/^(end)$/d' "$log.failed"
	else
		echo "(end)" >>"$log.failed"
		sort -u -o "$log.failed" "$log.failed"
		note="status $rc"
		[ $rc != 124 ] || note="timeout"
	fi
	# Known failures that passed: what was not reached does not count.
	if grep -qx '(end)' "$log.failed"; then
		comm -12 "$log.known" "$log.passed" >"$log.better"
	else
		comm -13 "$log.failed" "$log.known" >"$log.better"
	fi
	comm -23 "$log.failed" "$log.known" | comm -23 - "$log.maybe" >"$log.bad"
	# A host that has no runners; test/unit/runner says why.
	if [ "${RING3_DIRECT-}" = always ] &&
		grep -aq '"exits_direct":0,' "$log.err"; then
		note+="${note:+; }not run directly"
		skip=1
	fi
	pass=$(sed -n 's/^SUMMARY \([0-9]*\) passed.*/\1/p' "$log")
	[ -n "$pass" ] || pass=$(wc -l <"$log.passed")
	skip=$((skip + $(grep -ac '^SKIP' "$log")))
	fail=$(cat "$log.bad" "$log.better" | wc -l)
	skip=$((skip + $(comm -12 "$log.failed" "$log.known" | wc -l)))
	while read -r t; do note+="${note:+; }$t"; done < <(head -4 "$log.bad")
	while read -r t; do note+="${note:+; }listed as failing: $t"; done \
		<"$log.better"
	printf '%-12s %6d %6d %6d %7s  %s\n' "$name" "$pass" "$fail" "$skip" \
		"$secs" "$note" >"$log.row"
	cat "$log.row"
}

[ -n "$lists" ] || case $vm in
tcg | kvm) lists=test/guest/expect/$vm ;;
*) lists="test/guest/expect/ring3 test/guest/expect/ring3-${RING3_EXEC:-fast}" ;;
esac
if [ -n "$one" ]; then
	run_one "$one"
	exit 0
fi

make -s MODE="$mode" O="$out" guests || exit 1
[ "$vm" != ring3 ] || make -s MODE="$mode" O="$out" || exit 1
rm -rf "$guests/log"
mkdir -p "$guests/log"
names=()
for d in test/guest/*/; do
	n=$(basename "$d")
	case $n in lib | expect) continue ;; esac
	[ ${#globs[@]} = 0 ] && names+=("$n")
	for g in "${globs[@]}"; do
		# shellcheck disable=SC2254
		case $n in $g) names+=("$n"); break ;; esac
	done
done
if [ ${#names[@]} = 0 ]; then
	echo "run-guests.sh: no guest matches" >&2
	exit 2
fi

printf '%-12s %6s %6s %6s %7s  %s\n' guest passed failed skipped seconds note
printf '%s\n' "${names[@]}" | xargs -P "${GUEST_JOBS:-2}" -I{} \
	"$0" --vm "$vm" --expect "$lists" --one {}
awk '{ p += $2; f += $3; s += $4 } END {
	printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || NR == 0
}' "$guests"/log/*.row

#!/bin/sh
# treerun.sh TREERUN TREE - does treerun count all of a tree of processes?  TREE
# says itself what it spent; processes' starts and ends are not in that, so a
# little more is right, and with -p two ticks less are.
set -u
treerun=$1 tree=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

check() { # NAME COMMAND...
	name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "treerun: $name FAIL"
		sed 's/^/    /' "$tmp/log"
	fi
}
field() { awk -v key="$1 $2" -v n="$3" 'index($0, key " ") == 1 { print $n }' "$tmp/log"; }
# The region's CPU time is what TREE spent, less LOW and more HIGH seconds at most.
right() {
	spent=$(sed -n 's/\r//; s/^BENCH tree //p' "$tmp/log")
	awk -v got="$(field HOST tree 4)" -v want="$spent" -v low="$1" -v high="$2" \
		'BEGIN { exit !(want > 0.7 && got > want - low && got < want + high) }'
}
same() { [ "$1" = "$2" ]; }

for mode in "" -p; do
	# shellcheck disable=SC2086
	timeout 60 "$treerun" $mode -l "$tmp/log" -- "$tree"
	check "status of the command" same $? 3
	clock=$(sed -n 's/^HOSTCLOCK //p' "$tmp/log")
	[ -z "$mode" ] || check "-p" same "$clock" proc
	case $clock in
	perf) check "perf: all CPU time" right 0.001 0.03 ;;
	proc) check "proc: all CPU time" right 0.025 0.05 ;;
	*) check "a clock" false ;;
	esac
	check "the end" same "$(field HOSTMARK exit 5)" status
	check "a mark" [ -n "$(field HOSTMARK done 4)" ]
	# In all there are 0.1 s before the region.
	check "since the start" awk -v all="$(field HOSTMARK exit 4)" \
		-v region="$(field HOST tree 4)" \
		'BEGIN { exit !(all > region + 0.07) }'
done
timeout 60 "$treerun" -t 0.3 -l "$tmp/log" -- sh -c 'echo MARK a; sleep 50 & wait'
check "status of a timeout" same $? 124
check "the timeout" same "$(field HOSTMARK exit 5)" timeout
timeout 60 "$treerun" -l "$tmp/log" -- sh -c 'kill -9 $$'
check "a signal" same "$(field HOSTMARK exit 5) $(field HOSTMARK exit 6)" "signal 9"
echo "$passed passed, $failed failed"
[ $failed = 0 ]

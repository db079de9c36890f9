#!/bin/bash
# run-check.sh - the suites of `make check`, one after the other, and the sum
# of their results: every line "N passed, N failed[, N skipped]" counts.  A
# suite that fails without such a line counts as one failure.
#
#   test/run-check.sh SUITE...   with SUITE of unit, code, asan, fuzz, insn, cli, bench, shim, api, guests-careful,
#                                guests-fast, guests-direct, clang, boot, firmware, clients, guests-tcg,
#                                guests-tsan, matrix, hundred, clock, parallel, stress,
#                                compile
set -u
cd "$(dirname "$0")/.." || exit 2
# Not the flags of the make that runs this: each suite is a build of its own.
unset MAKEFLAGS MFLAGS MAKELEVEL
log=build/check
mkdir -p $log
passed=0
failed=0
skipped=0
bad=

suite() {
	case $1 in
	unit) make unit ;;
	code) make code-test ;;
	asan) make MODE=asan unit ;;
	fuzz) make fuzz-replay && make smc-direct COUNT=1000 && make MODE=asan fuzz-replay ;;
	insn) make insn-test LONG="${LONG-}" ;;
	cli) make --no-print-directory check-cli ;;
	bench) make bench-test ;;
	api) make api-test ;;
	guests-careful) RING3_EXEC=careful test/run-guests.sh ;;
	guests-fast) RING3_EXEC=fast test/run-guests.sh ;;
	guests-direct) RING3_DIRECT=always test/run-guests.sh $DIRECT_GUESTS ;;
	guests-tsan) MODE=tsan test/run-guests.sh $TSAN_GUESTS ;;
	clang) clang_guests ;;
	guests-tcg) test/run-guests.sh --vm tcg ;;
	boot) test/boot/linux.sh ;;
	firmware) test/boot/firmware.sh ;;
	shim) make shim-test ;;
	clients) test/clients/all.sh ;;
	matrix | hundred | clock | parallel | stress | compile) "test/boot/$1.sh" ;;
	*) echo "run-check.sh: unknown suite $1"; return 2 ;;
	esac
}

# All of it by the other compiler, and what that made of the engine.
clang_guests() {
	if ! command -v clang >/dev/null; then
		echo "0 passed, 0 failed, 1 skipped"
		return
	fi
	make O=build-clang CC=clang &&
		O=build-clang CC=clang RING3_EXEC=fast test/run-guests.sh
}

# Those with user code.
DIRECT_GUESTS="direct* except64 paging64 priv64 tlb64"
# Those that use no vector register and no x87: the sanitizer does.
TSAN_GUESTS="smp64 race64 litmus64 many64 irq64 tlb64
	paging64"

for s; do
	echo "=== $s"
	start=$SECONDS
	suite "$s" 2>&1 | tee "$log/$s.log"
	rc=${PIPESTATUS[0]}
	read -r p f k < <(sed -nE 's/^([a-z]+: )?([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\2 \3 \5/p' \
		"$log/$s.log" | awk '{ p += $1; f += $2; k += $3 } END { print p + 0, f + 0, k + 0 }')
	if [ "$rc" != 0 ] && [ "$f" = 0 ]; then
		echo "$s: failed with status $rc"
		f=1
	fi
	echo "--- $s: $p passed, $f failed, $k skipped in $((SECONDS - start)) s"
	[ "$f" = 0 ] || bad="$bad $s"
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + k))
done
for s in $bad; do
	echo
	echo "=== $s: what failed"
	grep -nE '^[^ ]+\.[chS]:[0-9]+: |FAIL|[^0-9][1-9][0-9]* failed|\*\*\* |ERROR' \
		"$log/$s.log" | tail -40
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]

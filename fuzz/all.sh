#!/bin/bash
# all.sh - runs each fuzz target for some seconds and prints a table: inputs
# executed, points of coverage, size of the corpus, and whether it was clean.
#
#   fuzz/all.sh SECONDS TARGET...
set -u
cd "$(dirname "$0")/.." || exit 2
secs=$1
shift
out=build-fuzz
export ASAN_OPTIONS=detect_leaks=0
bad=0
: >$out/table
for t; do
	corpus=$out/corpus-$t seeds=$out/seeds-$t kept=fuzz/corpus/$t
	mkdir -p "$corpus" "$seeds"
	$out/seeds "$t" "$seeds"
	[ -d "$kept" ] || kept=
	$out/fuzz_"$t" -max_total_time="$secs" -print_final_stats=1 -timeout=20 -close_fd_mask=2 \
		-artifact_prefix="$out/$t-" "$corpus" "$seeds" $kept >"$out/$t.log" 2>&1
	rc=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$t.log")
	cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$out/$t.log" | tail -1)
	total=$(sed -n 's/.*(\([0-9]*\) inline 8-bit counters).*/\1/p;s/.*Loaded 1 modules *(\([0-9]*\) .*/\1/p' "$out/$t.log" | head -1)
	verdict=clean
	[ $rc = 0 ] || { verdict="status $rc, see $out/$t.log"; bad=1; }
	printf '| %s | %s | %s | %s of %s | %s | %s |\n' "$t" "$secs" "${runs:-?}" \
		"${cov:-?}" "${total:-?}" "$(find "$corpus" -type f | wc -l)" "$verdict" |
		tee -a $out/table
done
echo
echo "| target | seconds | inputs | coverage | corpus | |"
echo "| --- | --- | --- | --- | --- | --- |"
cat $out/table
exit $bad

#!/bin/bash
# replay.sh - runs fuzz targets on the seeds and on the inputs that are kept.
#
#   fuzz/replay.sh FOLDER TARGET...    with FOLDER/replay_TARGET built
set -u
cd "$(dirname "$0")/.." || exit 2
folder=$1
shift
bad=0
for t; do
	seeds=build-fuzz/seeds-$t
	mkdir -p "$seeds"
	build-fuzz/seeds "$t" "$seeds" || exit 1
	log=$folder/replay_$t.log
	echo "== $t"
	if ! timeout 120 "$folder/replay_$t" "$seeds" "fuzz/corpus/$t" 2>"$log"; then
		tail -3 "$log"
		echo "0 passed, 1 failed"
		bad=1
	fi
done
exit $bad

#!/bin/bash
# run.sh - builds kvm-unit-tests and runs each entry of x86/unittests.cfg under
# `ring3 run`; prints a table and compares it with test/kut/expect.tsv.
#
#   test/kut/run.sh CHECKOUT [GLOB...]
#
# CHECKOUT, a source tree of kvm-unit-tests, is copied and built for x86_64 and
# i386 in build/kut; it is not written to.  Only entries that match a GLOB are
# run.  KUT_TIMEOUT: seconds an entry may take (300); KUT_JOBS: how many run at
# once (2); KUT_OPTS: more options of ring3, such as "--exec careful".  Logs
# are kept in build/kut/log, the table in build/kut/results.tsv.
#
# Verdicts: pass, fail (also a FAIL line in an entry that says it passed),
# skip, abort (an unexpected exception), timeout, end (the guest reset or
# crashed), vmm-error (ring3 complained).
set -u
cd "$(dirname "$0")/../.." || exit 2
out=build/kut
# Not the flags of the make that runs this.
unset MAKEFLAGS MFLAGS MAKELEVEL KUT_RC
ring3=build/ring3
expect=test/kut/expect.tsv
one=

case ${1:-} in
--one) one=$2; shift 2 ;;
-h | --help | "") sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) tree=$(realpath "$1") || exit 2; shift ;;
esac

# What a build depends on, as one number.
sources_sum() {
	find "$tree" -name .git -prune -o -type f \
		\( -name '*.[chS]' -o -name '*.mak' -o -name 'Makefile*' -o \
		-name '*.lds' -o -name configure -o -name '*.cfg' \) \
		! -name config.mak -print0 | sort -z | xargs -0 cat | cksum
}

# Builds the tests for the architecture $1 in $out/$1.
build() {
	local dir=$out/$1 sum

	sum=$(sources_sum)
	[ "$(cat "$dir.sum" 2>/dev/null)" != "$sum" ] || return 0
	echo "building kvm-unit-tests for $1"
	rm -rf "$dir" && mkdir -p "$dir" && cp -r "$tree/." "$dir" || return 1
	(cd "$dir" && { make distclean || true; } && ./configure --arch="$1" &&
		make -j2) >"$dir.log" 2>&1 ||
		{ echo "building failed; see $dir.log" >&2; return 1; }
	echo "$sum" >"$dir.sum"
}

# The entries of unittests.cfg, one a line: fields separated by a vertical bar.
entries() {
	awk -v OFS='|' '
	function flush() {
		if (name != "")
			print name, f["file"], f["smp"] ? f["smp"] : 1,
			      f["arch"] ? f["arch"] : "x86_64",
			      f["test_args"], f["qemu_params"] f["extra_params"]
		delete f
	}
	/^[ \t]*(#|$)/ { next }
	/^\[.*\]/ { flush(); name = substr($0, 2, index($0, "]") - 2); next }
	{
		key = value = $0
		sub(/[ \t]*=.*/, "", key)
		sub(/^[^=]*=[ \t]*/, "", value)
		f[key] = value
	}
	END { flush() }' "$out/x86_64/x86/unittests.cfg"
}

# What a loader passes to the tests: lines of KEY=VALUE.
environment() {
	local v

	v=$(uname -r)
	echo "TARGET=qemu"
	echo "QEMU_ACCEL=kvm"
	echo "KERNEL_VERSION_STRING=$v"
	echo "KERNEL_VERSION=${v%%.*}"
	v=${v#*.}
	echo "KERNEL_PATCHLEVEL=${v%%.*}"
	echo "ERRATA_FORCE=y"
}

verdict() { # STATUS
	case $1 in
	1)
		if grep -avqE '^$|warning' "$log.err"; then echo vmm-error
		elif [ "$fail" != 0 ]; then echo fail
		else echo pass; fi
		;;
	77) echo skip ;;
	127) echo abort ;;
	124 | 137) echo timeout ;;
	8 | 10) echo end ;;
	*) if [ $(($1 % 2)) = 1 ]; then echo fail; else echo vmm-error; fi ;;
	esac
}

# Why an entry did not pass: the first line that says so.
reason() {
	local text

	text=$(grep -aE -m1 "$failed" "$log")
	[ -n "$text" ] || text=$(grep -aEi -m1 \
		'nhandled|assert|abort|^skip|not (supported|available|enabled)' \
		"$log")
	[ -n "$text" ] || text=$(grep -avE '^$|KVM does not offer' "$log.err" |
		head -1)
	[ -n "$text" ] || text=$(tail -1 "$log")
	echo "$text" | tr -d '\r' | tr '\t' ' ' | cut -c1-90
}

# Runs the entry's guest once; sets its verdict and the numbers of its lines.
run_guest() {
	local start rc

	start=$(date +%s%N)
	RING3=$ring3 RING3_OPTS=${KUT_OPTS:-} timeout -k 5 \
		"${KUT_TIMEOUT:-300}" test/kut/ring3-qemu -smp "$smp" \
		"${params[@]}" -append "$args" -initrd "$out/env" \
		-kernel "$out/$arch/x86/$file" </dev/null >"$log" 2>"$log.err"
	rc=$?
	secs=$((($(date +%s%N) - start) / 100000000))
	secs=$((secs / 10)).$((secs % 10))
	pass=$(grep -acE '^PASS' "$log")
	fail=$(grep -acE "$failed" "$log")
	skip=$(grep -acE '^SKIP' "$log")
	v=$(verdict $rc)
}

# Runs one entry, given as a line of entries(); writes its row to $log.row.
# Some need a CPU of the host within milliseconds and get a second chance.
run_one() {
	local name file smp arch args params secs pass fail skip note="" v
	local failed='^(FAIL|XPASS)|: FAIL'

	IFS='|' read -r name file smp arch args params <<<"$1"
	log=$out/log/$name
	eval "args=$args" # some are quoted, one has backquotes
	eval "params=($params)"
	run_guest
	if [ "$v" = fail ] && grep -q "^$name	pass		again:" $expect; then
		note="second run, the first: $(reason)"
		run_guest
	fi
	[ "$v" = pass ] || note=$(reason)
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$v" "$pass" "$fail" \
		"$skip" "$secs" "$note" >"$log.row"
	show <"$log.row"
}

show() {
	awk -F'\t' '{ printf "%-42s %-9s %6s %5s %5s %7s  %s\n",
		$1, $2, $3, $4, $5, $6, $7 }'
}

# Compares results.tsv with the expectations; prints what differs.
compare() {
	$ring3 run --accel ring3 --cpu help >"$out/cpu" 2>/dev/null
	awk -F'\t' -v all=$((${#globs[@]} == 0)) '
	function lacking(list,   a, n, i) {
		n = split(list, a, " ")
		for (i = 1; i <= n; i++)
			if (a[i] in offered && !offered[a[i]])
				return 1
		return 0
	}
	FILENAME == ARGV[1] { # a feature a line, marked + or -
		split($0, f, " ")
		for (i in f)
			if (f[i] ~ /^[+-]/)
				offered[substr(f[i], 2)] = f[i] ~ /^\+/
		next
	}
	FILENAME == ARGV[2] {
		if ($0 ~ /^(#|$)/)
			next
		want[$1] = $2
		needs[$1] = $3
		why[$1] = $4
		next
	}
	{
		seen[$1] = 1
		w = ($1 in want) ? want[$1] : "pass"
		if (w == "pass" && lacking(needs[$1]))
			w = "skip"
		if (w == "skip" && !lacking(needs[$1]) && needs[$1] != "-") {
			print $1 ": expected to skip, but " needs[$1] \
				" is offered; correct expect.tsv"
			bad++
		} else if ($2 == w) {
			if (w == "pass")
				good++
			else
				known++
			if (w != "pass" && w != "skip")
				print $1 ": known to " w ": " why[$1]
		} else if ($2 == "pass") {
			print $1 ": passes; take it out of expect.tsv (" w ")"
			bad++
		} else {
			print $1 ": " $2 " instead of " w ": " $7
			bad++
		}
	}
	END {
		for (n in want)
			if (all && !(n in seen)) {
				print n ": in expect.tsv, but not run"
				bad++
			}
		printf "%d passed, %d failed, %d skipped\n", good, bad, known
		exit bad > 0
	}' "$out/cpu" "$expect" "$out/results.tsv"
}

if [ -n "$one" ]; then
	run_one "$one"
	exit 0
fi

globs=("$@")
make -s || exit 1
build x86_64 && build i386 || exit 1
rm -rf $out/log && mkdir -p $out/log
environment >$out/env
entries | while IFS= read -r e; do
	[ ${#globs[@]} != 0 ] || { echo "$e"; continue; }
	for g in "${globs[@]}"; do
		# shellcheck disable=SC2254
		case ${e%%|*} in $g) echo "$e"; break ;; esac
	done
done >$out/entries
[ -s $out/entries ] || { echo "run.sh: no entry matches" >&2; exit 2; }
printf 'entry\tverdict\tPASS\tFAIL\tSKIP\tseconds\tnote\n' | show
tr '\n' '\0' <$out/entries | xargs -0 -P "${KUT_JOBS:-2}" -I{} "$0" --one {}
while IFS='|' read -r n _; do cat "$out/log/$n.row"; done <$out/entries \
	>$out/results.tsv
compare

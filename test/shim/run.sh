#!/bin/bash
# run.sh - the preload library: a client of its own under `ring3 exec` in both
# executors, programs that are no clients, and what is written.
set -u
cd "$(dirname "$0")/../.." || exit 2
ring3=build/ring3
client=build/test/shim/client
passed=0
failed=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

check() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf '%s: "%s", expected "%s"\n' "$1" "$2" "$3"
	fi
}

# The client counts its own checks.
for form in fast careful; do
	echo "== client, $form"
	timeout 150 $ring3 exec --exec $form -- $client || failed=$((failed + 1))
done

# Programs that do not use KVM notice nothing, and nothing is written.
check silent "$($ring3 exec --log "$tmp/log" --stats="$tmp/stats" -- \
	sh -c 'ls /dev/null; cat </dev/null; exit 7' 2>&1; echo $?)" "/dev/null
7"
check "no log" "$(ls "$tmp")" ""
$ring3 exec --log "$tmp/log" --stats="$tmp/stats" -- $client >/dev/null 2>&1
check log "$(grep -c 'RUN 0 = 0 IO out 0x10 ' "$tmp/log")" 1
check stats "$(awk '$1 == "RUN" && $2 > 3' "$tmp/stats" | wc -l)" 1

# It depends on the C library alone, and shows none of the engine.
check needs "$(readelf -d build/libring3-kvm.so | grep -c NEEDED)" 1
check hidden "$(nm -D --defined-only build/libring3-kvm.so |
	grep -cE ' (ring3|r3|engine|vcpu|dbt|real)_?')" 0
# The engine's way to system calls leaves the guest's vector registers alone.
check vectors "$(objdump -d build/shim/real.c.o | grep -cE '%[xy]mm')" 0
echo "$passed passed, $failed failed"
[ $failed = 0 ]

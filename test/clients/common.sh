# common.sh - sourced by the scripts of this folder: programs that were written
# for /dev/kvm, run on ring3 by `ring3 exec`.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
out=build/clients
ring3=${RING3:-build/ring3}
passed=0
failed=0
skipped=0
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

# skip NAME REASON
skip() {
	skipped=$((skipped + 1))
	echo "SKIP $1: $2"
}

# wanted NAME - whether the patterns on the command line choose a case.
patterns=("$@")
wanted() {
	local p

	[ ${#patterns[@]} -gt 0 ] || return 0
	for p in "${patterns[@]}"; do
		# shellcheck disable=SC2053
		[[ $1 != $p ]] || return 0
	done
	return 1
}

# client LOG SECONDS CLIENT ARG... - runs a client on ring3 with a time limit;
# its output goes to LOG.  Returns its status, 124 for a hang.
client() {
	local log=$1 limit=$2

	shift 2
	timeout -k 5 "$limit" "$ring3" exec -- "$@" </dev/null >"$log" 2>&1
}

# clean_log LOG - whether the guest's kernel had nothing to complain about.
clean_log() {
	! grep -aE 'Kernel panic|BUG:|Oops|WARNING:|rcu_.*stall|soft lockup|hung task|clocksource.*unstable|did not respond' "$1"
}

# initrd NAME [MODULE...] - an initramfs that loads the modules of Debian's amd64
# kernel, in this order, and runs the commands on stdin; prints its path.
initrd() {
	local name=$1 dir=build/guest/kernel-amd64 m deb files=()

	shift
	{
		for m; do echo "insmod /bin/$m.ko || echo insmod $m failed"; done
		cat
	} >"$out/$name.init"
	if [ $# -gt 0 ]; then
		scripts/fetch-kernel.sh amd64 >/dev/null || return 1
		deb=("$dir"/linux-image-*.deb)
		[ -d $dir/lib/modules ] ||
			dpkg-deb --fsys-tarfile "${deb[0]}" |
			tar -x -C $dir ./lib/modules || return 1
		for m; do
			files+=("$(find $dir/lib/modules -name "$m.ko")")
		done
	fi
	scripts/mkinitramfs.sh "$out/$name.init" "$out/$name.cpio.gz" \
		"${files[@]}"
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}

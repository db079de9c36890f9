#!/bin/sh
# run.sh [RING3] - what `ring3` says about bad input, with which exit status,
# and how runs of tiny guests end.  Each case names the status and a piece of
# the message.  The guests run on each accelerator in ACCEL, by default ring3,
# and kvm where there is a /dev/kvm.
set -u
here=$(dirname "$(realpath "$0")")
ring3=$(realpath "${1:-$here/../../build/ring3}")
refuse=${ring3%/*}/test/cli/refuse
accel=ring3
accels=${ACCEL:-ring3}
if [ -z "${ACCEL:-}" ] && [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	accels="ring3 kvm"
fi
[ -x "$ring3" ] || { echo "no program $ring3"; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

# expect STATUS TEXT ARG... - run ring3 ARG...; TEXT is in its output.
expect() {
	want=$1 text=$2
	shift 2
	timeout 60 "$ring3" "$@" >"$tmp/out" 2>&1 </dev/null
	got=$?
	if [ $got = "$want" ] && { [ -z "$text" ] ||
		grep -qF -- "$text" "$tmp/out"; }; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "ring3 $*: status $got, expected $want with \"$text\":"
		sed 's/^/    /' "$tmp/out"
	fi
}

# guest STATUS TEXT BYTES [ARG...] - a real-mode image given in octal.
guest() {
	want=$1 text=$2 bytes=$3
	shift 3
	# shellcheck disable=SC2059
	printf "$bytes" >"$tmp/guest.bin"
	expect "$want" "$text" run --accel "$accel" --mem 4M "$@" \
		"$tmp/guest.bin"
}

: >"$tmp/empty"
echo "just some text" >"$tmp/text"
printf '\177ELF' >"$tmp/elf"
{ printf '\177ELF\002\001\001' && head -c 11 /dev/zero &&
	printf '\267' && head -c 200 /dev/zero; } >"$tmp/arm"
printf '\037\213\010' >"$tmp/gz"
head -c 600000 /dev/zero >"$tmp/big.bin"
head -c 100 /dev/zero >"$tmp/ok.bin"
mkfifo "$tmp/fifo"
# An ELF header of x86-64 without an interpreter; a copy with another owner's bit.
{ printf '\177ELF\002\001\001' && head -c 9 /dev/zero &&
	printf '\002\000\076\000' && head -c 100 /dev/zero; } >"$tmp/static"
chmod 755 "$tmp/static" "$tmp/arm"
cp /bin/true "$tmp/setuid"
if [ "$(id -u)" = 0 ]; then chown 1 "$tmp/setuid"; fi
chmod 6755 "$tmp/setuid"
[ -u "$tmp/setuid" ] && [ "$(id -u)" = 0 ] || rm "$tmp/setuid"

# Usage.
expect 2 "usage: ring3"
expect 0 "usage: ring3" --help
expect 0 "ring3 0" --version
expect 2 'unknown command "fly"' fly
expect 0 "exit status:" run --help
expect 0 "exit status:" exec --help
expect 2 "no client given" exec
expect 2 "unknown option" exec --fly true
expect 2 "must be fast or careful" exec --exec slow true
expect 2 "must be on, off or auto" exec --cpuid 1 true
expect 2 '--direct "on": must be auto, off or always' exec --direct on true
expect 2 '--direct ""' exec --direct= true
expect 125 "No such file" exec --library /none true
expect 127 "no such program" exec no-such-client
expect 126 "not an executable file" exec "$tmp/text"
expect 126 "statically linked" exec "$tmp/static"
[ ! -e "$tmp/setuid" ] || expect 126 "setuid" exec "$tmp/setuid"
expect 126 "no 64-bit x86-64 program" exec "$tmp/arm"
expect 3 "" exec -- sh -c 'exit 3'
expect 0 "exit status:" doctor --help
expect 2 "no arguments" doctor all
expect 0 "guests can run here" doctor
expect 0 " direct " doctor
expect 0 "ring3 0" run --version
expect 2 "no kernel given" run
expect 2 "no kernel given" run --mem 1G
expect 2 "--frobnicate" run --frobnicate "$tmp/ok.bin"
expect 2 "-z" run -z "$tmp/ok.bin"
expect 2 "--mem" run "$tmp/ok.bin" --mem
expect 2 "--mem" run --mem
expect 2 '--mem "0"' run --mem 0 "$tmp/ok.bin"
expect 2 '--mem "0G"' run --mem 0G "$tmp/ok.bin"
expect 2 '--mem "lots"' run --mem lots "$tmp/ok.bin"
expect 2 '--mem "-1G"' run --mem -1G "$tmp/ok.bin"
expect 2 '--mem "99999999T"' run --mem 99999999T "$tmp/ok.bin"
expect 2 '--mem "2048G"' run --mem 2048G "$tmp/ok.bin"
expect 2 '--mem "4k"' run --mem 4k "$tmp/ok.bin"
expect 2 '--cpus "0"' run --cpus 0 "$tmp/ok.bin"
expect 2 '--cpus "255"' run --cpus 255 "$tmp/ok.bin"
expect 2 '--cpus "many"' run --cpus many "$tmp/ok.bin"
expect 2 '--cpu: unknown model "486"' run --cpu 486 "$tmp/ok.bin"
expect 0 "+x2apic" run --accel ring3 --cpu help
expect 2 '--accel "tcg"' run --accel tcg "$tmp/ok.bin"
expect 2 '--boot "grub"' run --boot grub "$tmp/ok.bin"
expect 2 '--direct "on": must be auto, off or always' run --direct on \
	"$tmp/ok.bin"
expect 2 '--stats "xml"' run --stats=xml "$tmp/ok.bin"
expect 2 '--raw-addr "0xa0000"' run --raw-addr 0xa0000 "$tmp/ok.bin"
expect 2 "command line" run --append "$(head -c 9000 /dev/zero | tr '\0' a)" \
	"$tmp/ok.bin"

# User code that runs natively, and hosts that refuse something it needs.
# refused STATUS TEXT CALL ERRNO ARG... - see refuse.c.
refused() {
	status=$1 words=$2 call=$3 errno=$4 program=$ring3
	shift 4
	ring3=$refuse
	expect "$status" "$words" "$call" "$errno" "$program" "$@"
	ring3=$program
}
printf '\260\020\346\364\364' >"$tmp/quits.bin" # mov al,0x10; out 0xf4,al
quits="run --accel ring3 --mem 4M $tmp/quits.bin"
for mode in auto off; do
	# shellcheck disable=SC2086
	expect 33 "" $quits --direct=$mode
	expect 0 "RING3_DIRECT=$mode" exec --direct=$mode env
done
if [ -x "$refuse" ] && RING3_DIRECT='' "$ring3" doctor | grep -q '^ok *direct '
then
	# shellcheck disable=SC2086
	set -- $quits --direct=always
	expect 33 "" "$@"
	expect 0 "RING3_DIRECT=always" exec --direct always env
	refused 0 "ptrace: Operation not permitted: a container" ptrace 1 doctor
	refused 0 "close_range: Function not implem" close_range 38 doctor
	refused 0 "memory file: Permission denied: " execveat 13 doctor
	refused 0 "personality: Operation not permitted: " personality 1 doctor
	refused 0 "seccomp: Invalid argument: " seccomp 22 doctor
	refused 0 "the parent process does not have" own 0 doctor
	refused 0 "everything works, but slower" ptrace 1 doctor
	refused 0 "guests can run here" ptrace 1 doctor
	refused 6 "--direct always: not on this host: ptrace" ptrace 1 "$@"
	refused 33 "" ptrace 1 "$@" --direct auto
	refused 33 "" ptrace 1 "$@" --exec careful
	refused 125 "--direct always: not" ptrace 1 exec --direct always env
	refused 0 "RING3_DIRECT=auto" ptrace 1 exec --direct auto env
	export RING3_DIRECT=always
	expect 0 'RING3_DIRECT in the environment says "always"' doctor
	# shellcheck disable=SC2086
	refused 6 "--direct always: not on this host: ptrace" ptrace 1 $quits
	# shellcheck disable=SC2086
	expect 33 "" $quits --direct=off
	unset RING3_DIRECT
fi
export RING3_DIRECT=on
# shellcheck disable=SC2086
expect 2 'RING3_DIRECT "on": must be' $quits
expect 2 'RING3_DIRECT "on": must be' exec true
# shellcheck disable=SC2086
expect 33 "" $quits --direct=auto
unset RING3_DIRECT

# Files.
expect 4 "$tmp/none" run "$tmp/none"
expect 4 "No such file" run -- "$tmp/none"
expect 4 "is empty" run "$tmp/empty"
expect 4 "not a regular file" run "$tmp"
expect 4 "not a regular file" run "$tmp/fifo"
expect 4 "is no bzImage" run --accel "$accel" "$tmp/text"
expect 4 "truncated" run --accel "$accel" "$tmp/elf"
expect 4 "not a kernel" run --accel "$accel" /bin/sh
expect 4 "gzip" run --accel "$accel" "$tmp/gz"
expect 4 "machine 183" run --accel "$accel" "$tmp/arm"
expect 4 "600000 bytes" run --accel "$accel" "$tmp/big.bin"
expect 4 "takes no initrd" run --accel "$accel" --initrd "$tmp/text" \
	"$tmp/ok.bin"
expect 4 "no PVH" run --accel "$accel" --boot pvh "$tmp/text"
expect 4 "neither a bzImage" run --accel "$accel" --boot linux64 "$tmp/text"
expect 4 "multiboot header" run --accel "$accel" --boot multiboot "$tmp/text"
if [ "$(id -u)" != 0 ]; then
	cp "$tmp/text" "$tmp/secret"
	chmod 0 "$tmp/secret"
	expect 4 "Permission denied" run "$tmp/secret"
fi

# Firmware.
expect 2 "takes no kernel" run --firmware "$tmp/fw" "$tmp/ok.bin"
expect 2 "takes no kernel" run --firmware "$tmp/fw" -k "$tmp/ok.bin"
expect 4 'cannot open firmware' run --accel "$accel" --firmware "$tmp/none"
expect 4 "600000 bytes" run --accel "$accel" --firmware "$tmp/big.bin"
expect 4 "is empty" run --accel "$accel" --firmware "$tmp/empty"
head -c 65536 /dev/zero >"$tmp/fw"
expect 6 "cannot write --firmware-log" run --accel "$accel" --firmware \
	"$tmp/fw" --firmware-log "$tmp/none/log"
expect 4 "cannot write --firmware-vars" run --accel "$accel" --firmware \
	"$tmp/fw" --firmware-vars "$tmp/none"
expect 4 "multiple of 4 KiB" run --accel "$accel" --firmware "$tmp/fw" \
	--firmware-vars "$tmp/text"

# Disks.
# disk STATUS TEXT DISK - the disk is looked at before the kernel.
disk() { expect "$1" "$2" run --accel "$accel" --disk "$3" "$tmp/ok.bin"; }
head -c 1048576 /dev/zero >"$tmp/disk"
disk 2 '--disk "fast"' "$tmp/disk,fast"
disk 2 '--disk ",ro"' ",ro"
disk 2 '--disk "if=scsi"' "$tmp/disk,ro,if=scsi"
disk 4 'cannot open disk' "$tmp/none"
disk 4 'is empty' "$tmp/empty"
disk 4 'has 15 bytes, which is no multiple of 512' "$tmp/text"
disk 4 'neither a regular file nor a block device' "$tmp/fifo,ro"
disk 4 'neither a regular file nor a block device' /dev/null
disk 4 'disk "'"$tmp"'"' "$tmp"
printf 'QFI\373' | dd of="$tmp/qcow" conv=sync status=none
disk 4 'is a qcow2 image' "$tmp/qcow"
if command -v flock >/dev/null; then
	lock=$(command -v flock)
	"$lock" "$tmp/disk" sleep 2 &
	sleep 0.5
	disk 4 'is in use' "$tmp/disk"
	wait
fi
if [ "$(id -u)" != 0 ]; then
	chmod 444 "$tmp/disk"
	disk 4 'add ",ro"' "$tmp/disk"
fi
set --
for i in 1 2 3 4 5 6 7 8 9; do set -- "$@" --disk "$tmp/disk,ro"; done
expect 2 "8 disks at most" run "$@" "$tmp/ok.bin"

# How a guest ends, on accelerator $accel.
endings() {
	# Endings. mov al,'A'; mov dx,0x3f8; out dx,al; then:
	hello='\260\101\272\370\003\356'
	guest 0 "A" "$hello"'\270\000\040\272\004\006\357\364'	# S5: 0x604 <- 0x2000
	guest 8 "A" "$hello"'\260\376\346\144\364'		# i8042: 0x64 <- 0xfe
	guest 8 "A" "$hello"'\260\006\272\371\014\356\364'	# 0xcf9 <- 6
	guest 8 "A" "$hello"'\260\003\346\222\364'		# 0x92 <- 3
	guest 33 "A" "$hello"'\260\020\346\364\364'		# 0xf4 <- 0x10
	guest 1 "A" "$hello"'\260\000\346\364\364'		# 0xf4 <- 0
	# lidt of an empty table; set CR0.PE; ud2.
	crash='\017\001\036\060\174\017\040\300\014\001\017\042\300\017\013'
	zeros='\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
	crash="$crash$zeros$zeros$zeros$zeros"
	guest 10 "triple fault" "$crash"
	guest 10 "16-bit protected mode" "$crash"
	guest 10 "IO write 0x3f8, 1 byte: 0x41" "$hello$crash"
	guest 33 '"ended":"debug-exit"' '\260\020\346\364\364' --stats=json
	guest 33 "exits to user mode" '\260\020\346\364\364' --stats
	# Elsewhere: 0xf4 <- CS's low byte, loaded at 0x20000.
	guest 1 "" '\214\310\346\364\364' --raw-addr 0x20000
	# jmp 0xa000:0, where there is no memory.
	guest 12 "cannot emulate" '\352\000\000\000\240'
	guest 12 "is not RAM" '\352\000\000\000\240'
	# jmp 0xffff:0, the reset vector.
	guest 8 "" '\352\000\000\377\377'

	# A guest that never ends: a signal does it, and is told apart.
	printf '\353\376' >"$tmp/loop.bin"
	timeout --preserve-status -s TERM 1 \
		"$ring3" run --accel "$accel" "$tmp/loop.bin" </dev/null >/dev/null 2>&1
	if [ $? = 16 ]; then passed=$((passed + 1)); else
		failed=$((failed + 1)); echo "SIGTERM on $accel: status is not 16"; fi

	# Ctrl-A x on a terminal, where there is a tool that makes one.
	if command -v script >/dev/null; then
		(sleep 1; printf '\001x') | timeout 30 script -qec \
			"$ring3 run --accel $accel $tmp/loop.bin" /dev/null >/dev/null 2>&1
		if [ $? = 14 ]; then passed=$((passed + 1)); else
			failed=$((failed + 1)); echo "Ctrl-A x on $accel: status is not 14"; fi
	fi
}
for accel in $accels; do
	endings
done
expect 4 "is no bzImage" run --accel auto "$tmp/text"
expect 2 '--exec "slow"' run --exec slow "$tmp/ok.bin"
if [ "$accels" != "${accels#*ring3}" ]; then
	printf '\260\020\346\364\364' >"$tmp/guest.bin"
	expect 33 "" run --accel ring3 --exec careful "$tmp/guest.bin"
	# mov ecx, 0x400000; 1: a32 loop 1b; out 0xf4, 0x10: all in careful form.
	accel=ring3
	spin='\146\271\000\000\100\000\147\342\375\260\020\346\364\364'
	guest 33 "engine: careful" "$spin" --profile
	guest 33 "" "$spin" --profile="$tmp/profile"
	if grep -q '^  CPU 0  ' "$tmp/profile" &&
		grep -q '^  careful_step ' "$tmp/profile"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1)); echo "--profile=FILE:"; cat "$tmp/profile"
	fi
	guest 4 "no symbols" "$spin" --profile --profile-symbols "$tmp/text"
	guest 4 "No such file" "$spin" --profile --profile-symbols "$tmp/none"
	guest 4 "cannot write" "$spin" --profile="$tmp/none/profile"
fi
if [ "$accels" != "${accels#*kvm}" ]; then
	expect 6 "needs --accel ring3" run --accel kvm --exec careful \
		"$tmp/ok.bin"
	expect 6 "needs --accel ring3" run --accel kvm --direct always \
		"$tmp/ok.bin"
fi

# --help and docs/exit-status.md agree.
"$ring3" run --help | sed -n 's/^ *\([0-9][0-9]*\)  \(.*\)/\1 \2/p' >"$tmp/help"
sed -n 's/^| \([0-9]*\) | [a-z-]* | \(.*\) |$/\1 \2/p' \
	"$here/../../docs/exit-status.md" >"$tmp/docs"
if cmp -s "$tmp/help" "$tmp/docs"; then passed=$((passed + 1)); else
	failed=$((failed + 1)); echo "--help and docs/exit-status.md differ"
	diff "$tmp/help" "$tmp/docs"; fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/bash
# compile.sh - this machine's C compiler, assembler and linker make a program of
# SOURCE_LINES (3000, about) lines in the guest, which then runs there.  What they make
# has the same checksums as here, and so does what the program computes.  A
# compiler meets nearly every way in which code can be translated wrongly.
set -u
. "$(dirname "$0")/boot.sh"
kernel=$(scripts/fetch-kernel.sh) || exit 1
dir=$out/compile
mkdir -p $dir
cc1=$(gcc -print-prog-name=cc1)
as=$(gcc -print-prog-name=as)
ld=$(gcc -print-prog-name=ld)
for tool in "$cc1" "$(command -v "$as")" "$(command -v "$ld")"; do
	[ -x "$tool" ] || { echo "compile.sh: no compiler to run" >&2; exit 1; }
done
awk -v functions=$((${SOURCE_LINES:-3000} / 40)) -f test/boot/program.awk >$dir/program.c ||
	exit 1

# What both sides do; its output is compared.
cat >$dir/commands <<'END'
for opt in -O2 -O1; do
	cc1 -quiet $opt -ffreestanding -fno-stack-protector program.c -o program.s &&
		as program.s -o program.o && ld program.o -o program || exit 1
	echo "ring3-compile: $opt $(md5sum <program.s | cut -c 1-32) $(md5sum <program.o | cut -c 1-32) $(./program)"
done
END
cat >$dir/init <<'END'
cp /bin/program.c . && sh /bin/commands
echo "ring3-compile: done $?"
poweroff -f
END
mkdir -p $dir/bin $dir/native
ln -sf "$cc1" "$(command -v "$as")" "$(command -v "$ld")" $dir/bin
want=$(cp $dir/program.c $dir/native && cd $dir/native &&
	PATH=$PWD/../bin:$PATH sh ../commands) || exit 1
initrd=$(scripts/mkinitramfs.sh $dir/init $dir/initrd.gz $dir/bin/cc1 $dir/bin/as \
	$dir/bin/ld $dir/program.c $dir/commands) || exit 1

log=$dir/log
boot "$log" 1800 --kernel "$kernel" --initrd "$initrd" --mem 1G \
	--append "console=ttyS0 quiet panic=-1"
status=$?
got=$(tr -d '\r' <"$log" | grep -a '^ring3-compile: -O')
ok=0
if [ $status = 0 ] && [ "$got" = "$want" ] && clean_log "$log"; then
	ok=1
fi
result compile $ok "($(wc -l <$dir/program.c) lines, $(cpu_time "$log"); $log)"
if [ $ok != 1 ]; then
	echo "status $status; natively:"
	echo "$want"
	tail -n 8 "$log" "$log.err"
fi
finish

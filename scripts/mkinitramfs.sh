#!/bin/sh
# mkinitramfs.sh [-a ARCH] COMMANDS OUT [FILE...] - an initramfs of busybox and
# an init that mounts /proc, /sys and /dev, runs the shell script COMMANDS ("-":
# an interactive shell), and powers off.  FILEs are put into /bin; the libraries
# of those that are dynamically linked here go where they are here.  Prints OUT.
# The kernel parameter ring3.shell=1 gives a shell in any case.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
arch=amd64
if [ "${1:-}" = -a ]; then
	arch=$2
	shift 2
fi
[ $# -ge 2 ] || {
	echo "usage: mkinitramfs.sh [-a ARCH] COMMANDS OUT [FILE...]" >&2
	exit 2
}
commands=$1
out=$2
shift 2

bbdir=build/guest/busybox-$arch
busybox=$top/$bbdir/bin/busybox
[ -x "$busybox" ] ||
	"$top/scripts/fetch-deb.sh" "busybox-static:$arch" "$bbdir" ./bin

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" \
	"$root/root"
cp "$busybox" "$root/bin/busybox"
[ "$commands" = - ] || cp "$commands" "$root/commands"
for file; do
	cp "$file" "$root/bin/"
	for lib in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p "$root${lib%/*}"
		cp -L "$lib" "$root$lib"
	done
done

cat >"$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=${TERM:-vt100}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
cd /root
if [ -f /commands ] && ! grep -q ring3.shell=1 /proc/cmdline; then
	sh /commands
else
	setsid cttyhack sh
fi
poweroff -f
EOF
chmod 755 "$root/init" "$root/bin/busybox"

# The one tool that is surely there to write the archive is busybox itself.
(cd "$root" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc 2>/dev/null) |
	gzip -n -1 >"$out"
echo "$out"

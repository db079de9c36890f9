#!/bin/sh
# deps.sh - installs the Debian packages that a purpose needs.
#   scripts/deps.sh [-n] build|test|boot|firmware|oracle|qemu|clang|clients|stress|lint...
# Does nothing if they are there; installs through apt-get as root or with
# sudo; otherwise says what to install and fails.  -n only checks.
set -u

check_only=
if [ "${1:-}" = -n ]; then
	check_only=1
	shift
fi
want=
for purpose; do
	case $purpose in
	build) want="$want gcc make binutils libc6-dev" ;;
	test) want="$want gcc make binutils libc6-dev gcc-multilib libzydis-dev" ;;
	boot) want="$want busybox-static cpio gzip" ;;
	firmware) want="$want seabios grub-common grub-pc-bin e2fsprogs
		ovmf grub-efi-amd64-bin dosfstools mtools" ;;
	oracle) want="$want qemu-system-x86" ;;
	qemu) want="$want qemu-system-x86" ;;
	clang) want="$want clang" ;;
	clients) want="$want qemu-system-x86 qemu-utils ovmf grub-pc-bin
		grub-common mtools guestfish libguestfs-tools linux-image-amd64" ;;
	stress) want="$want stress-ng" ;;
	lint) want="$want git gawk cppcheck clang-format-14 gcc" ;;
	*) echo "deps.sh: unknown purpose $purpose" >&2; exit 2 ;;
	esac
done
want=$(printf '%s\n' $want | sort -u)

missing=
for p in $want; do
	case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in
	"install ok installed") ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

say() {
	echo "These Debian packages are missing:$missing" >&2
	echo "Install them:  apt-get install --no-install-recommends$missing" >&2
	exit 1
}
[ -z "$check_only" ] || say
command -v apt-get >/dev/null || say
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	say
fi
echo "installing:$missing" >&2
install="$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q
	--no-install-recommends $missing"
# The package lists may be missing or old: update them once if need be.
$install >/dev/null 2>&1 ||
	{ $sudo apt-get update -q >/dev/null && $install >/dev/null; } || say

#!/bin/sh
# fetch-deb.sh PACKAGE[:ARCH] DIR [PATH...] - downloads a Debian package with
# apt and unpacks it, or only the given paths of it, into DIR.  Needs no root:
# if apt's own lists do not know the package, they are fetched for the architecture
# into build/guest/apt.  A package that only depends on others ("linux-image-amd64")
# is replaced by the first linux-image it depends on.
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "fetch-deb.sh: $*" >&2
	exit 1
}
[ $# -ge 2 ] || fail "usage: fetch-deb.sh PACKAGE[:ARCH] DIR [PATH...]"
package=${1%%:*}
case $1 in
*:*) arch=${1#*:} ;;
*) arch=$(dpkg --print-architecture) || fail "this needs Debian's dpkg and apt" ;;
esac
dir=$2
shift 2
command -v apt-get >/dev/null || fail "this needs Debian's apt-get"

private=$PWD/build/guest/apt/$arch
system_apt() {
	tool=$1
	shift
	"$tool" -q -o APT::Sandbox::User=root "$@"
}
private_apt() {
	tool=$1
	shift
	"$tool" -q -o APT::Sandbox::User=root -o APT::Architecture="$arch" \
		-o APT::Architectures::="$arch" -o Dir::State="$private/state" \
		-o Dir::State::status="$private/status" \
		-o Dir::Cache="$private/cache" -o Dir::Log="$private" "$@"
}
known() { "$1" apt-cache show "$package:$arch" >/dev/null 2>&1; }

apt=system_apt
if ! known $apt; then
	apt=private_apt
	mkdir -p "$private/state/lists/partial" "$private/cache/archives/partial"
	: >>"$private/status"
	# An update may fail for one list and yet bring the one that matters.
	known $apt || private_apt apt-get update >"$private/update.log" 2>&1 ||
		:
	known $apt || {
		grep -E '^(E|W|Err)' "$private/update.log" | head -n 5 >&2
		fail "apt finds no package $package:$arch; is the network up," \
			"and is the name right?"
	}
fi

# linux-image-amd64 depends on linux-image-6.1.0-...-amd64.
real=$($apt apt-cache show "$package:$arch" |
	sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*\).*/\1/p' | head -n 1)
case $package in linux-image-*) package=${real:-$package} ;; esac

mkdir -p "$dir"
here=$PWD
if ! ls "$dir/$package"_*.deb >/dev/null 2>&1; then
	echo "downloading $package:$arch" >&2
	(cd "$dir" && $apt apt-get download "$package:$arch" >apt.log 2>&1) || {
		tail -n 5 "$dir/apt.log" >&2
		fail "cannot download $package:$arch"
	}
fi
cd "$dir"
for deb in "$package"_*.deb; do :; done
dpkg-deb --fsys-tarfile "$deb" | tar -x "$@" ||
	fail "cannot unpack $here/$dir/$deb"

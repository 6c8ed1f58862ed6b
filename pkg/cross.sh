#!/bin/sh
# cross.sh: builds the package of SOURCE for another architecture, in a Debian 12 of its own: libraries of two architectures
# side by side are not everybody's machine's business. Called by deb.sh, as root; the packages come to stand beside SOURCE.
#
#   pkg/cross.sh ARCH SOURCE
#
# STEAD_CROSS=DIR   where that Debian is kept (XDG_CACHE_HOME/stead-cross, ~/.cache/stead-cross); made on first use
set -eu

arch=$1 source=$2
root=${STEAD_CROSS:-${XDG_CACHE_HOME:-$HOME/.cache}/stead-cross}/bookworm-$arch
[ "$(id -u)" = 0 ] || { echo "cross.sh: a build for $arch needs root, to make the Debian that it is done in" >&2; exit 1; }

# Mirror and proxy are those of this machine's apt.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
	sed -n 's/^URIs: *//p; s/^deb .*\(https*:[^ ]*\).*/\1/p' | tr ' ' '\n' | grep '/debian/*$' | head -n 1)
proxy=$(apt-config dump --format=%v Acquire::http::Proxy)
[ -z "$proxy" ] || export http_proxy="$proxy"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# One build at a time has it.
mkdir -p "${root%/*}"
exec 9>"$root.lock"
flock 9
if [ ! -d "$root" ]; then
	[ ! -e "$root.new" ] || rm -rf --one-file-system "$root.new"
	debootstrap --variant=minbase bookworm "$root.new" "${mirror:-http://deb.debian.org/debian}"
	chroot "$root.new" dpkg --add-architecture "$arch"
	chroot "$root.new" apt-get -qq update
	chroot "$root.new" apt-get -qq install -y --no-install-recommends dpkg-dev "crossbuild-essential-$arch"
	mv "$root.new" "$root"
fi
rm -rf "$root/build"
mkdir "$root/build"
cp -a "$source" "$root/build/source"
# Its lists of packages are as old as it is, which is noticed when something new is needed.
chroot "$root" sh -ec 'cd /build/source
	needs() { apt-get -qq build-dep -y --no-install-recommends -a "$1" -P cross ./; }
	needs "$1" || { apt-get -qq update; needs "$1"; }
	dpkg-buildpackage -b -us -uc "-a$1" -Pcross' sh "$arch"
cp "$root"/build/stead_*"_$arch.deb" "${source%/*}/"

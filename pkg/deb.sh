#!/bin/sh
# deb.sh: builds stead_VERSION_ARCH.deb from the files that git knows, as they are in the work tree. Called by `make deb`.
#
#   pkg/deb.sh [ARCH]        the machine's own when left out; another one is cross-built
#
# SUFFIX=+1       becomes part of the version, so that packages of one release can be told apart and stand side by side
# DEB_WORK=DIR    where it is built (build-deb); the same sources give the same bytes wherever that is
#
# Every time in the package is the last commit's. Prints the package's path.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
arch=${1:-$(dpkg --print-architecture)}
suffix=${SUFFIX:-}
work=$(mkdir -p "${DEB_WORK:-$top/build-deb}" && cd "${DEB_WORK:-$top/build-deb}" && pwd)
version=$(sed -n "s/^project('stead'.* version: '\([^']*\)'.*/\1/p" "$top/meson.build")$suffix
SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct)
export SOURCE_DATE_EPOCH STEAD_VERSION="$version" STEAD_SUFFIX="$suffix"
export DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)${DEB_BUILD_OPTIONS:+ $DEB_BUILD_OPTIONS}" LC_ALL=C.UTF-8

source="$work/source-$arch"
rm -rf "$source"
mkdir -p "$source"
cd "$top"
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh |
	tar --null --no-recursion -T - -cf - | tar -xf - -C "$source"
cp -r "$source/pkg/debian" "$source/debian"
rm "$source"/debian/*.in
cat >"$source/debian/changelog" <<END
stead ($version) stable; urgency=medium

  * See changelog.gz for what changed.

 -- The stead developers <stead@example.com>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
umask 022
log="$work/build-$arch.log"
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
	build() { (cd "$source" && dpkg-buildpackage -b -us -uc -d); }
else
	build() { "$top/pkg/cross.sh" "$arch" "$source"; }
fi
build >"$log" 2>&1 || {
	tail -n 40 "$log" >&2
	echo "deb.sh: the package was not built; all of it is in $log" >&2
	exit 1
}
echo "$work/stead_${version}_$arch.deb"

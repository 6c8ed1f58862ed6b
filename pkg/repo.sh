#!/bin/sh
# repo.sh: a signed apt repository of the packages in build-deb/, for a folder that any web server can serve. Called by
# `make repo`.
#
# DEB_WORK=DIR     where the packages lie (build-deb)
# REPO=DIR         where the repository is made (build-deb/repo)
# STEAD_KEYS=DIR   GnuPG's folder of the key it is signed with, made on first use. It stays outside of the sources: who
#                  loses it cannot sign for those who trust it (~/.config/stead/repo-key)
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
work=${DEB_WORK:-$top/build-deb}
repo=${REPO:-$work/repo}
keys=${STEAD_KEYS:-${XDG_CONFIG_HOME:-$HOME/.config}/stead/repo-key}
name="stead package repository"

set -- "$work"/stead_*.deb
[ -e "$1" ] || { echo "repo.sh: there is no package in $work: \`make deb\` makes it" >&2; exit 1; }

umask 077
mkdir -p "$keys"
gpg() { command gpg --homedir "$keys" --batch --quiet --no-tty "$@"; }
if ! gpg --list-secret-keys "$name" >/dev/null 2>&1; then
	gpg --passphrase '' --quick-generate-key "$name" ed25519 sign never
	echo "repo.sh: made the key that the repository is signed with, in $keys: keep a copy of it"
fi

umask 022
rm -rf "$repo.new"
mkdir -p "$repo.new/pool"
cp -p "$work"/stead_*.deb "$repo.new/pool/"
cd "$repo.new"
arches=$(for f in pool/*.deb; do dpkg-deb -f "$f" Architecture; done | sort -u | tr '\n' ' ')
for arch in $arches; do
	mkdir -p "dists/stable/main/binary-$arch"
	apt-ftparchive --arch "$arch" packages pool >"dists/stable/main/binary-$arch/Packages"
	gzip -9nk "dists/stable/main/binary-$arch/Packages"
done
date=$(date -u -R -d "@$(git -C "$top" log -1 --format=%ct)")
apt-ftparchive -o APT::FTPArchive::Release::Origin=stead -o APT::FTPArchive::Release::Label=stead \
	-o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
	-o APT::FTPArchive::Release::Components=main -o "APT::FTPArchive::Release::Architectures=${arches% }" \
	-o "APT::FTPArchive::Release::Date=$date" release dists/stable >Release
mv Release dists/stable/Release
gpg --local-user "$name" --clearsign -o dists/stable/InRelease dists/stable/Release
gpg --local-user "$name" --armor --detach-sign -o dists/stable/Release.gpg dists/stable/Release
gpg --export "$name" >stead.gpg
rm -rf "$repo"
mv "$repo.new" "$repo"
echo "$repo"

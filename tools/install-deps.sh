#!/bin/sh
# install-deps.sh: installs what is missing from the distribution's packages (Debian 12, Ubuntu 24.04
# and newer). Called by the Makefile; can be called by hand:
#
#   tools/install-deps.sh [--yes] [build] [run] [test] [format] [pkg] [fresh]
#
# Asks before it installs, unless --yes is given or YES=1 or CI=1 is set. Uses sudo when it is not root.
# Never touches what is installed already, and never runs `apt-get update` when nothing is missing.
set -u

BUILD="gcc libc6-dev meson ninja-build pkg-config libjansson-dev libsqlite3-dev libpq-dev
       libseccomp-dev libpcre2-dev libnghttp2-dev libbrotli-dev libzstd-dev zlib1g-dev libc-ares-dev libcurl4-openssl-dev libpsl-dev libssl-dev
       libcrypt-dev python3 python3-dev"
RUN="postgresql python3-flask python3-psycopg2 python3-venv procps ca-certificates"
TEST="clang libcmocka-dev python3-pytest python3-pytest-timeout python3-pytest-xdist python3-django
      python3-prometheus-client systemd tzdata curl strace git util-linux iproute2 nftables iptables ufw redis-server redis-tools netcat-openbsd nodejs gunicorn
      lighttpd python3-waitress python3-h11 python3-tornado python3-aiohttp
      pebble openssl libnss3-tools testssl.sh sslscan nghttp2-client python3-h2 nginx haproxy apache2-bin wrk uwsgi uwsgi-plugin-python3 php-fpm dokuwiki puma ruby-bundler ruby-sinatra ruby-webrick python3-fastapi python3-starlette python3-quart
      openssh-server openssh-client sudo python3-websockets python3-uvicorn python3-uvloop python3-httptools python3-cryptography"
FORMAT="clang-format git"
# To make packages, for another processor in a Debian of its own (pkg/cross.sh), and a repository of them; to boot fresh servers
# of other systems, and to run another processor's programs (as root).
PKG="debhelper dpkg-dev apt-utils gnupg fakeroot git debootstrap debian-archive-keyring"
FRESH="debootstrap systemd-container util-linux debian-archive-keyring gpgv qemu-user-static chromium"
# Node from elsewhere than the distribution brings its own.
command -v npm >/dev/null 2>&1 || TEST="$TEST npm"

yes="${YES:-}${CI:-}"
wanted=""
clang=""
for arg in "$@"; do
	case "$arg" in
	--yes) yes=1 ;;
	build) wanted="$wanted $BUILD" ;;
	run) wanted="$wanted $RUN" ;;
	test) wanted="$wanted $TEST"; clang=1 ;;
	format) wanted="$wanted $FORMAT" ;;
	pkg) wanted="$wanted $PKG" ;;
	fresh) wanted="$wanted $FRESH" ;;
	*) echo "install-deps.sh: what is '$arg'? One of: build run test format pkg fresh --yes" >&2; exit 2 ;;
	esac
done

installed() {
	case "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" in
	*' installed') return 0 ;;
	esac
	return 1
}

# The sanitizers' run time is a package of its own, named by clang's version.
clang_runtime() {
	version=$(dpkg-query -W -f '${Depends}' clang 2>/dev/null | sed -n 's/.*clang-\([0-9][0-9]*\).*/\1/p')
	[ -n "$version" ] || version=$(apt-cache depends clang 2>/dev/null |
		sed -n 's/.*Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	[ -n "$version" ] && echo "libclang-rt-$version-dev"
}

missing() {
	for package in $wanted $(test -n "$clang" && clang_runtime); do
		installed "$package" || printf '%s ' "$package"
	done
}

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	echo "install-deps.sh: this is no Debian or Ubuntu, so nothing is installed; needed are:" >&2
	echo $wanted >&2
	exit 0
fi

need=$(missing)
[ -n "$need" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	sudo=""
elif command -v sudo >/dev/null 2>&1; then
	sudo="sudo"
else
	echo "install-deps.sh: these packages are missing, and there is neither root nor sudo here:" >&2
	echo "  $need" >&2
	echo "As root, run: apt-get install $need" >&2
	exit 1
fi

echo "Missing packages: $need"
if [ -z "$yes" ]; then
	if [ ! -t 0 ]; then
		echo "Nobody is here to ask. Run it again with YES=1 to install them." >&2
		exit 1
	fi
	printf 'Install them now%s? [Y/n] ' "${sudo:+ with sudo}"
	read -r answer || answer=n
	case "$answer" in
	''|y|Y|yes|Yes) ;;
	*) echo "Nothing was installed."; exit 1 ;;
	esac
fi

apt_get() {
	$sudo env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
fail() {
	cat "$log" >&2
	echo "install-deps.sh: $1. The lines above are apt's." >&2
	exit 1
}

echo "Installing (some minutes on a fresh machine) ..."
apt_get update >"$log" 2>&1 || fail "apt-get update failed"
apt_get install -y --no-install-recommends $(missing) >"$log" 2>&1 || fail "apt-get install failed"

# clang's version may have become known only now.
left=$(missing)
if [ -n "$left" ]; then
	apt_get install -y --no-install-recommends $left >"$log" 2>&1 || fail "apt-get install failed"
fi

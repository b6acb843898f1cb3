#!/usr/bin/env bash
# Installs what no package registry has: the browsers, nginx and PgBouncer that the tests
# drive, and with `fonts` those that screenshots need besides.
set -euo pipefail

stop() {
    printf '\nSet-up stopped: %s\n' "$1" >&2
    exit 1
}

has() {
    for name in "$@"; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}

missing=()
has "${CHROMIUM:-chromium}" chromium-browser google-chrome || missing+=(chromium)
has firefox-esr firefox || missing+=(firefox-esr)
has WebKitWebDriver || missing+=(webkit2gtk-driver)
has Xvfb || missing+=(xvfb)
has nginx /usr/sbin/nginx || missing+=(nginx)
has pgbouncer /usr/sbin/pgbouncer || missing+=(pgbouncer)
if [ "${1:-}" = fonts ] && has fc-list; then
    fc-list | grep -qi emoji || missing+=(fonts-noto-color-emoji)
    [ -n "$(fc-list :lang=zh)" ] || missing+=(fonts-wqy-zenhei)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

has apt-get || stop "please install ${missing[*]} with this system's package manager."
become=()
if [ "$(id -u)" -ne 0 ]; then
    has sudo || stop "please run as root: apt-get install ${missing[*]}"
    become=(sudo)
fi

echo "Installing ${missing[*]} with apt-get"
export DEBIAN_FRONTEND=noninteractive
# RUNLEVEL=1 keeps the package from starting a server on port 80.
install=("${become[@]}" env RUNLEVEL=1 apt-get install --yes --no-install-recommends)
"${install[@]}" "${missing[@]}" </dev/null ||
    { "${become[@]}" apt-get update </dev/null && "${install[@]}" "${missing[@]}" </dev/null; } ||
    stop "apt-get could not install ${missing[*]}; its last lines above say why."

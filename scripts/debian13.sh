#!/usr/bin/env bash
# Run the newer family of packages on a machine with an older C library: in a Debian 13 in a folder.
#
#   scripts/debian13.sh make DIR [SUITE]     # install Debian and what the README requires; needs root
#   scripts/debian13.sh run DIR COMMAND...   # run a command in it, in the checkout, with ../shared
#
# SUITE chooses another Debian: forky, the next one, has Python 3.14, in which scripts/client_check.sh tests the client.
# The virtual environment is /opt/venv in the folder; the checkout's .venv stays as it is. Packages come from the mirror
# in this machine's apt sources and from its index of Python packages.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
stop() { echo "debian13: $1" >&2; exit 3; }
[ "$(id -u)" = 0 ] || stop "only root can make and enter a Debian in a folder"
action=${1:?make or run}; root=${2:?a folder}; shift 2

mirror() {  # the first one in apt's sources, in either format
  { grep -hoE '^URIs: *[^ ]+' /etc/apt/sources.list.d/*.sources; grep -hoE '^deb +(\[[^]]*\] +)?[^ ]+' /etc/apt/sources.list; } \
    2>/dev/null | sed -E 's/^(URIs: *|deb +(\[[^]]*\] +)?)//' | head -n1
}

enter() {  # a private mount namespace: its mounts end with the command
  unshare --mount bash -euc '
    root=$1 project=$2; shift 2
    mkdir -p "$root/work/project" "$root/work/shared"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$project" "$root/work/project"
    if [ -d "$project/../shared" ]; then mount --bind "$project/../shared" "$root/work/shared"; fi
    older=${SKEWLESS_OLDER_ROOT:-}
    if [ -d "$older" ]; then mkdir -p "$root$older"; mount --bind "$older" "$root$older"; fi
    # Settings of the package index; a local folder of wheels is not visible there.
    mapfile -t kept < <(env | grep -E "^(SKEWLESS_OLDER_ROOT|PYTEST_ARGS|PIP_|UV_|SSL_CERT|REQUESTS_CA|CURL_CA|http|HTTP|no_proxy|NO_PROXY)" |
      grep -v "^PIP_FIND_LINKS" || true)
    exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 VENV=/opt/venv PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "${kept[@]}" \
      bash -ec "cd /work/project; exec \"\$@\"" bash "$@"
  ' enter "$root" "$project" "$@"
}

case $action in
  make)
    command -v debootstrap >/dev/null ||
      { apt-get -qq update && apt-get -qq install -y --no-install-recommends debootstrap; } >/dev/null 2>&1 ||
      stop "debootstrap is not to be had"
    if [ ! -e "$root/.ready" ]; then
      suite=${1:-trixie}
      recipe=/usr/share/debootstrap/scripts/$suite
      [ -e "$recipe" ] || recipe=/usr/share/debootstrap/scripts/sid  # a suite that is newer than this debootstrap
      rm -rf "$root"
      echo "Debian ($suite) in $root ..."
      debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,git,make,procps,openssl \
        "$suite" "$root" "$(mirror)" "$recipe" >"$root.log" 2>&1 || stop "debootstrap failed; see $root.log"
      cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
      for file in /etc/pip.conf /etc/resolv.conf /etc/hosts; do if [ -e "$file" ]; then cp -L "$file" "$root$file"; fi; done
      touch "$root/.ready"
    fi
    enter true || stop "$root cannot be entered: this machine lets root mount nothing"
    ;;
  run) [ -e "$root/.ready" ] || stop "no Debian in $root: make it first"; enter "$@" ;;
  *) stop "make or run, not $action" ;;
esac

#!/bin/bash
# Brings a bare Debian 12 machine with Node to where everything here runs: Debian packages and npm packages. Idempotent:
# it installs what is missing, says what, and does nothing the second time. Without root it prints the command and stops.
#   deploy/setup.sh [--run]    --run: only what running the service needs, nothing for tests and the demo
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(
  qemu-system-x86     # the hypervisor
  qemu-system-common  # qemu-storage-daemon
  qemu-utils          # qemu-img
  util-linux          # setpriv
  zstd                # compresses saved memory
  g++ make python3    # better-sqlite3, where no built one is to be had
)
test_packages=(
  mariadb-server                                     # a private one is started for the tests; the system's stays off
  busybox-static cpio gzip e2fsprogs qemu-guest-agent # the tiny guest
  gcc libc6-dev
  python3-openstackclient                            # the real client
  curl
)
[[ ${1:-} == --run ]] || packages+=("${test_packages[@]}")

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done

if ((${#missing[@]})); then
  command -v apt-get >/dev/null || fail "Missing packages: ${missing[*]}. This script knows only apt-get; install them your way."
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID == 0)); then as_root=(env); elif sudo -n true 2>/dev/null; then as_root=(sudo -n env); else
    printf 'These Debian packages are missing and need root. Run this, then try again:\n\n  sudo apt-get update && sudo %s\n\n' "$install" >&2
    exit 1
  fi
  say "installing Debian packages: ${missing[*]}"
  # Packages such as mariadb-server start a daemon when installed; nothing here wants one.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

ensure_modules
say 'set up'

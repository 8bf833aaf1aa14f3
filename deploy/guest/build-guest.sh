#!/bin/bash
# Builds a tiny Linux guest for tests and the demo: build-guest.sh <directory> makes vmlinuz and guest.cpio.gz there.
# The kernel is Debian's cloud kernel, downloaded and unpacked but not installed; everything else is taken from this
# machine's own packages. Nothing is done when both files are newer than this directory's sources. Files appear by
# rename, so whoever finds them finds them whole; callers that may run at once take a lock around it.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: build-guest.sh <directory>}
mkdir -p "$out"
out=$(cd "$out" && pwd)

fresh() {
  [[ -s $out/vmlinuz && -s $out/guest.cpio.gz ]] || return 1
  local source
  for source in "$here"/{build-guest.sh,init,shutdown,heartbeat.c}; do [[ $out/guest.cpio.gz -nt $source ]] || return 1; done
}
fresh && exit 0

missing=()
need() { [[ -e $1 ]] || missing+=("$2"); }
need /usr/bin/busybox busybox-static
need /usr/sbin/qemu-ga qemu-guest-agent
need /usr/sbin/mke2fs e2fsprogs
need /usr/bin/cpio cpio
need /usr/bin/gzip gzip
if ((${#missing[@]})); then
  echo "build-guest.sh: missing packages; run: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 3
fi

work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The kernel package is kept as <out>/kernel so that a changed init does not mean a second download.
if ! compgen -G "$out/kernel/boot/vmlinuz-*" >/dev/null; then
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
  if [[ -z $package ]]; then
    [[ $EUID == 0 ]] || { echo 'build-guest.sh: no package lists; run: apt-get update' >&2; exit 3; }
    apt-get update -qq
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  fi
  (cd "$work" && apt-get download -qq "$package" 2>/dev/null)
  mkdir "$work/kernel"
  dpkg-deb --fsys-tarfile "$work"/*.deb |
    tar -x -C "$work/kernel" --wildcards './boot/vmlinuz-*' './lib/modules/*/kernel/drivers/*'
  rm -rf "$out/kernel"
  mv "$work/kernel" "$out/kernel"
fi
drivers=$(echo "$out"/kernel/lib/modules/*/kernel/drivers)

root=$work/root
mkdir -p "$root"/{bin,sbin,usr/sbin,proc,sys,dev,tmp,mnt,run,var/run,lib/x86_64-linux-gnu,lib64,modules}
install -m 755 "$here/init" "$root/init"
install -m 755 "$here/shutdown" "$root/sbin/shutdown"
install -m 755 /usr/bin/busybox "$root/bin/busybox"
applets=(sh mount umount insmod mkdir cat cmp cut dd echo grep head ln ls poweroff reboot rm sleep stty sync tail touch)
for applet in "${applets[@]}"; do ln -s busybox "$root/bin/$applet"; done
for module in virtio/{virtio_ring,virtio,virtio_pci_legacy_dev,virtio_pci_modern_dev,virtio_pci} block/virtio_blk char/virtio_console input/evdev acpi/button; do
  [[ ! -f $drivers/$module.ko ]] || cp "$drivers/$module.ko" "$root/modules/"
done
install -m 755 /usr/sbin/qemu-ga "$root/usr/sbin/qemu-ga"
install -m 755 /usr/sbin/mke2fs "$root/sbin/mkfs.ext4"
for library in $(ldd /usr/sbin/qemu-ga /usr/sbin/mke2fs | awk '/=> \// { print $3 } /^\t\/lib64/ { print $1 }' | sort -u); do
  case $library in
    /lib64/*) cp -L "$library" "$root/lib64/" ;;
    *) cp -L "$library" "$root/lib/x86_64-linux-gnu/" ;;
  esac
done
# Optional: measures pauses as the guest sees them.
if command -v gcc >/dev/null; then gcc -static -O2 -o "$root/bin/heartbeat" "$here/heartbeat.c" 2>/dev/null || true; fi

(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -9) >"$work/guest.cpio.gz"
cp "$out"/kernel/boot/vmlinuz-* "$work/vmlinuz"
mv "$work/vmlinuz" "$out/vmlinuz"
mv "$work/guest.cpio.gz" "$out/guest.cpio.gz"

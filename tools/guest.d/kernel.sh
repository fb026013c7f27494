# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154  # variables go to, and come from, tools/guest
# The kernel: Debian's package -> $cache/PACKAGE_VERSION_SELECTION/{vmlinux,release,lib/modules}. get_kernel sets
# kernel_folder to that folder. Sourced by tools/guest.

# Kept of the kernel package, below lib/modules/RELEASE/kernel: what networking, BPF and the mounts may ask for.
readonly MODULES=(arch/x86/crypto crypto lib net virt drivers/net drivers/virtio drivers/char/hw_random
  drivers/char/virtio_console.ko fs/9p fs/fscache fs/netfs fs/overlayfs)
readonly MODULES_DROPPED=(drivers/net/{can,ethernet,fddi,hamradio,phy,usb,wan,wireless,wwan}
  net/{bluetooth,can,ceph,mac80211,nfc,rds,rxrpc,sunrpc,tipc,wireless})

# The real package behind the series' metapackage, as PACKAGE=VERSION; nothing if apt knows none.
resolve_package() {
  local meta=linux-image-6.12-amd64 package version
  [[ $kernel == 6.12 ]] || meta=linux-image-amd64
  package=$(apt-cache depends "$meta" 2>/dev/null |
    sed -n 's/^ *|\{0,1\}Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [[ $package == linux-image-"$kernel".* ]] || return 0
  version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: *//p')
  echo "$package=$version"
}

# A bzImage carries the compressed ELF kernel at an offset its header tells (Documentation/arch/x86/boot.rst).
# QEMU starts that ELF file directly, which saves the guest a second of decompressing.
unpack_vmlinux() { # BZIMAGE OUT
  local sectors offset length
  sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
  offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
  length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
  tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" 2>/dev/null | head -c $((length - 4)) >"$2.compressed" || true
  case $(head -c 4 "$2.compressed" | od -An -tx1) in
    ' 28 b5 2f fd') zstd -q -dc "$2.compressed" >"$2" ;;
    ' fd 37 7a 58') xz -dc "$2.compressed" >"$2" ;;
    *) fail "$1 is compressed in a way this script does not know" ;;
  esac
  rm "$2.compressed"
}

unpack_package() { # DEB FOLDER
  local release modules keep=() drop=() folder
  release=$(dpkg-deb --fsys-tarfile "$1" | tar -t | sed -n 's|^\./boot/vmlinuz-||p')
  modules=./lib/modules/$release
  for folder in "${MODULES[@]}"; do keep+=("$modules/kernel/$folder*"); done
  for folder in "${MODULES_DROPPED[@]}"; do drop+=(--exclude="$modules/kernel/$folder"); done
  mkdir -p "$2"
  # tar's status only tells that a kept folder does not exist in this kernel
  dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "${drop[@]}" \
    "./boot/*" "$modules/modules.*" "${keep[@]}" 2>/dev/null || true
  [[ -s $2/boot/vmlinuz-$release && -s $2/lib/modules/$release/modules.builtin ]] || fail "cannot unpack $1"
  unpack_vmlinux "$2/boot/vmlinuz-$release" "$2/vmlinux"
  find "$2/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r -P 2 -n 64 xz -d
  depmod -b "$2" "$release"
  echo "$release" >"$2/release"
}

fetch_package() { # PACKAGE=VERSION FOLDER
  local temporary
  temporary=$(mktemp -d "$cache/fetch.XXXXXX")
  say "getting ${1%%=*} (once)"
  (cd "$temporary" && apt-get -q -o APT::Sandbox::User=root download "$1" >&2) ||
    { rm -rf "$temporary"; fail "cannot download $1"; }
  unpack_package "$temporary"/*.deb "$temporary/unpacked"
  mv -T "$temporary/unpacked" "$2"
  rm -rf "$temporary"
}

# Sets kernel_folder. $cache/SERIES links to the kernel in use and is looked up again when apt's lists are newer.
find_kernel() {
  local link=$cache/$kernel wanted folder lists=/var/lib/apt/lists
  if [[ ! -s $link/release || $lists -nt $cache/$kernel.checked ]]; then
    rm -rf "$cache"/fetch.*
    wanted=$(resolve_package)
    if [[ ! $wanted && ! -s $link/release ]]; then
      say "apt has no kernel $kernel in its lists: apt-get update"
      apt-get -q update >&2 || fail "apt-get update failed"
      wanted=$(resolve_package)
      [[ $wanted ]] || fail "apt has no kernel $kernel; tools/setup tells which line /etc/apt lacks"
    fi
    # what is kept of the package is part of the name: another selection is another folder
    folder=${wanted/=/_}_$(cksum <<<"${MODULES[*]} ${MODULES_DROPPED[*]}" | cut -d ' ' -f 1)
    if [[ $wanted ]]; then
      [[ -s $cache/$folder/release ]] || fetch_package "$wanted" "$cache/$folder"
      ln -sfnT "$folder" "$link"
    fi
    touch "$cache/$kernel.checked"
  fi
  kernel_folder=$(realpath "$link")
}

get_kernel() {
  mkdir -p "$cache"
  local lock
  exec {lock}>"$cache/lock"
  flock -n "$lock" || { say "waiting for another tools/guest to get its kernel"; flock "$lock"; }
  find_kernel
  exec {lock}>&-
}

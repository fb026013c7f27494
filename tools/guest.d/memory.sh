# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154  # the variables are those of tools/guest
# The guest's memory, which is /memory in the initramfs: what --copy names, and in virtual time the tools and modules.
# It is the guest's root in virtual time, else the upper layer of its overlay. Sourced by tools/guest.

# In virtual time: the tools and files that are in the guest's memory (where the host has them), and the modules.
readonly MEMORY_TOOLS=(bash sh env awk cat chmod cmp cp cut date dd dirname basename dmesg echo expr false find grep
  head id kill ln ls mkdir mkfifo mktemp mv nproc pgrep printf ps pwd readlink realpath rm rmdir sed seq setsid sleep
  sort stat sync tail taskset tee test timeout touch tr true uname uniq wc xargs mount umount unshare nsenter chrt ip
  tc bridge ss nstat sysctl modprobe rmmod lsmod ping ethtool iperf3 tcpdump bpftool)
readonly MEMORY_FILES=(/etc/ld.so.cache /etc/passwd /etc/group /etc/nsswitch.conf /etc/hosts /etc/host.conf
  /etc/protocols /etc/services /etc/iproute2 /bin /sbin /lib /lib64 /usr/lib/locale/C.utf8 /usr/lib/*/tc)
readonly MEMORY_MODULES=(arch crypto lib net drivers/net)

# Adds a path to $list with its parent folders and, for a symbolic link, what it points to.
remember() { # PATH
  local path=$1 parent resolved
  while [[ -e $path ]]; do
    parent=$(realpath "$(dirname "$path")")
    resolved=${parent%/}/$(basename "$path")
    [[ $parent == / ]] || remember_folders "$parent"
    echo "${resolved#/}" >>"$list"
    if [[ ! -L $resolved ]]; then
      [[ ! -d $resolved ]] || (cd / && find "${resolved#/}" -xdev) >>"$list"
      break
    fi
    path=$(readlink "$resolved")
    [[ $path == /* ]] || path=$parent/$path
    [[ -d $path ]] && break # a link to a folder (/bin) stands for itself
  done
}

remember_folders() { # FOLDER
  local folder=${1#/}
  while [[ $folder ]]; do
    echo "$folder" >>"$list"
    [[ $folder == */* ]] && folder=${folder%/*} || folder=''
  done
}

# Programs with the libraries and the loader they need.
remember_programs() { # PATH...
  local path
  for path in "$@" $({ ldd "$@" 2>/dev/null || true; } | sed -n 's|^[^/]*\(/[^ :]*\) (0x.*|\1|p' | sort -u); do
    remember "$path"
  done
}

remember_copy() { # PATH
  local programs=("$1")
  if [[ -d $1 ]]; then
    remember "$1"
    mapfile -t programs < <(find "$1" -type f -perm -u+x)
    ((${#programs[@]})) || return 0
  fi
  remember_programs "${programs[@]}"
}

# The archive of a folder, the same for the same content: the guest's boot then takes the same time to the instruction.
pack() { # FOLDER
  (cd "$1" && find . -exec touch -h -d @0 {} + &&
    find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible)
}

# The archive of what $list names, to be unpacked below /memory.
pack_list() {
  mkdir -p "$run/listed/memory"
  (cd / && sort -u "$list" | cpio --quiet -pdm "$run/listed/memory")
  pack "$run/listed"
  rm -rf "$run/listed" "$list"
}

# shellcheck disable=SC2317  # called by 'cached'
pack_tools() {
  local tool paths=()
  for tool in "${MEMORY_TOOLS[@]}"; do
    if tool=$(PATH=$guest_path type -P "$tool"); then paths+=("$tool"); fi
  done
  remember_programs "${paths[@]}"
  for tool in "${MEMORY_FILES[@]}"; do remember "$tool"; done
  pack_list
}

# shellcheck disable=SC2317  # called by 'cached'
pack_modules() {
  local release folder from to
  release=$(<"$kernel_folder/release")
  from=$kernel_folder/lib/modules/$release
  to=$run/modules/memory/usr/lib/modules/$release
  mkdir -p "$to"
  cp "$from"/modules.* "$to"
  for folder in "${MEMORY_MODULES[@]}"; do
    mkdir -p "$(dirname "$to/kernel/$folder")"
    cp -r "$from/kernel/$folder" "$to/kernel/$folder"
  done
  pack "$run/modules"
  rm -rf "$run/modules"
}

# An archive that is the same for each run is made once and kept in the cache, until a package or tools/guest changes.
cached() { # FILE FUNCTION
  if [[ ! -s $1 || $(find /var/lib/dpkg/status "$repo/tools/guest" "$guest_d" -newer "$1" -print -quit) ]]; then
    "$2" >"$run/made"
    mv "$run/made" "$1"
  fi
  cat "$1"
}

pack_memory() {
  local path
  list=$run/list
  if [[ $virtual_time ]]; then
    cached "$cache/tools.cpio" pack_tools
    cached "$kernel_folder/modules.cpio" pack_modules
  fi
  ((${#copies[@]})) || return 0
  for path in "${copies[@]}"; do remember_copy "$path"; done
  pack_list
}

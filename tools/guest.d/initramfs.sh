# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154  # the variables are those of tools/guest
# The initramfs: tools/guest.d/initramfs/ with what this run's guest is told, busybox, the modules that init loads, and
# the guest's memory (memory.sh). Sourced by tools/guest.

write_command() {
  local name
  echo '#!/bin/bash'
  echo "export PATH=$guest_path HOME=/root LANG=C.UTF-8 TERM=dumb"
  for name in "${variables[@]}"; do printf 'export %q\n' "$name"; done
  printf 'cd %q || exit 125\n' "$(pwd -P)"
  printf 'exec'
  printf ' %q' "${command[@]}"
  echo
}

inside() { # FOLDER PATH...: whether one of the paths lies in the folder
  local folder=$1 path
  for path in "${@:2}"; do [[ $path/ != "$folder"/* ]] || return 0; done
  return 1
}

write_settings() {
  local folder empty=/run
  for folder in /tmp /var/tmp; do
    inside "$folder" "$(pwd -P)" "$cache" "${shares[@]}" "${copies[@]}" || empty+=" $folder"
  done
  printf 'virtual_time=%s\nempty_folders=%q\n' "$virtual_time" "$empty"
  printf 'working_folder=%q\nmodules_folder=%q\n' "$(pwd -P)" "$kernel_folder/lib/modules"
}

# The modules that init loads, dependencies first.
early_modules() {
  local wanted=(virtio_pci virtio_console)
  [[ $virtual_time ]] || wanted+=(overlay)
  [[ ! $nics ]] || wanted+=(virtio_net)
  [[ $virtual_time && ${#shares[@]} -eq 0 ]] || wanted+=(9pnet_virtio 9p)
  modprobe -d "$kernel_folder" -S "$(<"$kernel_folder/release")" -a --show-depends "${wanted[@]}" |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# /modules and /modules.d: the modules' paths in the guest, in the order to load them in.
copy_modules() { # ROOT
  local module
  mkdir "$1/modules.d"
  while read -r module; do
    cp "$module" "$1/modules.d/"
    echo "/modules.d/${module##*/}"
  done < <(early_modules) >"$1/modules"
}

make_initramfs() { # OUT
  local root=$run/initramfs folder
  mkdir -p "$root/bin"
  cp "$guest_d"/initramfs/* "$root"
  chmod +x "$root/init"
  cp "$(type -P busybox)" "$root/bin/busybox"
  write_settings >"$root/settings"
  write_command >"$root/command"
  for folder in "${shares[@]}"; do echo "$folder"; done >"$root/shares"
  copy_modules "$root"
  { pack "$root"; pack_memory; } >"$1"
}

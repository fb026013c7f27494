# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2154  # the variables are those of /settings
# The root in real time: the host's, read-only over 9p, below an overlay in the guest's memory. Sourced by init.

make_root() {
  mount_9p root ro,cache=loose /host
  mount -t overlay -o lowerdir=/host,upperdir=/memory,workdir=/work overlay /root || die "cannot mount the overlay"
  for folder in $empty_folders; do mount -t tmpfs -o mode=1777 tmpfs "/root$folder"; done
  mkdir -p /root/usr/lib/modules
  mount --bind "/root$modules_folder" /root/usr/lib/modules || die "cannot mount the modules"
}

# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2154  # the variables are those of /settings
# The root in virtual time: /memory, which waits for no host. Sourced by init.

make_root() {
  mount --bind /memory /root
  cd /root || die "no /root"
  mkdir -p etc proc sys dev root run tmp var/tmp "./$working_folder"
  chmod 1777 tmp var/tmp
  ln -s ../run var/run
  cd / || die "no /"
  sleep 5 # takes no real time; what the kernel still does in the background after boot is then done
}

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tests commands on a kernel that is locked down: they are refused with advice, and nothing is left.
# It runs in a guest of its own, since a lockdown cannot be undone.
# usage: lockdown_test.sh HEADWIND
set -u
headwind=$1 failed=0
expect() {  # WHAT STATUS PATTERN COMMAND...
  local what=$1 status=$2 pattern=$3 output
  shift 3
  output=$("$@" 2>&1)
  # shellcheck disable=SC2053  # a pattern
  if [[ $? == "$status" && $output == $pattern ]]; then
    echo "ok   $what"
  else
    echo "FAIL $what: $output"
    failed=1
  fi
}
lock() {
  echo "$1" > /sys/kernel/security/lockdown && return
  echo "FAIL this kernel cannot be locked down"
  exit 1
}
mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security
mountpoint -q /sys/fs/bpf || mount -t bpf none /sys/fs/bpf
ip link set dev lo up

lock integrity
expect "integrity: a rule is added" 0 "*x: all frames but ARP, neighbour discovery and DHCP sent through lo: loss 10%" "$headwind" add --name x --dev lo --loss 10%
expect "integrity: and cleared" 0 "*removed x" "$headwind" clear
lock confidentiality
expect "confidentiality: a rule is refused, with why" 5 "*locked down*" "$headwind" add --name x --dev lo --loss 10%
expect "confidentiality: there is none" 0 "no rules" "$headwind" list
expect "confidentiality: doctor tells" 5 "*locked down*" "$headwind" doctor
expect "confidentiality: nothing is left" 0 "" bash -c '! ls /sys/fs/bpf | grep -q headwind && ! ip link | grep -q headwind'
exit "$failed"

#!/bin/sh
# SPDX-License-Identifier: MIT
# In tools/profile's guest: sends PACKETS through the rule, and prints the kernel's symbols while the rule is there.
# guest.sh BUILD PACKETS bare|netem WORD...|RULE...
set -eu
build=$1 packets=$2
shift 2
ip netns add a
ip netns add b
ip link add va netns a type veth peer name vb netns b
ip -n a addr add 10.77.0.1/24 dev va
ip -n b addr add 10.77.0.2/24 dev vb
ip -n a link set va up
ip -n b link set vb up
sleep 3 # until the kernel has nothing left to do for them
case $1 in
  bare) ;;
  netem) ip netns exec a tc qdisc add dev va root "$@" limit 100000 ;;
  *) "$build/headwind" add --netns a --name profiled --dev va "$@" >&2 ;;
esac
cat /proc/kallsyms
ip netns exec b "$build/probe/udp_probe" receive 10.77.0.2 7000 --count "$packets" --ready /tmp/ready >/dev/null &
until [ -e /tmp/ready ]; do sleep 0.1; done
# Not in step with a delay of some ms: work that comes together costs less, or, if it wakes a kernel thread, more.
ip netns exec a "$build/probe/udp_probe" send 10.77.0.2 7000 --count "$packets" --interval-us 195 --size 64 >/dev/null
wait

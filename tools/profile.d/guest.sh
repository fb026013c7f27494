#!/bin/sh
# SPDX-License-Identifier: MIT
# In tools/profile's guest: sends PACKETS through the rule, and prints the kernel's symbols while the rule is there.
# guest.sh BUILD PACKETS sent|forwarded bare|netem WORD...|RULE...
set -eu
build=$1 packets=$2 way=$3
shift 3
cable() { # NAMESPACE DEVICE NAMESPACE DEVICE NETWORK: a new one
  ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
  ip -n "$1" addr add "$5.1/24" dev "$2"
  ip -n "$3" addr add "$5.2/24" dev "$4"
  ip -n "$1" link set "$2" up
  ip -n "$3" link set "$4" up
}

ip netns add a
ip netns add b
cable a va b vb 10.77.0
at=a device=va to=b address=10.77.0.2
if [ "$way" = forwarded ]; then # by b, to c
  ip netns add c
  cable b vc c vd 10.79.0
  ip -n a route add default via 10.77.0.2
  ip -n c route add default via 10.79.0.1
  ip netns exec b sysctl -qw net.ipv4.ip_forward=1
  at=b device=vc to=c address=10.79.0.2
fi
sleep 3 # until the kernel has nothing left to do for them
case $1 in
  bare) ;;
  netem) ip netns exec $at tc qdisc add dev $device root "$@" limit 100000 ;;
  *) "$build/headwind" add --netns $at --name profiled --dev $device "$@" >&2 ;;
esac
cat /proc/kallsyms
ip netns exec $to "$build/probe/udp_probe" receive $address 7000 --count "$packets" --ready /tmp/ready >/dev/null &
until [ -e /tmp/ready ]; do sleep 0.1; done
# Not in step with a delay of some ms: work that comes together costs less, or, if it wakes a kernel thread, more.
ip netns exec a "$build/probe/udp_probe" send $address 7000 --count "$packets" --interval-us 195 --size 64 >/dev/null
wait

#!/bin/bash
# SPDX-License-Identifier: MIT
# tools/bench --agent: the CPU time of one agent, and of `headwind list`, beside many network namespaces. All of it happens
# in namespaces of its own (network, mounts with a BPF file system, processes): they end with this script, however it
# ends, and what is in them goes with them.
# agent.sh HEADWIND COUNT EMPTY SECONDS
set -euo pipefail

readonly rules=20 home=headwind-bench-home work=/run between_looks=10 # s; safety_net in loader/agent/agent.cpp

outside() {
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc "$BASH" "$0" inside "$@" &
  # shellcheck disable=SC2064  # the process of now
  trap "kill -KILL $! 2>/dev/null || true" EXIT
  trap 'exit 130' INT TERM
  wait $!
}

hw() { nsenter --net="/run/netns/$home" "$headwind" "$@"; }

make_namespaces() { # each with a veth to home
  local i
  for ((i = 0; i < with_rules; i++)); do
    ip netns add "n$i"
    ip link add "v$i" netns "$home" type veth peer name va netns "n$i"
    ip -n "$home" link set "v$i" up
    ip -n "n$i" addr add 10.9.0.2/24 dev va
    ip -n "n$i" link set va up
    ip -n "n$i" link set lo up
  done
}

make_empty() { # COUNT
  seq -f 'netns add e%.0f' "$1" | ip -batch -
}

# Twenty rules: loss, some of which need the line, partitions, and rules without --dev. A delay needs sch_fq.
rules_of() { # SPECIAL
  local i
  for ((i = 0; i < rules; i++)); do
    case $((i % 4)) in
      0) echo "add --name r$i --dev va --loss 1% --proto udp --remote-port $((5000 + i))" ;;
      1) echo "add --name r$i --dev va --partition --proto tcp --remote-port $((5000 + i))" ;;
      2) echo "add --name r$i --loss 0.1% --remote-port $((5000 + i))" ;;
      3) echo "add --name r$i --dev va --direction in $1 --local-port $((5000 + i))" ;;
    esac
  done
}

add_rules() {
  local i special='--duplicate 1%'
  hw add --netns n0 --name probe --delay 1ms &>/dev/null && special='--delay 20ms'
  hw clear --netns n0 &>/dev/null
  echo "$with_rules network namespaces with $rules rules each, a quarter of them $special; kernel $(uname -r)"
  for ((i = 0; i < with_rules; i++)); do
    hw batch --netns "n$i" --yes <(rules_of "$special") >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
  done
}

ticks_of() { # PID: CPU time of the process, its ended threads and its children that were waited for
  sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 + $14 + $15 }'
}

agent_share() { # WHAT
  local before after agent
  : >"$work/agent"
  nsenter --net="/run/netns/$home" "$headwind" agent --json >"$work/agent" & # no function: its own process id
  agent=$!
  until grep -q '"serving"' "$work/agent"; do sleep 0.1; kill -0 "$agent"; done
  sleep 1
  before=$(ticks_of "$agent")
  sleep "$seconds"
  after=$(ticks_of "$agent")
  awk -v what="$1" -v first="$before" -v all="$after" -v hz="$(getconf CLK_TCK)" -v s="$seconds" -v pause=$between_looks 'BEGIN {
    ms = (all - first) * 1000 / hz
    printf "%-34s agent: %.2f%% of one CPU, %.1f ms a look; its start and first look: %.0f ms\n", what, ms / s / 10, ms / (s / pause), first * 1000 / hz }'
  kill "$agent"
  wait "$agent"
  grep -v -e '"serving"' -e '"ending"' "$work/agent" || true
}

command_cost() { # WHAT COMMAND...: of ten runs
  local what=$1 i
  local TIMEFORMAT='%U %S'
  shift
  { time for i in {1..10}; do hw "$@" >/dev/null; done; } 2>"$work/time"
  awk -v what="$what" -v name="$1" '{ printf "%-34s headwind %s: %.1f ms of CPU time\n", what, name, ($1 + $2) * 100 }' "$work/time"
}

inside() {
  readonly headwind=$1 with_rules=$2 empty=$3 seconds=$4
  trap 'exit 130' INT TERM
  mount -t tmpfs none /run # also hides the journal, to which each command's audit record would go
  mount -t bpf bpf /sys/fs/bpf
  ip netns add "$home"
  make_namespaces
  add_rules
  figures "no other namespaces"
  ((empty)) || return 0
  make_empty "$empty"
  figures "$empty other network namespaces"
}

figures() { # WHAT
  agent_share "$1"
  command_cost "$1" list --netns n0
  command_cost "$1" stats --netns n0
}

if [[ ${1:-} == inside ]]; then
  shift
  inside "$@"
else
  outside "$@"
fi

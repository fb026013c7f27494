#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The test bed's own test: the guest boots, its virtual time measures a delay exactly, and runs repeat.
# Boots the kernel twice in virtual time; in each, UDP packets cross a veth pair bare and with netem's 20 ms.
#
# usage: tests/guest/bed_test.sh [KERNEL...]     (default 6.12; HEADWIND_BUILD: the build folder, default build)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly here repo=${here%/tests/guest} packets=200 interval_us=5000
build=${HEADWIND_BUILD:-$repo/build}

# ---- in the guest ----------------------------------------------------------------------------------------------------

in_guest() { # PROBE
  local probe=$1
  ip netns add a
  ip netns add b
  ip link add va netns a type veth peer name vb netns b
  ip -n a address add 10.77.0.1/24 dev va
  ip -n b address add 10.77.0.2/24 dev vb
  ip -n a link set va up
  ip -n b link set vb up
  measure bare
  ip netns exec a tc qdisc add dev va root netem delay 20ms limit 100000
  measure netem
}

measure() { # LABEL: prints 'LABEL one-way JSON' and 'LABEL round-trip JSON'
  local options=(--count "$packets" --interval-us "$interval_us") ready=/run/ready
  ip netns exec b "$probe" receive 10.77.0.2 7000 "${options[@]}" --ready "$ready" >/run/result &
  wait_for "$ready"
  ip netns exec a "$probe" send 10.77.0.2 7000 "${options[@]}" >/run/sent
  wait "$!"
  echo "$1 one-way $(</run/result)"
  ip netns exec b "$probe" echo 10.77.0.2 7001 --timeout-ms 1000 --ready "$ready" &
  wait_for "$ready"
  ip netns exec a "$probe" ping 10.77.0.2 7001 "${options[@]}" >/run/result
  wait "$!"
  echo "$1 round-trip $(</run/result)"
}

wait_for() { # FILE: waits until it is there, and removes it
  until [[ -e $1 ]]; do sleep 0.01; done
  rm "$1"
}

# ---- on the host -----------------------------------------------------------------------------------------------------

passed=0 failed=0

check() { # WHAT COMMAND...
  local what=$1
  if "${@:2}"; then
    echo "ok   $what"
    passed=$((passed + 1))
  else
    echo "FAIL $what"
    failed=$((failed + 1))
  fi
}

value() { sed -n "s/^$2 .*\"$3\": \\([0-9]*\\).*/\\1/p" "$1"; } # FILE 'LABEL KIND' FIELD

micros() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }

figures() { # FILE: prints mean and sd in microseconds
  local row
  for row in 'bare one-way' 'bare round-trip' 'netem one-way' 'netem round-trip'; do
    printf '     %-17s mean %10s us  sd %8s us  lost %s\n' "$row" "$(micros "$(value "$1" "$row" mean_ns)")" \
      "$(micros "$(value "$1" "$row" sd_ns)")" "$(value "$1" "$row" lost)"
  done
}

# FILE: prints it with whole microseconds, and without the rate, which is computed from nanoseconds
to_micros() { sed 's/\(_ns": [0-9]*\)[0-9]\{3\}\([,}]\)/\1\2/g; s/, "bit_per_s": [0-9]*//' "$1"; }

adds_20_ms() { # FILE KIND
  local added=$(($(value "$1" "netem $2" mean_ns) - $(value "$1" "bare $2" mean_ns)))
  echo "     netem adds $(micros "$added") us ($2)"
  ((added >= 19900000 && added <= 20100000))
}

steady() { # FILE: whether no standard deviation is above 5 us, so that nothing else ran in the guest
  local row
  for row in 'bare one-way' 'bare round-trip' 'netem one-way' 'netem round-trip'; do
    (($(value "$1" "$row" sd_ns) < 5000)) || return
  done
}

nothing_lost() { ! grep -v '"lost": 0, "duplicates": 0, "reordered": 0' "$1"; }
same_micros() { diff <(to_micros "$1") <(to_micros "$2"); }

find_probe() {
  probe=$build/release/probe/udp_probe
  [[ -x $probe ]] && return
  echo "bed_test: not built: $probe (cmake --preset release && cmake --build --preset release --target udp_probe)" >&2
  exit 1
}

boot() { # KERNEL OUTPUT
  local start=$SECONDS
  "$repo/tools/guest" --kernel "$1" --virtual-time --timeout 300 --build-dir "$build" --copy "$probe" \
    -- "$here/bed_test.sh" --in-guest "$probe" >"$2" || return
  echo "     booted and measured in $((SECONDS - start)) s"
}

test_kernel() { # KERNEL
  local first=$results/$1.first second=$results/$1.second
  check "$1: guest boots and measures" boot "$1" "$first"
  check "$1: and again" boot "$1" "$second"
  [[ $(wc -l <"$first") == 4 && $(wc -l <"$second") == 4 ]] || return 0
  figures "$first"
  check "$1: no packet lost, duplicated or reordered" nothing_lost "$first"
  check "$1: steady, each sd below 5 us" steady "$first"
  check "$1: netem 20 ms is 20 ms one way, within 0.1 ms" adds_20_ms "$first" one-way
  check "$1: netem 20 ms is 20 ms of the round trip, within 0.1 ms" adds_20_ms "$first" round-trip
  check "$1: both runs give the same, to the microsecond" same_micros "$first" "$second"
  if cmp -s "$first" "$second"; then echo "     and to the nanosecond"; fi
}

main() {
  local kernel
  build=$(realpath -m "$build")
  find_probe
  results=$(mktemp -d "$build/bed_test.XXXXXX")
  trap 'rm -rf "$results"' EXIT
  for kernel in "${@:-6.12}"; do test_kernel "$kernel"; done
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

if [[ ${1:-} == --in-guest ]]; then in_guest "$2"; else main "$@"; fi

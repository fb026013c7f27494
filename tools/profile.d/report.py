# SPDX-License-Identifier: MIT
"""What tools/profile has counted, for each packet and function: report.py FOLDER PACKETS TOP"""
import bisect
import collections
import sys

KERNEL = 1 << 47


def symbols(path):
    out = []
    with open(path, errors="replace", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) >= 3 and len(words[0]) == 16:
                name = words[2]
                if name.startswith("bpf_prog_") and len(name) > 26:  # between the two: a tag
                    name = "BPF " + name[26:]
                out.append((int(words[0], 16), name))
    return sorted(out)


def instructions(folder, name):
    known = symbols(f"{folder}/{name}.symbols")
    addresses = [address for address, _ in known]
    out = collections.Counter()
    with open(f"{folder}/{name}.blocks", encoding="ascii") as file:
        for line in file:
            address, length, times = line.split()
            at = bisect.bisect_right(addresses, int(address, 16)) - 1
            out[known[at][1] if int(address, 16) > KERNEL and at >= 0 else "user space"] += int(length) * int(times)
    return out


def per_packet(folder, name, packets):
    out = instructions(folder, name + "-many")
    out.subtract(instructions(folder, name + "-few"))
    return collections.Counter({key: value / packets for key, value in out.items()})


def main():
    folder, packets, top = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    bare = per_packet(folder, "bare", packets)
    added = per_packet(folder, "with", packets)
    added.subtract(bare)
    print(f"{sum(bare.values()):8.0f} without a rule")
    print(f"{sum(added.values()):+8.0f} in all, of which")
    for name, value in sorted(added.items(), key=lambda item: -abs(item[1]))[:top]:
        print(f"{value:+8.0f} {name}")


main()

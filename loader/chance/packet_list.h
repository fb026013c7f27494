// SPDX-License-Identifier: MIT
// Lists of packets, by their numbers: those that a rule loses (--loss-pattern). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "util/result.h"

namespace headwind {

constexpr std::size_t max_list_bytes = 16 << 20, max_list_ranges = 4096;
constexpr std::uint32_t max_listed_packet = 1'000'000;

// The first and the last one, counted from 1: first <= last <= max_listed_packet.
using PacketRange = std::pair<std::uint32_t, std::uint32_t>;
// Sorted, with a packet between each range and the next; at most max_list_ranges.
using PacketList = std::vector<PacketRange>;

// "7, 10-12 20", in any order, on as many lines as one likes; # begins a comment. At least one. Errors name FILE:LINE.
Result<PacketList> parse_packet_list(std::string_view text, const std::string& file);
std::string format_packet_list(const PacketList& list);  // "7,10-12,20"
std::uint64_t count_of(const PacketList& list);          // packets

}  // namespace headwind

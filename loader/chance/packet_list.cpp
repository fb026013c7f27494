// SPDX-License-Identifier: MIT
// Reads, merges and writes lists of packets.
#include "chance/packet_list.h"

#include <algorithm>
#include <charconv>

#include "util/lines.h"
#include "util/text.h"

namespace headwind {
namespace {

// "7" or "10-12"
Result<PacketRange> parse_range(std::string_view word)
{
    const auto* const end = word.data() + word.size();
    std::uint32_t first = 0;
    auto read = std::from_chars(word.data(), end, first);
    std::uint32_t last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ptr != end || (read.ec != std::errc() && read.ec != std::errc::result_out_of_range))
        return fail(ErrorKind::usage, "{}: write numbers of packets, like 7 or 10-12", printable(word));
    if (read.ec != std::errc() || std::max(first, last) > max_listed_packet)
        return fail(ErrorKind::usage, "{}: a list ends at packet {}", printable(word), max_listed_packet);
    if (first == 0) return fail(ErrorKind::usage, "{}: packets are counted from 1", printable(word));
    if (first > last)
        return fail(ErrorKind::usage, "{}: ends before it begins: write {}-{}", printable(word), last, first);
    return PacketRange{first, last};
}

PacketList merged(PacketList list)
{
    std::ranges::sort(list);
    PacketList out;
    for (const auto& [first, last] : list) {
        if (!out.empty() && first <= out.back().second + 1)
            out.back().second = std::max(out.back().second, last);
        else
            out.emplace_back(first, last);
    }
    return out;
}

}  // namespace

Result<PacketList> parse_packet_list(std::string_view text, const std::string& file)
{
    PacketList list;
    HW_CHECK(read_lines(text, file, [&list](std::string_view line) -> Status {
        std::string words(line);
        std::ranges::replace(words, ',', ' ');
        for (const auto word : words_of(words)) {
            HW_TRY(const auto range, parse_range(word));
            list.push_back(range);
        }
        return {};
    }));
    list = merged(std::move(list));
    if (list.empty()) return fail(ErrorKind::usage, "{}: names no packet: write numbers, like 7 or 10-12", file);
    if (list.size() > max_list_ranges)
        return fail(ErrorKind::usage, "{}: {} packets and ranges of packets: at most {} are possible", file,
                    list.size(), max_list_ranges);
    return list;
}

std::string format_packet_list(const PacketList& list)
{
    std::string out;
    for (const auto& [first, last] : list) {
        if (!out.empty()) out += ',';
        out += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
    }
    return out;
}

std::uint64_t count_of(const PacketList& list)
{
    std::uint64_t count = 0;
    for (const auto& [first, last] : list) count += last - first + 1;
    return count;
}

}  // namespace headwind

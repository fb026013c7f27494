// SPDX-License-Identifier: MIT
// Stores rules' descriptions in the texts map, chunk by chunk, and reads them.
#include "ruleset/records.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include <headwind/model.h>

namespace headwind {
namespace {

constexpr std::size_t chunk_bytes = sizeof(hw_text::bytes);

std::string text_of(const hw_text& piece)
{
    return {piece.bytes, std::min<std::size_t>(piece.length, chunk_bytes)};
}

Result<RuleRecord> decode_now(std::uint32_t id, const std::string& text)
{
    HW_TRY(auto record, decode_record(id, text));
    if (record.former && boottime_ns() >= record.pending) {
        record.former = false;
        record.pending = 0;
    }
    return record;
}

}  // namespace

Result<RuleRecord> read_record(const Instance& instance, std::uint32_t id)
{
    std::string text;
    for (std::uint32_t chunk = 0;; ++chunk) {
        HW_TRY(const auto piece, instance.texts.find({id, chunk}));
        if (!piece) break;
        text += text_of(*piece);
        if (piece->length < chunk_bytes) break;
    }
    return decode_now(id, text);
}

Result<std::vector<RankedRecord>> load_records(const Instance& instance)
{
    HW_TRY(const auto rules, instance.rules.items());
    HW_TRY(auto texts, instance.texts.items());
    std::sort(texts.begin(), texts.end(), [](const auto& a, const auto& b) {
        return std::pair(a.first.rule, a.first.chunk) < std::pair(b.first.rule, b.first.chunk);
    });
    const auto version = instance.control->version;
    std::map<std::uint32_t, std::uint64_t> ranks;  // of the rules in force
    for (const auto& [id, rule] : rules)
        if (hw_in_version(&rule, version)) ranks[id] = rule.rank;
    std::vector<RankedRecord> out;
    for (auto at = texts.begin(); at != texts.end();) {
        const auto id = at->first.rule;
        std::string text;
        for (; at != texts.end() && at->first.rule == id; ++at) text += text_of(at->second);
        // A text without a rank is of no rule in force: a command is at work on it, or was killed here and repair()
        // removes it.
        if (const auto rank = ranks.find(id); rank != ranks.end()) {
            HW_TRY(auto record, decode_now(id, text));
            out.push_back({std::move(record), rank->second});
        }
    }
    return out;
}

Status store_record(const Instance& instance, const RuleRecord& record)
{
    const auto text = encode_record(record);
    for (std::uint32_t chunk = 0; chunk * chunk_bytes < text.size(); ++chunk) {
        const auto piece = text.substr(chunk * chunk_bytes, chunk_bytes);
        hw_text value{};
        value.length = static_cast<__u16>(piece.size());
        std::memcpy(value.bytes, piece.data(), piece.size());
        HW_CHECK(instance.texts.put({record.id, chunk}, value));
    }
    return {};
}

Status erase_record(const Instance& instance, std::uint32_t id)
{
    for (std::uint32_t chunk = 0;; ++chunk) {
        HW_TRY(const auto text, instance.texts.find({id, chunk}));
        if (!text) return {};
        HW_CHECK(instance.texts.erase({id, chunk}));
    }
}

}  // namespace headwind

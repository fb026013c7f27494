#include "ruleset/records.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <headwind/model.h>

namespace headwind {
namespace {

constexpr std::size_t chunk_bytes = sizeof(hw_text::bytes);

}  // namespace

Result<std::vector<RuleRecord>> load_records(const Instance& instance)
{
    std::map<std::uint32_t, std::map<std::uint32_t, std::string>> pieces;
    for (const auto& key : instance.texts.keys()) {
        HW_TRY(const auto text, instance.texts.find(key));
        if (text)
            pieces[key.rule][key.chunk] = std::string(text->bytes, std::min<std::size_t>(text->length, chunk_bytes));
    }
    std::vector<RuleRecord> out;
    const auto now = boottime_ns();
    for (const auto& [id, chunks] : pieces) {
        HW_TRY(const auto rule, instance.rules.find(id));
        // A command is at it, or was killed here: repair() removes it.
        if (!rule || !hw_in_version(&*rule, instance.control->version)) continue;
        std::string text;
        for (const auto& [number, piece] : chunks) text += piece;
        HW_TRY(auto record, decode_record(id, text));
        if (record.former && now >= record.pending) {
            record.former = false;
            record.pending = 0;
        }
        out.push_back(std::move(record));
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

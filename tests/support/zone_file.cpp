// SPDX-License-Identifier: MIT
// Writes time zone files (TZif), version 2.
#include "zone_file.h"

namespace headwind::test {
namespace {

// `bytes` bytes of `value`, big endian.
std::string number(std::int64_t value, int bytes)
{
    std::string out;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
    return out;
}

std::string block(std::int32_t offset, const std::vector<ZoneChange>& changes)
{
    const std::string name("XXX\0", 4);
    const auto count = static_cast<std::int64_t>(changes.size());
    std::string out = "TZif2" + std::string(15, '\0');
    for (const std::int64_t n :
         {std::int64_t{0}, std::int64_t{0}, std::int64_t{0}, count, count + 1, static_cast<std::int64_t>(name.size())})
        out += number(n, 4);
    for (const auto& change : changes) out += number(change.at, 8);
    for (std::int64_t type = 1; type <= count; ++type) out += number(type, 1);
    out += number(offset, 4) + number(0, 2);
    for (const auto& change : changes) out += number(change.offset, 4) + number(0, 2);
    return out + name;
}

}  // namespace

std::string zone_file(std::int32_t offset, const std::vector<ZoneChange>& changes, const std::string& rule)
{
    return block(offset, {}) + block(offset, changes) + "\n" + rule + "\n";
}

}  // namespace headwind::test

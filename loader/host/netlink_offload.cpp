// SPDX-License-Identifier: MIT
// Turns transmit offloads off by feature name, through the ethtool ioctl.
// Its structures are arrays of 32-bit words with a short head, and are treated as such here: their flexible array
// members are no C++.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/ranges.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "host/netlink.h"
#include "host/netlink_request.h"

namespace headwind::netlink {
namespace {

using Words = std::vector<std::uint32_t>;

// One device and the socket to ask about it.
class Ethtool {
public:
    Ethtool(Fd socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {}

    const std::string& name() const { return name_; }

    Status call(Words& words, std::string_view what) const
    {
        ifreq request{};
        name_.copy(request.ifr_name, IFNAMSIZ - 1);
        request.ifr_data = reinterpret_cast<char*>(words.data());
        if (ioctl(socket_.get(), SIOCETHTOOL, &request) >= 0) return {};
        return refused({errno, {}}, fmt::format("{}: {}", name_, what));
    }

private:
    Fd socket_;
    std::string name_;
};

Result<Ethtool> open_ethtool(const std::string& name)
{
    if (name.size() >= IFNAMSIZ) return fail(ErrorKind::usage, "'{}' is no device name", name);
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail_errno(errno, fmt::format("{}: open a socket for ethtool", name));
    return Ethtool(std::move(socket), name);
}

// struct ethtool_sset_info: cmd, reserved, 64-bit mask, counts.
Result<std::uint32_t> feature_count(const Ethtool& ethtool)
{
    Words words(5);
    const std::uint64_t mask = 1ULL << ETH_SS_FEATURES;
    words[0] = ETHTOOL_GSSET_INFO;
    std::memcpy(&words[2], &mask, sizeof(mask));
    HW_CHECK(ethtool.call(words, "count features"));
    return words[4];
}

// struct ethtool_gstrings: cmd, string set, count, strings of ETH_GSTRING_LEN bytes.
Result<std::vector<std::string>> feature_names(const Ethtool& ethtool)
{
    HW_TRY(const std::uint32_t count, feature_count(ethtool));
    constexpr std::size_t words_each = ETH_GSTRING_LEN / sizeof(std::uint32_t);
    Words words(3 + count * words_each);
    words[0] = ETHTOOL_GSTRINGS;
    words[1] = ETH_SS_FEATURES;
    words[2] = count;
    HW_CHECK(ethtool.call(words, "name features"));

    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) {
        std::array<char, ETH_GSTRING_LEN> text{};
        std::memcpy(text.data(), &words[3 + i * words_each], text.size());
        names.emplace_back(text.data(), strnlen(text.data(), text.size()));
    }
    return names;
}

// A set of features: bit n % 32 of word n / 32.
Words empty_set(std::size_t count)
{
    return Words((count + 31) / 32);
}

bool contains(const Words& set, std::size_t feature)
{
    return ((set[feature / 32] >> (feature % 32)) & 1U) != 0;
}

void insert(Words& set, std::size_t feature)
{
    set[feature / 32] |= 1U << (feature % 32);
}

// struct ethtool_gfeatures: cmd, size, then {available, requested, active, never_changed} for each 32 features.
Result<Words> active_features(const Ethtool& ethtool, std::size_t count)
{
    Words active = empty_set(count);
    Words words(2 + 4 * active.size());
    words[0] = ETHTOOL_GFEATURES;
    words[1] = static_cast<std::uint32_t>(active.size());
    HW_CHECK(ethtool.call(words, "read features"));
    for (std::size_t i = 0; i < active.size(); ++i) active[i] = words[2 + 4 * i + 2];
    return active;
}

// struct ethtool_sfeatures: cmd, size, then {valid, requested} for each 32 features. The kernel's success says little:
// it leaves out features that cannot be changed.
Status turn_off(const Ethtool& ethtool, const Words& features)
{
    Words words(2 + 2 * features.size());
    words[0] = ETHTOOL_SFEATURES;
    words[1] = static_cast<std::uint32_t>(features.size());
    for (std::size_t i = 0; i < features.size(); ++i) words[2 + 2 * i] = features[i];
    return ethtool.call(words, "turn transmit offloads off");
}

// tx-generic-segmentation is the kernel's own segmentation, which is what we want.
bool is_transmit_offload(std::string_view name)
{
    const bool segments = name.starts_with("tx-") && name.ends_with("-segmentation");
    return (segments && name != "tx-generic-segmentation") || name.starts_with("tx-gso-") ||
           name.starts_with("tx-checksum-") || name == "esp-tx-csum-hw-offload";
}

Result<std::vector<std::size_t>> active_offloads(const Ethtool& ethtool, const std::vector<std::string>& names)
{
    HW_TRY(const Words active, active_features(ethtool, names.size()));
    std::vector<std::size_t> offloads;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (is_transmit_offload(names[i]) && contains(active, i)) offloads.push_back(i);
    }
    return offloads;
}

}  // namespace

Status disable_transmit_offloads(const std::string& name)
{
    HW_TRY(const Ethtool ethtool, open_ethtool(name));
    HW_TRY(const auto names, feature_names(ethtool));
    HW_TRY(const auto offloads, active_offloads(ethtool, names));
    if (offloads.empty()) return {};
    Words features = empty_set(names.size());
    for (const std::size_t feature : offloads) insert(features, feature);
    HW_CHECK(turn_off(ethtool, features));

    HW_TRY(const auto left, active_offloads(ethtool, names));
    if (left.empty()) return {};
    std::vector<std::string> still_on;
    for (const std::size_t feature : left) still_on.push_back(names[feature]);
    return fail(ErrorKind::unsupported, "{}: turn transmit offloads off: the device keeps {} on", name,
                fmt::join(still_on, ", "));
}

Result<bool> has_transmit_offloads(const std::string& name)
{
    HW_TRY(const Ethtool ethtool, open_ethtool(name));
    HW_TRY(const auto names, feature_names(ethtool));
    HW_TRY(const auto offloads, active_offloads(ethtool, names));
    return !offloads.empty();
}

// struct ethtool_drvinfo: cmd, then texts of 32 bytes, the driver's name first; 196 bytes in all.
std::string driver_of(const std::string& name)
{
    const auto ethtool = open_ethtool(name);
    Words words(sizeof(ethtool_drvinfo) / sizeof(std::uint32_t));
    words[0] = ETHTOOL_GDRVINFO;
    if (!ethtool || !ethtool->call(words, "ask for its driver")) return {};
    const auto* text = reinterpret_cast<const char*>(&words[1]);
    return {text, strnlen(text, sizeof(ethtool_drvinfo::driver))};
}

}  // namespace headwind::netlink

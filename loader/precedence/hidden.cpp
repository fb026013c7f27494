// SPDX-License-Identifier: MIT
// Takes the packets of an entry apart until each part is in some entry of a better rule, or one is in none.
#include "precedence/hidden.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include <headwind/model.h>

#include "ruleset/compile.h"

namespace headwind {
namespace {

constexpr int most_halvings = 4;
// Of the second half of an address: the bytes in front of an IPv4 address, and what they are there (::ffff:0:0/96).
const __u64 before_v4 = ntohl(1) == 1 ? 0xffffffff00000000U : 0x00000000ffffffffU;
const __u64 mapped_v4 = ntohl(1) == 1 ? 0x0000ffff00000000U : 0x00000000ffff0000U;

// Packets of one class, one direction and one IP version, told by key and mask.
struct Part {
    hw_shape shape;
    hw_key key;
    bool ipv4 = false;
    bool mirrored = false;  // as the other side has it that is asked first: see mirror()
    int halvings = 0;
};

// The same packets for the sender on lo, or for this namespace, whose rules come first, whatever their rank: before the
// receiver's, and before those for a subject at the device's peer. Of which cgroup they are there is not known.
Part mirror(Part part)
{
    auto& [shape, key, ipv4, mirrored, halvings] = part;
    mirrored = true;
    shape.peer = 0;
    shape.directions = shape.directions == 1U << HW_OUT ? 1U << HW_IN : 1U << HW_OUT;
    for (auto* fields : {&key, &shape.mask}) {
        std::swap(fields->local, fields->remote);
        if (shape.classes != 1U << HW_FRAME) std::swap(fields->local_port, fields->remote_port);  // else an EtherType
        fields->cgroup = 0;
    }
    shape.cgroup_level = 0;
    const unsigned classes = shape.port_classes;
    shape.port_classes = static_cast<__u8>((classes & HW_CLASS_OF_LOCAL_PORT ? HW_CLASS_OF_REMOTE_PORT : 0) |
                                           (classes & HW_CLASS_OF_REMOTE_PORT ? HW_CLASS_OF_LOCAL_PORT : 0));
    return part;
}

bool has_version(const Part& part)
{
    return (part.shape.classes & (1U << HW_FRAME | 1U << HW_ARP)) == 0;
}

bool contradicts_v4(const __u64 (&address)[2], const __u64 (&mask)[2])
{
    return (address[0] & mask[0]) != 0 || ((address[1] ^ mapped_v4) & mask[1] & before_v4) != 0;
}

void fix_v4(__u64 (&address)[2], __u64 (&mask)[2])
{
    mask[0] = ~0ULL;
    mask[1] |= before_v4;
    address[1] |= mapped_v4;
}

bool is_v4(const __u64 (&address)[2], const __u64 (&mask)[2])
{
    return mask[0] == ~0ULL && (mask[1] & before_v4) == before_v4 && !contradicts_v4(address, mask);
}

// No packet has ports whose protocol has none.
bool is_void(const Part& part)
{
    const auto& mask = part.shape.mask;
    const bool ports = (mask.local_port | mask.remote_port | part.shape.port_classes) != 0;
    return ports && mask.protocol != 0 && part.shape.classes == 1U << HW_ORDINARY && !carries_ports(part.key.protocol);
}

// The parts of an entry: by class, direction and IP version.
std::vector<Part> parts_of(const SelectorEntry& entry)
{
    std::vector<Part> out;
    const auto put = [&out](Part part) {
        auto& mask = part.shape.mask;
        if (!has_version(part)) return out.push_back(part);
        const bool v4_only = is_v4(part.key.local, mask.local) || is_v4(part.key.remote, mask.remote);
        const bool v6_only = part.shape.ipv6_only != 0 || contradicts_v4(part.key.local, mask.local) ||
                             contradicts_v4(part.key.remote, mask.remote) ||
                             (part.shape.classes & (1U << HW_ND | 1U << HW_HEADLESS)) != 0;
        if (!v4_only) out.push_back(part);
        if (v6_only) return;
        part.ipv4 = true;
        fix_v4(part.key.local, mask.local);
        fix_v4(part.key.remote, mask.remote);
        out.push_back(part);
    };
    for (unsigned number = 0; number < 8; ++number)
        for (const auto direction : {HW_OUT, HW_IN}) {
            Part part{entry.shape, entry.key};
            part.shape.classes &= static_cast<__u8>(1U << number);
            part.shape.directions &= static_cast<__u8>(1U << direction);
            if (part.shape.classes != 0 && part.shape.directions != 0 && !is_void(part)) put(part);
        }
    return out;
}

class Search {
public:
    Search(const RuleSpace& space, const RuleRecord& record, const hw_rule& own)
        : space_(space), record_(record), own_(own)
    {
    }

    // Whether better rules take all of the part; they are in found() then.
    Result<bool> is_hidden(const Part& part)
    {
        Best best;
        for (const auto& shape : space_.shapes) {
            if (shape.max_rank <= floor_of(part)) break;  // highest first
            if (!looks_at_no_more(shape, part)) continue;
            HW_TRY(const auto better, best_in(shape, part));
            best.for_good = best.for_good || better.for_good;
            if (better.rank > best.rank) std::tie(best.id, best.rank) = std::pair(better.id, better.rank);
        }
        if (best.id != 0) {
            note(best, part.mirrored);
            return true;
        }
        const auto before = found_;
        HW_TRY(const bool everywhere, hidden_at_each_device(part));
        if (everywhere) return true;
        found_ = before;
        HW_TRY(const bool halves, hidden_by_halves(part));
        if (halves || !is_asked_second(part)) return halves;
        found_ = before;
        return is_hidden(mirror(part));
    }

    const Hidden& found() const { return found_; }

private:
    struct Best {
        std::uint32_t id = 0;  // of highest rank; 0: there is none
        __u64 rank = 0;
        bool for_good = false;  // one of them hides the part for good
    };

    void note(const Best& best, bool mirrored)
    {
        if (found_.by.empty() || found_.by.back() != best.id) found_.by.push_back(best.id);
        found_.for_good = found_.for_good && best.for_good;
        found_.by_other_side = found_.by_other_side || mirrored;
        found_.top_rank = std::max<std::uint64_t>(found_.top_rank, best.rank);
    }

    // The rank that a rule must be above.
    __u64 floor_of(const Part& part) const { return part.mirrored ? 0 : own_.rank; }

    bool is_asked_second(const Part& part) const
    {
        if (part.mirrored || part.shape.mask.device == 0) return false;
        const bool received_on_lo =
            (space_.devices[part.key.device - 1U].flags & HW_DEVICE_LOOPBACK) && part.shape.directions == 1U << HW_IN;
        return part.shape.peer != 0 || received_on_lo;
    }

    // Whether the shape is for all of the part, and masks nothing that the part leaves open.
    bool looks_at_no_more(const hw_shape& shape, const Part& part) const
    {
        return looks_at_no_more_but_addresses(shape, part) && closes(part.shape.mask.local, shape.mask.local) &&
               closes(part.shape.mask.remote, shape.mask.remote);
    }

    static bool closes(const __u64 (&part)[2], const __u64 (&shape)[2])
    {
        return (shape[0] & ~part[0]) == 0 && (shape[1] & ~part[1]) == 0;
    }

    bool looks_at_no_more_but_addresses(const hw_shape& shape, const Part& part) const
    {
        const auto& mask = part.shape.mask;
        const auto port_is_closed = [&](hw_class_of end, __u16 by_shape, __u16 by_part) {
            if (shape.port_classes & end) return (part.shape.port_classes & end) != 0 || by_part != 0;
            return (by_shape & ~by_part) == 0;
        };
        return (shape.directions & part.shape.directions) && (shape.classes & part.shape.classes) &&
               shape.peer == part.shape.peer && !(shape.ipv6_only && part.ipv4) &&
               shape.cgroup_level <= part.shape.cgroup_level && (shape.mask.protocol & ~mask.protocol) == 0 &&
               port_is_closed(HW_CLASS_OF_LOCAL_PORT, shape.mask.local_port, mask.local_port) &&
               port_is_closed(HW_CLASS_OF_REMOTE_PORT, shape.mask.remote_port, mask.remote_port) &&
               is_at_its_devices(shape, part);
    }

    bool is_at_its_devices(const hw_shape& shape, const Part& part) const
    {
        if (part.shape.mask.device != 0) return is_default(shape, space_.devices[part.key.device - 1U].flags);
        const auto here = shape.default_devices, there = part.shape.default_devices;
        return shape.mask.device == 0 &&
               (here == HW_DEFAULTS_NO || here == there || (here == HW_DEFAULTS_ALL && there == HW_DEFAULTS_NOT_LO));
    }

    static bool is_default(const hw_shape& shape, unsigned flags)
    {
        if (shape.default_devices == HW_DEFAULTS_NO) return true;
        return (flags & HW_DEVICE_DEFAULT) &&
               (shape.default_devices != HW_DEFAULTS_NOT_LO || !(flags & HW_DEVICE_LOOPBACK));
    }

    // The key under which all packets of the part look for rules of the shape, without the shape's id.
    hw_key key_in(const hw_shape& shape, const Part& part) const
    {
        hw_key out{};
        if (shape.cgroup_level != 0) out.cgroup = ancestor(part.key.cgroup, shape.cgroup_level - 1U);
        for (int i = 0; i < 2; ++i) {
            out.local[i] = part.key.local[i] & shape.mask.local[i];
            out.remote[i] = part.key.remote[i] & shape.mask.remote[i];
        }
        const auto port = [&](hw_class_of end, __u16 key, __u16 mask) -> __u16 {
            if (!(shape.port_classes & end)) return key & mask;
            return part.shape.port_classes & end ? key : space_.ports[ntohs(key)];
        };
        out.local_port = port(HW_CLASS_OF_LOCAL_PORT, part.key.local_port, shape.mask.local_port);
        out.remote_port = port(HW_CLASS_OF_REMOTE_PORT, part.key.remote_port, shape.mask.remote_port);
        out.device = part.key.device & shape.mask.device;
        out.protocol = part.key.protocol & shape.mask.protocol;
        return out;
    }

    std::uint64_t ancestor(std::uint64_t id, unsigned level) const
    {
        const auto own = std::ranges::find(record_.cgroups, id, &Cgroup::id);
        if (own == record_.cgroups.end()) return 0;
        return own->level == level ? id : space_.ancestor(*own, level);
    }

    // The rules in this shape that hide the part.
    Result<Best> best_in(const hw_shape& shape, const Part& part)
    {
        auto key = key_in(shape, part);
        const auto bit = hw_filter_bit(&key);
        if (!(shape.filter[bit / 64] >> bit % 64 & 1)) return Best{};
        key.shape = shape.id;
        const auto [known, is_new] = best_[part.mirrored].try_emplace(key);
        if (is_new) {
            HW_TRY(known->second, best_of(key, floor_of(part)));
        }
        return known->second;
    }

    Result<Best> best_of(const hw_key& key, __u64 floor) const
    {
        HW_TRY(const auto entry, space_.entry(key));
        Best out;
        for (const auto id : entry ? std::span<const __u32>(entry->rules) : std::span<const __u32>()) {
            if (id == 0 || id == record_.id) continue;
            HW_TRY(const auto rule, space_.rule(id));
            if (!rule || rule->rank <= floor || !takes_all(*rule)) continue;
            HW_TRY(const bool on, space_.is_on(*rule));
            if (!on) continue;
            out.for_good = out.for_good || stays(*rule);
            if (rule->rank > out.rank) std::tie(out.id, out.rank) = std::pair(id, rule->rank);
        }
        return out;
    }

    // Whether it takes each packet that both select, while it is on, if it is asked first.
    bool takes_all(const hw_rule& rule) const
    {
        const bool flows =
            rule.flows == 0 || (own_.flows != 0 && rule.flow_seed == own_.flow_seed && rule.flows >= own_.flows);
        return rule.state != own_.state && flows && hw_in_version(&rule, space_.version) && rule.flap_period == 0 &&
               rule.hours.days == 0;
    }

    bool stays(const hw_rule& rule) const
    {
        const bool longer = rule.deadline == 0 || (own_.deadline != 0 && rule.deadline >= own_.deadline);
        return longer && rule.leased == 0 && rule.stoppable == 0;
    }

    // Devices that a part leaves open may each be another rule's.
    Result<bool> hidden_at_each_device(const Part& part)
    {
        const bool by_device = std::ranges::any_of(
            space_.shapes, [](const auto& shape) { return shape.mask.device != 0 || shape.default_devices != 0; });
        if (part.shape.mask.device != 0 || !by_device) return false;
        bool any = false;
        for (std::size_t slot = 0; slot < space_.devices.size(); ++slot) {
            const auto& device = space_.devices[slot];
            if (device.ifindex == 0 || !is_default(part.shape, device.flags) ||
                (part.shape.peer && !(device.flags & HW_DEVICE_PEER)))
                continue;
            auto there = part;
            there.shape.default_devices = HW_DEFAULTS_NO;
            there.shape.mask.device = 0xffff;
            there.key.device = static_cast<__u16>(slot + 1);
            HW_TRY(const bool hidden, is_hidden(there));
            if (!hidden) return false;
            any = true;
        }
        return any;
    }

    // The number of bits that the shape looks at and the part leaves open.
    static int open_bits(const __u64 (&part)[2], const __u64 (&shape)[2])
    {
        return std::popcount(shape[0] & ~part[0]) + std::popcount(shape[1] & ~part[1]);
    }

    // Halves of a prefix may each be another entry's, if so many halvings lead to one.
    Result<bool> hidden_by_halves(const Part& part)
    {
        const auto& mask = part.shape.mask;
        bool tried_local = false, tried_remote = false;
        for (const auto& shape : space_.shapes) {
            if (shape.max_rank <= floor_of(part) || !looks_at_no_more_but_addresses(shape, part)) continue;
            const int local = open_bits(mask.local, shape.mask.local),
                      remote = open_bits(mask.remote, shape.mask.remote);
            if (local + remote == 0 || local + remote > most_halvings - part.halvings) continue;
            auto& tried = local != 0 ? tried_local : tried_remote;
            if (std::exchange(tried, true)) continue;
            const auto field = local != 0 ? &hw_key::local : &hw_key::remote;
            const auto before = found_;
            HW_TRY(const bool lower, is_half_hidden(part, field, false));
            HW_TRY(const bool both, lower ? is_half_hidden(part, field, true) : Result<bool>(false));
            if (both) return true;
            found_ = before;
        }
        return false;
    }

    Result<bool> is_half_hidden(const Part& part, __u64 (hw_key::*field)[2], bool upper)
    {
        auto half = part;
        ++half.halvings;
        auto* mask = reinterpret_cast<unsigned char*>(&(half.shape.mask.*field));
        auto* address = reinterpret_cast<unsigned char*>(&(half.key.*field));
        std::size_t byte = 0;
        while (mask[byte] == 0xff) ++byte;
        const auto bit = 0x80U >> std::countl_one(mask[byte]);
        mask[byte] = static_cast<unsigned char>(mask[byte] | bit);
        if (upper) address[byte] = static_cast<unsigned char>(address[byte] | bit);
        return is_hidden(half);
    }

    struct KeyLess {
        bool operator()(const hw_key& a, const hw_key& b) const { return std::memcmp(&a, &b, sizeof(a)) < 0; }
    };
    const RuleSpace& space_;
    const RuleRecord& record_;
    const hw_rule& own_;
    Hidden found_;
    std::map<hw_key, Best, KeyLess> best_[2];  // what best_of() said; [1]: of mirrored parts
};

}  // namespace

Result<std::optional<Hidden>> find_hiding_rules(const RuleSpace& space, const RuleRecord& record)
{
    HW_TRY(const auto own, space.rule(record.id));
    if (!own) return std::nullopt;
    HW_TRY(const auto entries, compile_selector(record.rule, record.resolved(), space.ports.first<HW_PORTS>()));
    if (entries.empty() ||
        std::ranges::any_of(record.devices, [](const auto& device) { return device.slot >= HW_MAX_DEVICES; }))
        return std::nullopt;
    Search search(space, record, *own);
    for (const auto& entry : entries)
        for (const auto& part : parts_of(entry)) {
            HW_TRY(const bool hidden, search.is_hidden(part));
            if (!hidden) return std::nullopt;
        }
    auto out = search.found();
    if (out.by.empty()) return std::nullopt;  // it selects no packet at all
    std::ranges::sort(out.by);
    out.by.erase(std::unique(out.by.begin(), out.by.end()), out.by.end());
    return out;
}

}  // namespace headwind

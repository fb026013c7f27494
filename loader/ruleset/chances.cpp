// SPDX-License-Identifier: MIT
// Writes laws, sequences and lists of losses, and erases them.
#include "ruleset/chances.h"

#include <sys/random.h>

#include <map>

#include "ruleset/compile.h"

namespace headwind {
namespace {

// Puts the law there for one more rule.
Status share_law(const Instance& instance, hw_law law)
{
    const auto key = key_of(law);
    HW_TRY(const auto present, instance.laws.find(key));
    law.users = present ? present->users + 1 : 1;
    return present ? instance.laws.rewrite(key, law) : instance.laws.put(key, law);
}

// Leaves it there for so many rules.
Status leave_law(const Instance& instance, __u64 key, __u32 users)
{
    HW_TRY(auto law, instance.laws.find(key));
    if (!law || law->users == users) return {};
    if (users == 0) return instance.laws.erase(key);
    law->users = users;
    return instance.laws.rewrite(key, *law);
}

Status release_law(const Instance& instance, std::uint32_t id)
{
    HW_TRY(const auto rule, instance.rules.find(id));
    if (!rule || rule->impairment.law == 0) return {};
    HW_TRY(const auto law, instance.laws.find(rule->impairment.law));
    return law ? leave_law(instance, rule->impairment.law, law->users - 1) : Status{};
}

// What befalls the rule's packets one after the other. Another rule has another seed, unless it says one.
Status write_sequence(const Instance& instance, const RuleRecord& record)
{
    std::uint64_t seed = record.rule.impairment.seed;
    if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) return fail_errno(errno, "get a random number");
    return instance.sequences.put(record.id, compile_sequence(record.rule.impairment, seed));
}

Status write_list(const Instance& instance, const RuleRecord& record)
{
    const auto blocks = compile_list(record.rule.impairment.lost_packets);
    if (!blocks.empty() && instance.lists.keys().size() + blocks.size() > HW_LIST_BLOCKS)
        return fail(ErrorKind::usage,
                    "--loss-pattern {}: with the lists of this namespace's other rules it has losses among more than "
                    "{} packets: use a shorter list, or delete one of these rules",
                    record.rule.impairment.loss_pattern, HW_LIST_BLOCKS * HW_LIST_BLOCK);
    for (const auto& [number, block] : blocks) HW_CHECK(instance.lists.put({record.id, number}, block));
    return {};
}

}  // namespace

Status write_chances(const Instance& instance, const RuleRecord& record, const std::optional<hw_law>& law)
{
    if (law) HW_CHECK(share_law(instance, *law));
    if (!has_sequence(record.rule.impairment)) return {};
    HW_CHECK(write_list(instance, record));
    return write_sequence(instance, record);
}

Status erase_chances(const Instance& instance, const RuleRecord& record)
{
    HW_CHECK(release_law(instance, record.id));
    for (const auto& [number, block] : compile_list(record.rule.impairment.lost_packets))
        HW_CHECK(instance.lists.erase({record.id, number}));
    return instance.sequences.erase(record.id);
}

Status repair_chances(const Instance& instance, const std::set<std::uint32_t>& alive)
{
    std::map<__u64, __u32> users;  // of laws
    for (const auto id : alive) {
        HW_TRY(const auto rule, instance.rules.find(id));
        if (rule && rule->impairment.law != 0) ++users[rule->impairment.law];
    }
    for (const auto key : instance.laws.keys()) HW_CHECK(leave_law(instance, key, users[key]));
    for (const auto id : instance.sequences.keys())
        if (!alive.contains(id)) HW_CHECK(instance.sequences.erase(id));
    for (const auto& key : instance.lists.keys())
        if (!alive.contains(key.rule)) HW_CHECK(instance.lists.erase(key));
    return {};
}

}  // namespace headwind

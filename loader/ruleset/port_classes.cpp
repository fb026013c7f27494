// SPDX-License-Identifier: MIT
// Splits and joins classes of ports, and finds which entries of rules that stay come and go with them.
#include "ruleset/port_classes.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include <headwind/index.h>

namespace headwind {
namespace {

template <class Visit>
void each_port(const std::vector<PortRange>& ports, const Visit& visit)
{
    for (const auto& range : ports)
        for (unsigned port = range.first; port <= range.last; ++port) visit(port);
}

// Classes that only rules told apart that are gone are joined after as many removals as there are rules with ranges,
// and not before this many: as the filters are made exact (shapes.cpp).
constexpr std::uint32_t least_stale_classes = 64;

bool has_port_classes(const RuleRecord& record)
{
    return has_classes(record.rule.selector);
}

std::vector<std::vector<PortRange>> all_port_lists(const std::vector<RuleRecord>& records)
{
    std::vector<std::vector<PortRange>> out;
    for (const auto& record : records)
        for (auto& ports : port_lists(record.rule.selector)) out.push_back(std::move(ports));
    return out;
}

// The rules that have ports whose class is another one afterwards.
Entries with_changed_ports(const Entries& rules, PortTable before, PortTable after)
{
    const ChangedPorts changed(before, after);
    return rules.where([&](const RuleRef& rule) {
        const auto& [first, last] = rule.rest().ports;
        return changed.any_within(first, last);
    });
}

bool key_less(const SelectorEntry& a, const SelectorEntry& b)
{
    const auto shapes = std::memcmp(&a.shape, &b.shape, sizeof(a.shape));
    return shapes != 0 ? shapes < 0 : std::memcmp(&a.key, &b.key, sizeof(a.key)) < 0;
}

// Adds to `out` the first one's entries that the second one, the same rule with other classes, does not have.
void add_difference(const CompiledRule& a, const CompiledRule& b, std::vector<CompiledRule>& out)
{
    CompiledRule only{a.record, {}, a.rank, true};
    std::set_difference(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(),
                        std::back_inserter(only.entries), key_less);
    if (!only.entries.empty()) out.push_back(std::move(only));
}

Status compare_entries(PortChange& change, PortTable before, PortTable after)
{
    HW_TRY(auto old_rules, compile_all(change.reclassified, before));
    HW_TRY(auto new_rules, compile_all(change.reclassified, after));
    for (std::size_t i = 0; i < new_rules.size(); ++i) {
        std::sort(old_rules[i].entries.begin(), old_rules[i].entries.end(), key_less);
        std::sort(new_rules[i].entries.begin(), new_rules[i].entries.end(), key_less);
        add_difference(new_rules[i], old_rules[i], change.gain);
        add_difference(old_rules[i], new_rules[i], change.loss);
    }
    return {};
}

}  // namespace

PortClasses::PortClasses() : PortClasses(PortTable(std::vector<__u16>(HW_PORTS)))
{
}

PortClasses::PortClasses(PortTable in_force)
    : table_(in_force.begin(), in_force.end()), sizes_(HW_PORTS), taken_(HW_PORTS), within_(HW_PORTS), into_(HW_PORTS)
{
    for (const auto number : table_) {
        ++sizes_[number];
        taken_[number] = true;
    }
}

bool PortClasses::take_number(unsigned& number)
{
    while (lowest_ < HW_PORTS && taken_[lowest_]) ++lowest_;
    number = lowest_;
    if (number < HW_PORTS) taken_[number] = true;
    return number < HW_PORTS;
}

Status PortClasses::split(const std::vector<PortRange>& ports)
{
    std::vector<__u16> touched;
    each_port(ports, [&](unsigned port) {
        const auto number = table_[port];
        if (within_[number]++ == 0) touched.push_back(number);
    });
    for (const auto number : touched) {
        unsigned into = number;
        if ((number == 0 || within_[number] != sizes_[number]) && !take_number(into))
            return fail(ErrorKind::failed, "the port ranges of all rules tell too many ports apart: delete some rules");
        into_[number] = static_cast<__u16>(into);
        const auto moved = std::exchange(within_[number], 0);
        sizes_[number] -= moved;
        sizes_[into] += moved;
    }
    each_port(ports, [&](unsigned port) { table_[port] = into_[table_[port]]; });
    return {};
}

Status PortClasses::join(const std::vector<std::vector<PortRange>>& lists)
{
    PortClasses coarsest;
    for (const auto& ports : lists) HW_CHECK(coarsest.split(ports));
    std::vector<__u16> into(HW_PORTS);  // by coarsest class: the class of its first port
    for (unsigned port = 0; port < HW_PORTS; ++port) {
        auto& number = into[coarsest.table_[port]];
        if (coarsest.table_[port] != 0 && number == 0) number = table_[port];
        --sizes_[table_[port]];
        ++sizes_[number];
        table_[port] = number;
    }
    return {};
}

ChangedPorts::ChangedPorts(PortTable before, PortTable after) : sums_(HW_PORTS + 1)
{
    for (unsigned port = 0; port < HW_PORTS; ++port)
        sums_[port + 1] = sums_[port] + (before[port] != 0 && before[port] != after[port] ? 1 : 0);
}

PortTable classes_in_force(const Instance& instance)
{
    const auto& table = instance.control->tables[instance.control->version & 1];
    return PortTable(instance.port_classes->of[table.port_classes & 1]);
}

Result<PortChange> change_ports(const Instance& instance, const std::vector<RuleRecord>& add,
                                const std::vector<RuleRecord>& remove, const Entries& stay)
{
    PortChange out;
    const auto& table = instance.control->tables[instance.control->version & 1];
    const auto staying = stay.with(HW_INDEX_RANGES);
    const auto gone = static_cast<std::uint32_t>(std::count_if(remove.begin(), remove.end(), has_port_classes));
    const bool any_new = std::any_of(add.begin(), add.end(), has_port_classes);
    if (!staying.empty()) out.stale = table.stale_classes + gone;
    const bool joins = out.stale > std::max<std::size_t>(staying.size(), least_stale_classes);
    if (!any_new && !joins) return out;

    const auto before = classes_in_force(instance);
    auto classes = staying.empty() ? PortClasses() : PortClasses(before);
    if (joins) {
        out.stale = 0;
        HW_TRY(const auto records, read_records(instance, staying));
        HW_CHECK(classes.join(all_port_lists(records)));
    }
    for (const auto& ports : all_port_lists(add)) HW_CHECK(classes.split(ports));
    if (std::ranges::equal(before, classes.table())) return out;
    HW_TRY(out.reclassified, read_records(instance, with_changed_ports(staying, before, classes.table())));
    HW_CHECK(compare_entries(out, before, classes.table()));
    out.classes = std::move(classes);
    return out;
}

}  // namespace headwind

// SPDX-License-Identifier: MIT
// Tests that classes of ports tell apart what rules tell apart, and nothing else, whatever comes and goes.
#include "ruleset/port_classes.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace headwind::port_classes_test {
namespace {

using Ports = std::vector<PortRange>;

using Lists = std::vector<Ports>;

// Which lists have the port, by port: bit 1 << place of each.
std::vector<std::uint64_t> owners(const Lists& lists)
{
    std::vector<std::uint64_t> out(HW_PORTS);
    for (std::size_t i = 0; i < lists.size(); ++i)
        for (const auto& range : lists[i])
            for (unsigned port = range.first; port <= range.last; ++port) out[port] |= 1ULL << i;
    return out;
}

Ports parsed(const std::string& text)
{
    const auto ports = parse_ports(text);
    EXPECT_TRUE(ports) << text;
    return ports ? *ports : Ports{};
}

// Requires that the classes of a list are of its ports and of no others.
void expect_exact(const Ports& ports, PortTable table)
{
    const auto classes = classes_of(ports, table);
    std::vector<bool> is_one(HW_PORTS);
    for (const auto number : classes) {
        EXPECT_FALSE(is_one[number]) << "each once";
        is_one[number] = true;
    }
    EXPECT_FALSE(is_one[0]);
    const auto has = owners({ports});
    for (unsigned port = 0; port < HW_PORTS; ++port)
        if (is_one[table[port]] != (has[port] != 0)) FAIL() << format_ports(ports) << ": port " << port;
}

// The number of classes if ports are told apart only where a list has one and not the other.
std::size_t fewest(const Lists& lists)
{
    const auto has = owners(lists);
    const std::set<std::uint64_t> kinds(has.begin(), has.end());
    return kinds.size() - kinds.count(0);
}

std::size_t count(PortTable table)
{
    const std::set<unsigned> numbers(table.begin(), table.end());
    return numbers.size() - numbers.count(0);
}

TEST(PortClasses, FewPortsHaveNone)
{
    EXPECT_FALSE(has_classes(Ports{}));
    EXPECT_FALSE(has_classes(parsed("80")));
    EXPECT_FALSE(has_classes(parsed("1-4,10,12,14,65535")));
    EXPECT_TRUE(has_classes(parsed("1-4,10,12,14,16,65535")));
    EXPECT_TRUE(has_classes(parsed("1-65535")));
}

TEST(PortClasses, OfOneListAreOne)
{
    for (const auto* text : {"50000-60000", "1-65535", "1-9", "65527-65535", "1,3,5,7,9,11,13,15,65535"}) {
        PortClasses classes;
        ASSERT_TRUE(classes.split(parsed(text)));
        EXPECT_EQ(classes_of(parsed(text), classes.table()).size(), 1U) << text;
        expect_exact(parsed(text), classes.table());
        EXPECT_EQ(classes.table()[0], 0) << "packets without ports";
    }
}

TEST(PortClasses, AreSplitOnlyWhereListsDiffer)
{
    PortClasses classes;
    ASSERT_TRUE(classes.split(parsed("1000-1999")));
    const std::vector<__u16> before(classes.table().begin(), classes.table().end());
    ASSERT_TRUE(classes.split(parsed("1000-1999")));
    EXPECT_TRUE(std::ranges::equal(before, classes.table())) << "the same again";
    ASSERT_TRUE(classes.split(parsed("3000-3999")));
    EXPECT_FALSE(ChangedPorts(PortTable(before), classes.table()).any_within(1, 65535)) << "disjoint";
    ASSERT_TRUE(classes.split(parsed("1999-3000")));
    const ChangedPorts changed(PortTable(before), classes.table());
    EXPECT_TRUE(changed.any_within(1999, 1999));
    EXPECT_FALSE(changed.any_within(1, 1998)) << "the rest keeps its number";
    EXPECT_FALSE(changed.any_within(2000, 65535)) << "was in no class before";
    EXPECT_EQ(count(classes.table()), 5U);
}

// All 65,535 ports one by one, and then there is nothing left to tell apart.
TEST(PortClasses, SufficeForEveryPort)
{
    PortClasses classes;
    for (unsigned bit = 0; bit < 16; ++bit) {
        Ports ports;
        for (unsigned port = 1; port < HW_PORTS; ++port)
            if (port >> bit & 1) ports.push_back({static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(port)});
        ASSERT_TRUE(classes.split(ports)) << bit;
    }
    EXPECT_EQ(count(classes.table()), HW_PORTS - 1U);
    EXPECT_TRUE(classes.split(parsed("7-7777")));
}

class Random {
public:
    explicit Random(unsigned seed) : random_(seed) {}
    unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
    Ports ports()
    {
        std::string text;
        for (unsigned i = 1 + below(4); i > 0; --i) {
            const auto a = edge(), b = edge();
            text += fmt::format("{}{}-{}", text.empty() ? "" : ",", std::min(a, b), std::max(a, b));
        }
        return parsed(text);
    }

private:
    unsigned edge()
    {
        constexpr unsigned edges[] = {1, 2, 65534, 65535, 1023, 1024, 50000, 60000};
        return below(2) ? edges[below(std::size(edges))] : 1 + below(65535);
    }
    std::mt19937 random_;
};

// A number stands for ports that the rules that stay do not tell apart, in the version before and in the next one.
void expect_numbers_stay_right(const Lists& staying, PortTable before, PortTable after)
{
    const auto has = owners(staying);
    std::map<unsigned, std::uint64_t> kinds;  // by number
    for (unsigned port = 1; port < HW_PORTS; ++port)
        for (const unsigned number : {before[port], after[port]})
            if (number != 0 && kinds.try_emplace(number, has[port]).first->second != has[port])
                FAIL() << "class " << number << ", port " << port;
}

// As transactions do it: each version begins with the table of the one before.
TEST(PortClasses, AreExactWhateverComesAndGoes)
{
    for (unsigned seed = 0; seed < 10; ++seed) {
        Random random(seed);
        Lists lists;
        std::vector<__u16> in_force(HW_PORTS);
        for (unsigned step = 0; step < 20; ++step) {
            auto next = PortClasses(PortTable(in_force));
            if (lists.size() > 3 && random.below(2) == 0)
                lists.erase(lists.begin() + random.below(static_cast<unsigned>(lists.size())));
            const auto staying = lists;
            const bool joins = random.below(4) == 0;
            if (joins) {
                ASSERT_TRUE(next.join(lists));
                EXPECT_EQ(count(next.table()), fewest(lists));
            }
            lists.push_back(random.ports());
            ASSERT_TRUE(next.split(lists.back()));
            if (joins) {
                EXPECT_EQ(count(next.table()), fewest(lists));
            }
            for (const auto& ports : lists) expect_exact(ports, next.table());
            expect_numbers_stay_right(staying, PortTable(in_force), next.table());
            std::ranges::copy(next.table(), in_force.begin());
            if (HasFailure()) FAIL() << "seed " << seed << ", step " << step;
        }
    }
}

}  // namespace
}  // namespace headwind::port_classes_test

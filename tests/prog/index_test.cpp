// SPDX-License-Identifier: MIT
// Tests that the index of rules agrees with the kernel's maps.
//
// It does so for each rule, whatever was added, changed, removed or left by a killed command.
#include <algorithm>
#include <bit>
#include <map>
#include <random>
#include <stdexcept>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "packets.h"
#include "prog_run.h"
#include "ruleset/index.h"
#include "ruleset/transaction.h"

namespace headwind::prog::index_test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

const hw_shape_table& table_of(Datapath& datapath)
{
    return datapath.control().tables[datapath.control().version & 1];
}

// The shapes that each rule has an entry in, as bits 1 << hw_shape.id.
std::map<std::uint32_t, std::uint64_t> shapes_in_kernel(Datapath& datapath)
{
    std::map<std::uint32_t, std::uint64_t> out;  // by rule
    const auto entries = datapath.instance().entries.items();
    EXPECT_TRUE(entries);
    for (const auto& [key, entry] : *entries)
        for (const auto id : entry.rules)
            if (id != 0) out[id] |= 1ULL << key.shape;
    return out;
}

void expect_as_in_kernel(Datapath& datapath)
{
    auto& instance = datapath.instance();
    const auto version = datapath.control().version;
    const auto shapes = shapes_in_kernel(datapath);
    const auto rules = instance.rules.items();
    ASSERT_TRUE(rules);
    const auto entries = entries_in_force(instance);
    EXPECT_EQ(entries.size(), rules->size());
    for (const auto& entry : entries) {
        const auto rule =
            std::find_if(rules->begin(), rules->end(), [&](const auto& r) { return r.first == entry->id; });
        ASSERT_NE(rule, rules->end()) << entry->id;
        EXPECT_TRUE(hw_in_version(&rule->second, version));
        EXPECT_EQ(entry->rank, rule->second.rank);
        EXPECT_EQ(entry->state, rule->second.state);
        EXPECT_EQ(entry->deadline, rule->second.deadline);
        EXPECT_EQ(entry->shapes, shapes.at(entry->id));
        const auto record = read_record(instance, entry->id);
        ASSERT_TRUE(record);
        EXPECT_TRUE(has_name(entry, record->rule.name));
        EXPECT_FALSE(has_name(entry, record->rule.name + "x"));
    }
    // The table of shapes agrees with the entries, too.
    const auto& table = table_of(datapath);
    for (const auto& shape : std::span(table.shapes).first(table.count)) {
        std::uint64_t top = 0;
        for (const auto& entry : entries)
            if (entry->shapes >> shape.id & 1) top = std::max<std::uint64_t>(top, entry->rank);
        EXPECT_EQ(shape.max_rank, top) << +shape.id;
        EXPECT_NE(top, 0U) << "a shape without a rule";
    }
}

std::string some_selector(std::mt19937& random)
{
    switch (random() % 6) {
        case 0: return fmt::format("--remote-port {}", 1 + random() % 60'000);
        case 1: return fmt::format("--local-port {} --proto udp,tcp", 1 + random() % 60'000);
        case 2: {
            const auto length = 10 + random() % 6;
            return fmt::format("--remote 10.{}.0.0/{}", random() & (0xff00U >> (length - 8) & 0xff), length);
        }
        case 3: return fmt::format("--remote 10.1.2.{} --priority {}", random() % 256, random() % 100);
        case 4: return fmt::format("--proto icmp --direction {}", random() % 2 == 0 ? "in" : "both");
        default: return fmt::format("--remote-port 1-{}", 2 + random() % 9);
    }
}

TEST(Index, SaysWhatTheRulesAreWhateverWasDoneToThem)
{
    std::mt19937 random(1);
    Datapath datapath;
    std::vector<std::uint32_t> ids;
    int refused = 0;
    for (int i = 0; i < 300; ++i) {
        const auto any = ids.empty() ? 0 : random() % ids.size();
        const auto line = some_selector(random) + " --loss 1%";
        const auto choice = random() % 4;
        if (ids.size() < 5 || choice == 0) {
            if (const auto id = datapath.try_add(line)) ids.push_back(*id);
        } else if (choice == 1) {
            datapath.remove(ids[any]);
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(any));
        } else {
            try {
                ids[any] = choice == 2 ? datapath.alter(ids[any], line) : datapath.replace(ids[any], line);
            } catch (const std::runtime_error&) {  // there are too many alike: refused, and undone
                ++refused;
            }
        }
        if (i % 10 == 9) expect_as_in_kernel(datapath);
        if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "after " << i;
    }
    EXPECT_GT(refused, 0);
}

// The command may be killed at any instant between the first word of the next version and the last one of the old.
TEST(Index, RepairMendsWhatAKilledCommandLeft)
{
    Datapath datapath;
    const auto stays = datapath.add("--remote-port 1 --loss 1%");
    datapath.add("--remote-port 2 --loss 1%");
    auto& instance = datapath.instance();
    const auto index = instance.index->entries.all();
    const auto next = datapath.control().version + 1;
    for (auto& entry : index)
        if (entry.id == stays) entry.died = next;  // about to be removed
    auto half = index[0];
    half.id = 77;  // about to be added
    half.born = next;
    *std::find_if(index.begin(), index.end(), [](const auto& entry) { return entry.id == 0; }) = half;
    auto orphan = hw_rule{};
    orphan.born = next;
    ASSERT_TRUE(instance.rules.put(77, orphan));
    datapath.control().dirty = 1;
    ASSERT_TRUE(repair(instance));
    expect_as_in_kernel(datapath);
    EXPECT_THAT(entries_in_force(instance), SizeIs(2));
    EXPECT_TRUE(std::none_of(index.begin(), index.end(), [](const auto& entry) { return entry.id == 77; }));
}

TEST(Index, OfRulesThatWereRetiredNothingIsLeft)
{
    Datapath datapath;
    const auto packet = packets::frame(packets::ipv4({}, packets::udp(1, 2)));
    datapath.add("--remote-port 2 --partition");
    datapath.add("--remote-port 3 --partition");
    EXPECT_EQ(datapath.out(packet), stolen);
    auto& instance = datapath.instance();
    ASSERT_TRUE(retire(instance));
    EXPECT_EQ(datapath.out(packet), next);
    EXPECT_THAT(entries_in_force(instance), IsEmpty());
    EXPECT_THAT(*load_records(instance), IsEmpty());  // as `list` finds them
    ASSERT_TRUE(repair(instance));
    for (const auto size : {instance.rules.keys().size(), instance.entries.keys().size(), instance.texts.keys().size(),
                            instance.states.keys().size()})
        EXPECT_EQ(size, 0U);
    EXPECT_TRUE(std::all_of(instance.index->entries.all().begin(), instance.index->entries.all().end(),
                            [](const auto& entry) { return entry.id == 0; }));
}

// Even if rules come and go all year, a filter has few stale bits.
TEST(Index, FiltersForgetWhatIsGone)
{
    Datapath datapath;
    datapath.add("--remote-port 1 --loss 1%");
    const auto bits = [&datapath] {
        int sum = 0;
        for (const auto word : table_of(datapath).shapes[0].filter) sum += std::popcount(word);
        return sum;
    };
    int most = 0;
    for (int i = 0; i < 150; ++i) {
        datapath.remove(datapath.add(fmt::format("--remote-port {} --loss 1%", 1000 + i)));
        most = std::max(most, bits());
    }
    EXPECT_GT(most, 10) << "the test sees nothing";
    EXPECT_LE(most, 70);
}

}  // namespace
}  // namespace headwind::prog::index_test

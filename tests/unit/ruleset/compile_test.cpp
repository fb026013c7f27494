// SPDX-License-Identifier: MIT
// Tests how rules are compiled into entries, shapes and impairments, and how they rank.
#include "ruleset/compile.h"

#include <arpa/inet.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "ruleset/port_classes.h"

namespace headwind::compile_test {
namespace {

constexpr std::uint64_t ms = 1'000'000;

RuleSpec partition()
{
    RuleSpec text;
    text.name = "r";
    text.partition = true;
    return text;
}

RuleSpec limited(const std::string& rate, std::optional<std::string> queue = {}, std::optional<std::string> delay = {})
{
    RuleSpec text;
    text.name = "r";
    text.rate = rate;
    text.queue = std::move(queue);
    text.delay = std::move(delay);
    return text;
}

Rule valid(const RuleSpec& text)
{
    const auto rule = make_rule(text);
    EXPECT_TRUE(rule) << (rule ? "" : rule.error().message);
    return rule ? *rule : Rule{};
}

// As compiled beside no other rule.
Result<std::vector<SelectorEntry>> compile_alone(const RuleSpec& text, const Resolved& resolved = {})
{
    const auto rule = valid(text);
    PortClasses classes;
    for (const auto& ports : port_lists(rule.selector)) HW_CHECK(classes.split(ports));
    return compile_selector(rule, resolved, classes.table());
}

std::vector<SelectorEntry> entries_of(const RuleSpec& text, const Resolved& resolved = {})
{
    const auto entries = compile_alone(text, resolved);
    EXPECT_TRUE(entries) << (entries ? "" : entries.error().message);
    return entries ? *entries : std::vector<SelectorEntry>{};
}

SelectorEntry only_entry(const RuleSpec& text, const Resolved& resolved = {})
{
    const auto entries = entries_of(text, resolved);
    EXPECT_EQ(entries.size(), 1U);
    return entries.empty() ? SelectorEntry{} : entries.front();
}

unsigned specificity_of(const RuleSpec& text, const Resolved& resolved = {})
{
    return specificity(entries_of(text, resolved));
}

unsigned bits_fixed(const RuleSpec& text, const Resolved& resolved = {})
{
    const auto fixed = specificity_of(text, resolved);
    EXPECT_EQ(fixed % specificity_per_bit, 0U);
    return fixed / specificity_per_bit;
}

unsigned specificity_of_ports(const std::string& ports)
{
    auto text = partition();
    text.remote_ports = {ports};
    return specificity_of(text);
}

unsigned bits_of_remote(const std::string& cidr)
{
    auto text = partition();
    text.remotes = {cidr};
    return bits_fixed(text);
}

std::vector<std::string> addresses(unsigned count)
{
    std::vector<std::string> out;
    for (unsigned i = 0; i < count; ++i) out.push_back(fmt::format("10.{}.{}.1", i / 256, i % 256));
    return out;
}

hw_impairment impairment_of(const RuleSpec& text)
{
    return compile_impairment(valid(text).impairment);
}

// ---- guards ----

TEST(Everywhere, IsAtNoDeviceInParticularAndForPartiesAtBothEnds)
{
    auto text = partition();
    text.remote_ports = {"22"};
    Resolved resolved;
    resolved.everywhere = true;
    const auto entries = entries_of(text, resolved);
    ASSERT_EQ(entries.size(), 2U);
    for (const auto& entry : entries) {
        EXPECT_EQ(entry.shape.default_devices, 0);
        EXPECT_EQ(entry.shape.mask.device, 0);
        EXPECT_EQ(entry.key.remote_port, htons(22));
    }
    EXPECT_NE(entries[0].shape.peer, entries[1].shape.peer);
    EXPECT_EQ(only_entry(text).shape.default_devices, 1);
}

// ---- rank and specificity ----

TEST(Rank, PriorityThenSpecificityThenAge)
{
    EXPECT_GT(rank(1, 0, 0xffffffff), rank(0, 600, 1));
    EXPECT_GT(rank(-999, 0, 1), rank(-1000, 600, 1));
    EXPECT_GT(rank(0, 9, 0xffffffff), rank(0, 8, 1));
    EXPECT_GT(rank(0, 8, 1), rank(0, 8, 2));
    EXPECT_GT(rank(-1000, 0, 0xfffffffe), 0U);
    EXPECT_GT(rank(1000, 0, 1), rank(999, 600, 1));
    EXPECT_GT(rank(1001, 0, ~0U), rank(1000, 1023 * specificity_per_bit, 1)) << "protections";
    EXPECT_GT(rank(-999, 0, 1), rank(-1000, 1024 * specificity_per_bit - 1, 1));
}

TEST(Specificity, CountsTheBitsThatTheUserFixed)
{
    EXPECT_EQ(bits_fixed(partition()), 0U);
    auto text = partition();
    text.protocols = {"tcp"};
    EXPECT_EQ(bits_fixed(text), 8U);
    text.remote_ports = {"80"};
    EXPECT_EQ(bits_fixed(text), 24U);
    text.local_ports = {"80"};
    EXPECT_EQ(bits_fixed(text), 40U);
    text.remotes = {"10.0.0.0/8"};
    EXPECT_EQ(bits_fixed(text), 48U);
    text.locals = {"10.0.0.1"};
    EXPECT_EQ(bits_fixed(text), 80U);
    text.devices = {"eth0"};
    EXPECT_EQ(bits_fixed(text, {{5}, {}}), 96U);
    text.cgroups = {"/a/b"};
    EXPECT_EQ(bits_fixed(text, {{5}, {{"/a/b", 77, 2}}}), 163U) << "64 bits, and 3 for the level: deeper is narrower";
    EXPECT_GT(bits_fixed(text, {{5}, {{"/a/b", 77, 2}}}), bits_fixed(text, {{5}, {{"/a", 76, 1}}}));
}

TEST(Specificity, OfPrefixes)
{
    EXPECT_EQ(bits_of_remote("0.0.0.0/0"), 0U);
    EXPECT_EQ(bits_of_remote("10.0.0.0/8"), 8U);
    EXPECT_EQ(bits_of_remote("10.0.0.1"), 32U);
    EXPECT_EQ(bits_of_remote("::/0"), 0U);
    EXPECT_EQ(bits_of_remote("2001:db8::/64"), 64U);
}

TEST(Specificity, LongIpv6PrefixesAreMoreSpecificThanShortOnes)
{
    EXPECT_EQ(bits_of_remote("2001:db8::/95"), 95U);
    EXPECT_EQ(bits_of_remote("2001:db8::/96"), 96U);
    EXPECT_EQ(bits_of_remote("2001:db8::1"), 128U);
}

TEST(Specificity, OfPortsFallsWithTheWidestRange)
{
    EXPECT_EQ(specificity_of_ports("80"), 16 * specificity_per_bit);
    EXPECT_EQ(specificity_of_ports("22,80,443,1000,1002,1004,1006,1008,1010,1012"), 16 * specificity_per_bit);
    const char* const narrower[] = {"80",          "80-81",       "80-82",       "80-87",      "80-88",  "22,8000-8100",
                                    "50000-59992", "50000-60000", "40000-65535", "1024-65535", "1-65535"};
    for (std::size_t i = 1; i < std::size(narrower); ++i)
        EXPECT_GT(specificity_of_ports(narrower[i - 1]), specificity_of_ports(narrower[i])) << narrower[i];
    EXPECT_GT(specificity_of_ports("1-65535"), specificity_of(partition())) << "than that of a rule for all packets";
}

TEST(Specificity, OfAlternativesIsTheLeast)
{
    auto text = partition();
    text.remotes = {"10.0.0.1", "192.168.0.0/16"};
    EXPECT_EQ(bits_fixed(text), 16U);
    text = partition();
    text.ports = {"80"};
    EXPECT_EQ(bits_fixed(text), 16U) << "at one end or the other";
    text = partition();
    text.protocols = {"arp"};
    EXPECT_EQ(bits_fixed(text), 8U) << "a class is a kind of protocol";
}

// ---- entries ----

constexpr int bit(hw_class packet_class)
{
    return 1 << packet_class;
}

TEST(Entries, OfARuleWithoutSelectors)
{
    const auto entry = only_entry(partition());
    EXPECT_EQ(entry.shape.default_devices, 1);
    EXPECT_EQ(entry.shape.classes, bit(HW_ORDINARY) | bit(HW_FRAME) | bit(HW_HEADLESS));
    EXPECT_EQ(entry.shape.directions, 1 << HW_OUT | 1 << HW_IN);
    EXPECT_EQ(entry.shape.cgroup_level, 0);
    const hw_key zero{};
    EXPECT_EQ(std::memcmp(&entry.shape.mask, &zero, sizeof(zero)), 0);
    EXPECT_EQ(std::memcmp(&entry.key, &zero, sizeof(zero)), 0);
}

TEST(Entries, DirectionsOfShapes)
{
    for (const auto& [word, bits] : {std::pair("out", 1 << HW_OUT), {"in", 1 << HW_IN}, {"both", 3}}) {
        auto text = partition();
        text.direction = word;
        EXPECT_EQ(only_entry(text).shape.directions, bits) << word;
    }
}

TEST(Entries, DevicesAndCgroups)
{
    auto text = partition();
    text.devices = {"a", "b"};
    text.cgroups = {"/x"};
    const auto entries = entries_of(text, {{0, 1023}, {{"/x", 0x1234567890, 3}}});
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(entries[0].key.device, 1) << "slot 0 must differ from no device";
    EXPECT_EQ(entries[1].key.device, 1024);
    for (const auto& [shape, key, ports] : entries) {
        EXPECT_EQ(shape.default_devices, 0);
        EXPECT_EQ(shape.mask.device, 0xffff);
        EXPECT_EQ(key.cgroup, 0x1234567890U);
        EXPECT_EQ(shape.mask.cgroup, ~0ULL);
        EXPECT_EQ(shape.cgroup_level, 4);
    }
}

TEST(Entries, PortsInPacketOrderAndOneShape)
{
    auto text = partition();
    text.remote_ports = {"80,8000-8002"};
    const auto entries = entries_of(text);
    ASSERT_EQ(entries.size(), 4U);
    std::set<unsigned> ports;
    for (const auto& [shape, key, fixed] : entries) {
        ports.insert(ntohs(key.remote_port));
        EXPECT_EQ(std::memcmp(&shape, &entries[0].shape, sizeof(shape)), 0);
    }
    EXPECT_EQ(ports, (std::set<unsigned>{80, 8000, 8001, 8002}));
    text.remote_ports = {"65535"};
    EXPECT_EQ(entries_of(text).size(), 1U) << "the last port does not wrap";
}

TEST(Entries, EitherEndIsTwoShapes)
{
    auto text = partition();
    text.ports = {"80-81"};
    const auto entries = entries_of(text);
    ASSERT_EQ(entries.size(), 4U);
    for (const auto& [shape, key, ports] : entries) {
        EXPECT_EQ((key.local_port == 0) + (key.remote_port == 0), 1);
        EXPECT_EQ(shape.mask.local_port, key.local_port == 0 ? 0 : 0xffff);
    }
}

TEST(Entries, OfManyPortsLookAtTheirClass)
{
    auto text = partition();
    text.remote_ports = {"22,53,50000-60000"};
    const auto one = only_entry(text);
    EXPECT_EQ(one.shape.port_classes, HW_CLASS_OF_REMOTE_PORT);
    EXPECT_EQ(one.shape.mask.remote_port, 0);
    EXPECT_EQ(one.key.remote_port, 1) << "the first class";
    text.local_ports = {"1-65535"};
    EXPECT_EQ(entries_of(text).size(), 2U) << "2 classes of local ports, one of them that of the remote ones";
    text = partition();
    text.ports = {"1-65535"};
    const auto either = entries_of(text);
    ASSERT_EQ(either.size(), 2U);
    EXPECT_EQ(either[0].shape.port_classes, HW_CLASS_OF_LOCAL_PORT);
    EXPECT_EQ(either[1].shape.port_classes, HW_CLASS_OF_REMOTE_PORT);
}

TEST(Entries, ClassesAndProtocols)
{
    for (const auto& [word, packet_class] : {std::pair("arp", HW_ARP), {"nd", HW_ND}, {"dhcp", HW_DHCP}}) {
        auto text = partition();
        text.protocols = {word};
        const auto entry = only_entry(text);
        EXPECT_EQ(entry.shape.classes, bit(packet_class)) << word;
        EXPECT_EQ(entry.shape.mask.protocol, 0);
    }
    auto text = partition();
    text.protocols = {"0,255,udp"};
    EXPECT_EQ(entries_of(text).size(), 3U);
    for (const auto& entry : entries_of(text)) EXPECT_EQ(entry.shape.mask.protocol, 0xff);
}

TEST(Entries, EtherTypes)
{
    const std::pair<const char*, std::vector<unsigned>> named[] = {
        {"0x9000", {0x9000}},       {"lldp", {0x88cc}},          {"lacp", {0x8809}}, {"llc", {HW_ETHERTYPE_LLC}},
        {"mpls", {0x8847, 0x8848}}, {"pppoe", {0x8863, 0x8864}}, {"ptp", {0x88f7}}};
    for (const auto& [word, types] : named) {
        auto text = partition();
        text.protocols = {word};
        std::vector<unsigned> compiled;
        for (const auto& entry : entries_of(text)) {
            EXPECT_EQ(entry.shape.classes, bit(HW_FRAME)) << word;
            EXPECT_EQ(entry.shape.mask.local_port, 0xffff) << word;
            compiled.push_back(ntohs(entry.key.local_port));
        }
        EXPECT_EQ(compiled, types) << word;
    }
}

// A shape takes what it looks at nothing of that may be missing.
TEST(Entries, ClassesOfSelectors)
{
    const auto classes_of = [](auto set) {
        auto text = partition();
        set(text);
        const auto all = entries_of(text);
        for (const auto& entry : all) EXPECT_EQ(entry.shape.classes, all.front().shape.classes);
        return static_cast<int>(all.front().shape.classes);
    };
    const int all = bit(HW_ORDINARY) | bit(HW_FRAME) | bit(HW_HEADLESS);
    EXPECT_EQ(classes_of([](auto& text) { text.direction = "in"; }), all);
    EXPECT_EQ(classes_of([](auto& text) { text.flows = "5%"; }), all);
    EXPECT_EQ(classes_of([](auto& text) { text.remotes = {"10.0.0.0/8"}; }), bit(HW_ORDINARY) | bit(HW_HEADLESS));
    EXPECT_EQ(classes_of([](auto& text) { text.remotes = {"0.0.0.0/0"}; }), bit(HW_ORDINARY) | bit(HW_HEADLESS));
    EXPECT_EQ(classes_of([](auto& text) { text.locals = {"::/0"}; }), bit(HW_ORDINARY) | bit(HW_HEADLESS));
    EXPECT_EQ(classes_of([](auto& text) { text.protocols = {"udp"}; }), bit(HW_ORDINARY));
    EXPECT_EQ(classes_of([](auto& text) { text.protocols = {"0"}; }), bit(HW_ORDINARY));
    EXPECT_EQ(classes_of([](auto& text) { text.ports = {"80"}; }), bit(HW_ORDINARY));
}

// Only then the datapath remembers fragments.
TEST(Entries, TellWhetherTheTransportCounts)
{
    const auto looks = [](auto set, const Resolved& resolved = {}) {
        auto text = partition();
        set(text);
        return looks_at_transport(entries_of(text, resolved).front().shape);
    };
    EXPECT_TRUE(looks([](auto& text) { text.ports = {"80"}; }));
    EXPECT_TRUE(looks([](auto& text) { text.local_ports = {"80"}; }));
    EXPECT_TRUE(looks([](auto& text) { text.remote_ports = {"80"}; }));
    EXPECT_TRUE(looks([](auto& text) { text.protocols = {"dhcp"}; }));
    EXPECT_FALSE(looks([](auto&) {}));
    EXPECT_FALSE(looks([](auto& text) { text.protocols = {"udp"}; }));
    EXPECT_FALSE(looks([](auto& text) { text.protocols = {"lldp"}; }));
    EXPECT_FALSE(looks([](auto& text) { text.remotes = {"10.0.0.1"}; }));
    Resolved cgroup;
    cgroup.cgroups = {{"/a", 7, 1}};
    EXPECT_FALSE(looks([](auto& text) { text.direction = "out"; }, cgroup)) << "the sender's is the packet's own";
    EXPECT_TRUE(looks([](auto& text) { text.direction = "in"; }, cgroup)) << "the receiver's is found by its port";
}

TEST(Entries, AddressesAndShortIpv6Prefixes)
{
    auto text = partition();
    text.remotes = {"192.0.2.0/24"};
    const auto v4 = only_entry(text);
    const std::uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0};
    EXPECT_EQ(std::memcmp(v4.key.remote, address, 16), 0);
    EXPECT_EQ(std::popcount(v4.shape.mask.remote[0]) + std::popcount(v4.shape.mask.remote[1]), 96 + 24);
    EXPECT_EQ(v4.shape.ipv6_only, 0);
    for (const auto& [prefix, only] : {std::pair("::/0", 1), {"2001:db8::/32", 1}, {"::/95", 1}, {"2001:db8::1", 0}}) {
        text.remotes = {prefix};
        EXPECT_EQ(only_entry(text).shape.ipv6_only, only) << prefix;
    }
}

TEST(Entries, AreTheCrossProduct)
{
    auto text = partition();
    text.protocols = {"tcp,udp"};
    text.remotes = {"10.0.0.1", "10.0.0.2", "10.1.0.0/16"};
    text.remote_ports = {"1,3,5,7,9,11,13,15"};
    text.locals = {"10.9.0.1", "10.9.0.2"};
    const auto entries = entries_of(text, {{}, {}});
    std::set<std::string> distinct;
    for (const auto& entry : entries)
        distinct.insert(std::string(reinterpret_cast<const char*>(&entry), sizeof(entry)));
    EXPECT_EQ(entries.size(), 2U * 3 * 8 * 2);
    EXPECT_EQ(distinct.size(), entries.size());
}

TEST(Entries, UpToTheLimit)
{
    auto text = partition();
    text.remote_ports = {"1-8"};
    text.remotes = addresses(8192);
    EXPECT_EQ(entries_of(text).size(), max_rule_entries);
    text.remotes = addresses(8193);
    EXPECT_FALSE(compile_alone(text));
}

TEST(Entries, BothEndsOfAPortCount)
{
    auto text = partition();
    text.ports = {"1-8"};
    text.remotes = addresses(4096);
    EXPECT_EQ(entries_of(text).size(), max_rule_entries);
    text.remotes = addresses(4097);
    EXPECT_FALSE(compile_alone(text)) << "65,552 entries";
}

TEST(Entries, ThePiecesIntoWhichOtherRulesCutARangeCount)
{
    auto text = partition();
    text.remote_ports = {"1-65535"};
    text.remotes = addresses(256);
    PortClasses classes;
    for (std::uint16_t i = 0; i < 256; ++i)
        ASSERT_TRUE(classes.split({{1, static_cast<std::uint16_t>(1000 + 10 * i)}}));
    const auto rule = valid(text);
    ASSERT_TRUE(classes.split(rule.selector.remote_ports));
    const auto entries = compile_selector(rule, {}, classes.table());
    ASSERT_FALSE(entries) << "257 pieces";
    EXPECT_EQ(entries.error().message.find("r stands for 65792 combinations"), 0U) << entries.error().message;
}

// ---- impairments ----

RuleSpec lossy(const std::string& probability)
{
    RuleSpec text;
    text.name = "r";
    text.loss = probability;
    return text;
}

hw_chance chance_of(std::uint64_t threshold)
{
    Impairment impairment;
    impairment.loss = Probability{threshold};
    return compile_impairment(impairment).events[HW_EVENT_LOSS];
}

TEST(Impairments, Flags)
{
    EXPECT_EQ(impairment_of(partition()).flags, HW_PARTITION);
    auto text = partition();
    text.reject = "icmp";
    EXPECT_EQ(impairment_of(text).flags, HW_PARTITION | HW_REJECT_ICMP);
    text.partition = false;
    text.reject = "rst";
    EXPECT_EQ(impairment_of(text).flags, HW_PARTITION | HW_REJECT_RST) << "reject alone drops everything";
    text.loss = "1%";
    EXPECT_EQ(impairment_of(text).flags, HW_REJECT_RST) << "what loss takes";
    text.reject.reset();
    text.delay = "50ms";
    text.jitter = "5ms";
    EXPECT_EQ(impairment_of(text).flags, 0U);
    text.distribution = "normal";
    EXPECT_EQ(impairment_of(text).flags, 0U);
    text.keep_order = true;
    EXPECT_EQ(impairment_of(text).flags, HW_KEEPS_ORDER);
    EXPECT_EQ(impairment_of(text).correlation_time, 52'000'000U);
    text.rate = "1mbit";
    EXPECT_EQ(impairment_of(text).flags, HW_KEEPS_ORDER | HW_RATE_LAST);
    text.keep_order = false;
    EXPECT_EQ(impairment_of(text).flags, 0U);
    text.rate_last = true;
    EXPECT_EQ(impairment_of(text).flags, HW_KEEPS_ORDER | HW_RATE_LAST);
    EXPECT_EQ(impairment_of(text).correlation_time, 0U);
    text.rate.reset();
    text.rate_last = false;
    text.delay_correlation = "10%";
    EXPECT_EQ(impairment_of(text).flags, HW_SEQUENCE | HW_DELAY_OF_SEQUENCE);
    RuleSpec pass;
    pass.name = "r";
    pass.pass = true;
    EXPECT_EQ(impairment_of(pass).flags, HW_PASS);
}

TEST(Impairments, LawsAreThereWhereTheyAreDrawnBy)
{
    RuleSpec plain;
    plain.name = "r";
    plain.delay = "50ms";
    plain.jitter = "5ms";
    const auto has_law = [](const RuleSpec& text) { return compile_law(valid(text).impairment).has_value(); };
    EXPECT_FALSE(has_law(plain));
    auto normal = plain, correlated = plain, seeded = plain, smooth = plain;
    normal.distribution = "normal";
    correlated.delay_correlation = "1%";
    seeded.seed = "1";
    smooth.keep_order = true;
    for (const auto& text : {normal, correlated, seeded, smooth}) EXPECT_TRUE(has_law(text));
}

TEST(Impairments, EveryEventHasItsChance)
{
    auto text = lossy("25%");
    text.corrupt = "50%";
    text.duplicate = "100%";
    const auto impairment = impairment_of(text);
    EXPECT_EQ(impairment.events[HW_EVENT_LOSS].threshold, 1ULL << 30);
    EXPECT_EQ(impairment.events[HW_EVENT_CORRUPT].threshold, 1ULL << 31);
    EXPECT_EQ(impairment.events[HW_EVENT_DUPLICATE].threshold, 1ULL << 32);
    EXPECT_FALSE(impairment.delay || impairment.jitter || impairment.reorder || impairment.ns_per_byte_q16);
    for (const auto& event : impairment_of(partition()).events) EXPECT_FALSE(event.threshold || event.half_life_q24);
}

TEST(Impairments, HalfLives)
{
    EXPECT_EQ(chance_of(0).half_life_q24, 0U);
    EXPECT_EQ(chance_of(1ULL << 32).half_life_q24, 0U) << "every packet: no gap to draw";
    EXPECT_EQ(chance_of(1ULL << 31).half_life_q24, 1ULL << 24) << "1/2: one packet";
    EXPECT_EQ(chance_of(3ULL << 30).half_life_q24, 1ULL << 23) << "3/4: half a packet";
    EXPECT_EQ(chance_of((1ULL << 32) - 1).half_life_q24, 1ULL << 19) << "1 - 2^-32: 1/32 of a packet";
    for (const std::uint64_t threshold : {1ULL, 2ULL, 42'949'673ULL, 1ULL << 30, 4'000'000'000ULL}) {
        const auto p = static_cast<long double>(threshold) / 4294967296.0L;
        const auto exact = -16777216.0L * std::log(2.0L) / std::log1p(-p);
        const auto half_life = static_cast<long double>(chance_of(threshold).half_life_q24);
        EXPECT_LE(std::abs(static_cast<double>(half_life - exact)), 0.5 + static_cast<double>(exact) * 1e-15)
            << threshold << ": a double's 53 bits";
    }
}

TEST(Impairments, JitterAndReorder)
{
    auto text = limited("10mbit", {}, "50ms");
    EXPECT_EQ(impairment_of(text).reorder_gap, 1U);
    text.jitter = "5ms";
    text.reorder = "25%";
    text.reorder_gap = "2147483648";
    const auto impairment = impairment_of(text);
    EXPECT_EQ(impairment.delay, 50 * ms);
    EXPECT_EQ(impairment.jitter, 5 * ms);
    EXPECT_EQ(impairment.reorder, 1ULL << 30);
    EXPECT_EQ(impairment.reorder_gap, 1U << 31);
    EXPECT_EQ(impairment.queue, 200 * ms);
}

TEST(Impairments, NanosecondsPerByteAreRoundedToNearest)
{
    for (const std::uint64_t rate : {8ULL, 9ULL, 56'000ULL, 999'999'937ULL, 10'000'000'000ULL, 100'000'000'000ULL}) {
        const auto impairment = impairment_of(limited(fmt::format("{}bit", rate)));
        const auto exact = 8e9L * 65536 / static_cast<long double>(rate);
        EXPECT_LE(std::abs(static_cast<double>(static_cast<long double>(impairment.ns_per_byte_q16) - exact)), 0.5)
            << rate;
        EXPECT_LT(impairment.ns_per_byte_q16, 1ULL << 47) << "what the datapath has room for";
    }
}

TEST(Impairments, EveryRateLimits)
{
    for (const char* rate : {"1tbit", "1000tbit", "2000tbit", "18446744tbit"})
        EXPECT_NE(impairment_of(limited(rate)).ns_per_byte_q16, 0U) << rate << " would be no limit, silently";
}

TEST(Impairments, DefaultQueue)
{
    EXPECT_EQ(impairment_of(limited("10mbit")).queue, 200 * ms);
    EXPECT_EQ(impairment_of(limited("605600bit")).queue, 200 * ms) << "ten frames are exactly 200 ms";
    EXPECT_EQ(impairment_of(limited("100kbit")).queue, 12'112ULL * ms / 10) << "ten frames of 1514 bytes";
    EXPECT_EQ(impairment_of(limited("8bit")).queue, max_delay);
    EXPECT_EQ(impairment_of(limited("8bit", {}, "4000s")).queue, max_delay - 4'000'000 * ms);
    auto jittery = limited("8bit", {}, "4000s");
    jittery.jitter = "10s";
    EXPECT_EQ(impairment_of(jittery).queue, max_delay - 4'010'000 * ms);
    jittery.distribution = "normal";
    EXPECT_EQ(impairment_of(jittery).queue, max_delay - longest_delay(valid(jittery).impairment))
        << "tails of 4.5 standard deviations";
}

TEST(Impairments, DefaultQueueTakesTenFrames)
{
    const auto impairment = impairment_of(limited("100kbit"));
    hw_state state{};
    hw_timing timing{};
    int taken = 0;
    const hw_arrival arrival{1, 0};
    while (hw_schedule(&impairment, &state, &arrival, 1514, 0, 0, &timing) == 0) ++taken;
    EXPECT_EQ(taken, 10);
}

TEST(Impairments, QueueAsTypedInBytesOrTime)
{
    EXPECT_EQ(impairment_of(limited("1mbit", "64kb")).queue, 512 * ms);
    EXPECT_EQ(impairment_of(limited("1mbit", "50ms")).queue, 50 * ms);
    EXPECT_EQ(impairment_of(limited("10mbit", "1b")).queue, 800U);
}

}  // namespace
}  // namespace headwind::compile_test

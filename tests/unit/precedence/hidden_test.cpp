// SPDX-License-Identifier: MIT
// Tests which rules leave another one no packet, against a model that goes through packets.
#include "precedence/hidden.h"

#include <arpa/inet.h>

#include <array>
#include <map>
#include <memory>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "precedence/overlap.h"
#include "precedence/standing.h"
#include "rule_test.h"
#include "rule_words.h"
#include "ruleset/port_classes.h"
#include "ruleset/shapes.h"

namespace headwind::rule_test::hidden_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// ---- a host with rules in force ----

const std::map<std::string, std::uint16_t> slots{{"lo", 1}, {"eth0", 2}, {"eth1", 3}, {"wlan0", 4}};

Cgroup cgroup_at(const std::string& path)
{
    const auto level = path == "/" ? 0 : std::ranges::count(path, '/');
    return {path, std::hash<std::string>()(path) | 1, static_cast<unsigned>(level)};
}

RuleRecord record_of(Rule rule, std::uint32_t id)
{
    RuleRecord out;
    out.rule = std::move(rule);
    out.rule.name = fmt::format("r{}", id);
    out.id = out.stable_id = id;
    for (const auto& name : out.rule.selector.devices) out.devices.push_back({name, slots.at(name), slots.at(name)});
    for (const auto& path : out.rule.selector.cgroups) out.cgroups.push_back(cgroup_at(path));
    return out;
}

struct ByBytes {
    bool operator()(const hw_key& a, const hw_key& b) const { return std::memcmp(&a, &b, sizeof(a)) < 0; }
};

class World {
public:
    explicit World(std::vector<RuleRecord> records) : records_(std::move(records))
    {
        for (const auto& [name, slot] : slots) {
            devices_[slot].ifindex = slot;
            devices_[slot].flags = name == "wlan0" ? 0 : HW_DEVICE_DEFAULT;
        }
        devices_[slots.at("lo")].flags |= HW_DEVICE_LOOPBACK;
        for (const auto& record : records_)
            for (const auto& ports : port_lists(record.rule.selector)) EXPECT_TRUE(classes_.split(ports));
        auto compiled = compile_all(records_, classes_.table());
        EXPECT_TRUE(compiled);
        const auto shapes = shapes_needed({}, {}, *compiled);
        EXPECT_TRUE(shapes);
        put_shape_ids(*compiled, *shapes);
        write_table(*table_, *shapes, {});
        for (const auto& rule : *compiled) put(rule);
    }

    RuleSpace space() const
    {
        RuleSpace out;
        out.version = 1;
        out.shapes = std::span(table_->shapes).first(table_->count);
        out.devices = devices_;
        out.ports = classes_.table();
        out.entry = [this](const hw_key& key) -> Result<std::optional<hw_entry>> {
            const auto found = entries_.find(key);
            return found == entries_.end() ? std::nullopt : std::optional(found->second);
        };
        out.rule = [this](std::uint32_t id) -> Result<std::optional<hw_rule>> { return rules_.at(id); };
        out.record = [this](std::uint32_t id) -> Result<RuleRecord> { return record(id); };
        out.is_on = [](const hw_rule&) -> Result<bool> { return true; };
        out.ancestor = [](const Cgroup& cgroup, unsigned level) {
            std::size_t end = 0;
            for (unsigned depth = 0; depth < level; ++depth) end = cgroup.path.find('/', end + 1);
            return cgroup_at(level == 0 ? "/" : cgroup.path.substr(0, end)).id;
        };
        return out;
    }

    const std::vector<RuleRecord>& records() const { return records_; }
    const RuleRecord& record(std::uint32_t id) const { return *std::ranges::find(records_, id, &RuleRecord::id); }
    std::uint64_t rank(std::uint32_t id) const { return rules_.at(id).rank; }
    hw_rule& rule(std::uint32_t id) { return rules_.at(id); }
    std::span<const hw_device> devices() const { return devices_; }

    std::vector<std::uint32_t> hiding(std::uint32_t id) const
    {
        const auto hidden = find_hiding_rules(space(), record(id));
        EXPECT_TRUE(hidden);
        return hidden && *hidden ? (*hidden)->by : std::vector<std::uint32_t>{};
    }
    Standing standing(std::uint32_t id) const
    {
        std::vector<const RuleRecord*> others;
        for (const auto& record : records_) others.push_back(&record);
        const auto out = standing_of(space(), record(id), others);
        EXPECT_TRUE(out);
        return out.value_or(Standing{});
    }

private:
    void put(const CompiledRule& rule)
    {
        const auto& record = *rule.record;
        for (const auto& entry : rule.entries) {
            auto& ids = entries_[entry.key].rules;
            *std::find(std::begin(ids), std::end(ids), 0U) = record.id;
        }
        hw_rule out{};
        out.rank = rule.rank;
        out.died = ~0ULL;
        out.state = record.stable_id;
        if (const auto& flows = record.rule.selector.flows) out.flows = static_cast<__u32>(flows->threshold);
        out.flow_seed = record.rule.selector.flow_seed;
        rules_[record.id] = out;
    }

    std::vector<RuleRecord> records_;
    std::vector<hw_device> devices_{HW_MAX_DEVICES};
    PortClasses classes_;
    std::unique_ptr<hw_shape_table> table_ = std::make_unique<hw_shape_table>();
    std::map<hw_key, hw_entry, ByBytes> entries_;
    std::map<std::uint32_t, hw_rule> rules_;
};

// Rules with the ids 1, 2, ... in this order.
World of_rules(const std::vector<Rule>& rules)
{
    std::vector<RuleRecord> records;
    for (const auto& rule : rules) records.push_back(record_of(rule, static_cast<std::uint32_t>(records.size() + 1)));
    return World(std::move(records));
}

World world_of(const std::vector<std::string>& lines)
{
    std::vector<Rule> rules;
    for (const auto& line : lines)
        rules.push_back(valid(line + (line.find("--pass") == std::string::npos ? " --loss 1%" : "")));
    return of_rules(rules);
}

std::vector<std::uint32_t> hiding_last(const std::vector<std::string>& lines)
{
    return world_of(lines).hiding(static_cast<std::uint32_t>(lines.size()));
}

// ---- the cases that people meet ----

TEST(Hidden, ByAnOlderRuleThatSelectsTheSame)
{
    EXPECT_THAT(hiding_last({"--remote-port 80", "--remote-port 80"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--remote-port 80", "--remote-port 81"}), IsEmpty());
}

TEST(Hidden, ByAWiderRuleOfHigherPriority)
{
    EXPECT_THAT(hiding_last({"--priority 1 --dev eth0", "--dev eth0 --remote 10.1.2.3 --remote-port 80"}),
                ElementsAre(1));
    EXPECT_THAT(hiding_last({"--dev eth0", "--dev eth0 --remote 10.1.2.3"}), IsEmpty()) << "more specific wins";
    EXPECT_THAT(hiding_last({"--priority 1 --dev eth0", "--remote 10.1.2.3"}), IsEmpty()) << "eth1 is left";
    EXPECT_THAT(hiding_last({"--priority 1 --dev eth0,eth1,lo", "--remote 10.1.2.3"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1", "--dev wlan0"}), IsEmpty()) << "no default device";
    EXPECT_THAT(hiding_last({"--priority 1 --remote 10.0.0.0/8", "--remote 10.1.0.0/16,11.0.0.0/16"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --proto tcp", "--proto tcp,udp"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --direction both", "--direction in --proto tcp"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --direction in", "--direction both --proto tcp"}), IsEmpty());
}

TEST(Hidden, ByRangesOfPorts)
{
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 1-1000", "--remote-port 80,443"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 1-1000", "--remote-port 80,8080"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 1-1000", "--remote-port 100-200"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 1-1000", "--remote-port 100-2000"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --port 1-1000", "--remote-port 80"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 80", "--port 80"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --remote-port 1-65535", "--proto tcp"}), IsEmpty()) << "port 0 is one, too";
}

TEST(Hidden, ByACgroupAboveIt)
{
    EXPECT_THAT(hiding_last({"--priority 1 --cgroup /a", "--cgroup /a/b"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --cgroup /a/b", "--cgroup /a"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --cgroup /a", "--cgroup /ab"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1 --cgroup /a", "--remote-port 80"}), IsEmpty());
}

TEST(Hidden, ByAddressesTakenTogether)
{
    EXPECT_THAT(hiding_last({"--priority 1 --remote 0.0.0.0/0,::/0", "--proto tcp --remote-port 80"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --remote 0.0.0.0/1,128.0.0.0/1", "--remote 0.0.0.0/0"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--priority 1 --remote 0.0.0.0/1,128.0.0.0/1", "--proto tcp"}), IsEmpty())
        << "IPv6 is left";
    EXPECT_THAT(hiding_last({"--priority 1 --remote 0.0.0.0/0,::/0", "--dev eth0"}), IsEmpty()) << "LLDP is left";
}

TEST(Hidden, BySeveralRulesTogether)
{
    EXPECT_THAT(
        hiding_last({"--priority 1 --remote-port 80", "--priority 2 --remote-port 443", "--remote-port 80,443"}),
        UnorderedElementsAre(1, 2));
    EXPECT_THAT(hiding_last({"--priority 1 --direction in", "--priority 2", "--proto tcp --direction both"}),
                UnorderedElementsAre(1, 2));
    EXPECT_THAT(
        hiding_last({"--priority 1 --remote 10.0.0.0/9", "--priority 2 --remote 10.128.0.0/9", "--remote 10.0.0.0/8"}),
        UnorderedElementsAre(1, 2));
    EXPECT_THAT(
        hiding_last({"--priority 1 --dev lo", "--priority 2 --dev eth0", "--priority 3 --dev eth1", "--proto tcp"}),
        UnorderedElementsAre(1, 2, 3));
}

TEST(Hidden, BySamplesOfFlowsOnlyIfTheyAreTheSame)
{
    EXPECT_THAT(hiding_last({"--flows 50% --flow-seed 1", "--flows 50% --flow-seed 1"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--flows 50% --flow-seed 1", "--flows 20% --flow-seed 1"}), ElementsAre(1));
    EXPECT_THAT(hiding_last({"--flows 50% --flow-seed 1", "--flows 60% --flow-seed 1"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--flows 50% --flow-seed 1", "--flows 50% --flow-seed 2"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--flows 50% --flow-seed 1 --priority 1", "--proto tcp"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--priority 1", "--flows 50% --flow-seed 1"}), ElementsAre(1));
}

// The rule that is named is the one that the packets get, and the cure is one.
TEST(Hidden, ByTheRuleOfHighestRankThatTakesIt)
{
    const auto world = world_of({"--priority 1 --remote-port 80", "--priority 5 --dev eth0",
                                 "--priority 9 --remote-port 443", "--dev eth0 --remote-port 80"});
    EXPECT_EQ(world.standing(4).words, "hidden by r2, which is of higher priority: --priority 6 would win");
    auto other = world_of({"--priority 1 --remote-port 80", "--priority 5 --dev eth0", "--dev eth0 --remote-port 80"});
    other.rule(2).leased = 1;
    EXPECT_EQ(other.standing(3).words, "hidden by r2, which is of higher priority: --priority 6 would win")
        << "for good: once that ends, by r1";
}

// On lo the sender's rules come before the receiver's, whatever their rank.
TEST(Hidden, OnLoByWhatItsSenderGets)
{
    EXPECT_EQ(world_of({"--dev lo --remote-port 80", "--dev lo --direction in --local-port 80 --priority 9"})
                  .standing(2)
                  .words,
              "hidden by r1, which comes first at that device");
    EXPECT_THAT(hiding_last({"--dev lo --remote-port 80", "--dev lo --direction in --remote-port 80 --priority 9"}),
                IsEmpty());
    EXPECT_THAT(hiding_last({"--dev eth0 --remote-port 80", "--dev eth0 --direction in --local-port 80"}), IsEmpty());
    EXPECT_THAT(hiding_last({"--dev lo --direction both --remote-port 80 --priority 9"}), IsEmpty()) << "by itself";
    EXPECT_THAT(hiding_last({"--remote 10.0.0.0/8 --remote-port 1-100",
                             "--dev lo --direction in --local-port 50-60 --local 10.1.0.0/16"}),
                ElementsAre(1));
}

// What is on at times only hides nothing; what ends before the other does so for a while.
TEST(Hidden, ForGoodOrForAWhile)
{
    auto world = world_of({"--remote-port 80", "--remote-port 80"});
    const auto words = [&world] { return world.standing(2).words; };
    EXPECT_EQ(words(), "hidden by r1, which is older: --priority 1 would win");
    world.rule(1).deadline = 1000;
    EXPECT_EQ(words(), "hidden by r1, which is older, while that is on: --priority 1 would win");
    world.rule(2).deadline = 1000;
    EXPECT_EQ(words(), "hidden by r1, which is older: --priority 1 would win");
    world.rule(1).leased = 1;
    EXPECT_THAT(words(), HasSubstr("while that is on"));
    world.rule(1).leased = 0;
    world.rule(1).stoppable = 1;
    EXPECT_THAT(words(), HasSubstr("while that is on"));
    world.rule(1).flap_period = 10;
    EXPECT_EQ(words(), "");
    world.rule(1).flap_period = 0;
    world.rule(1).hours.days = 1;
    EXPECT_EQ(words(), "");
    world.rule(1).hours.days = 0;
    world.rule(1).died = 1;
    EXPECT_EQ(words(), "");
}

TEST(Hidden, ARuleBeforeAChangeThatWaitsDoesNotHideTheOneAfter)
{
    auto world = world_of({"--remote-port 80", "--remote-port 80"});
    world.rule(2).state = world.rule(1).state;
    EXPECT_THAT(world.hiding(2), IsEmpty());
}

TEST(Standing, NamesWhatWouldHelp)
{
    const auto several =
        world_of({"--priority 5 --remote-port 80", "--priority 7 --remote-port 443", "--remote-port 80,443"});
    EXPECT_EQ(several.standing(3).words, "hidden by r1 and r2: --priority 8 would win");
    const auto most = world_of({"--priority 1000", "--proto tcp"});
    EXPECT_EQ(most.standing(2).words, "hidden by r1, which is of higher priority");
    EXPECT_EQ(most.standing(1).words, "");
}

// An exclusion is for all that it selects: what a rule of higher rank impairs of it is told.
TEST(Standing, OfAnExclusionThatOthersWinOver)
{
    const auto world =
        world_of({"--remote-port 5432 --proto tcp", "--remote 10.0.0.0/8 --pass", "--remote-port 1 --pass"});
    EXPECT_EQ(world.standing(2).words,
              "does not spare what r1 selects, too, which is more specific: --priority 1 would");
    EXPECT_THAT(world.standing(2).loses_to, ElementsAre("r1"));
    EXPECT_EQ(world.standing(3).words, "") << "nothing in common";
    const auto cured = world_of({"--remote-port 5432 --proto tcp", "--priority 1 --remote 10.0.0.0/8 --pass"});
    EXPECT_EQ(cured.standing(2).words, "");
    const auto two =
        world_of({"--remote-port 80 --proto tcp", "--remote-port 443 --proto udp", "--remote 10.0.0.0/8 --pass"});
    EXPECT_THAT(two.standing(3).words, HasSubstr("does not spare what r1 and r2 select, too: --priority 1 would"));
}

// ---- the model: rules as they are documented, and packets on both sides of each of their bounds ----

struct Kind {
    bool v4, ip;  // not IP: `protocol` is a Protocol of frames
    Protocol protocol;
    bool fragment = false;  // its transport header is not there
};
const std::vector<Kind> kinds{{true, true, 6},
                              {true, true, 17},
                              {true, true, 132},
                              {true, true, 1},
                              {true, true, 200},
                              {false, true, 6},
                              {false, true, 17},
                              {false, true, 132},
                              {false, true, 58},
                              {false, true, 200},
                              {false, true, 0, true},
                              {false, false, HW_PROTO_ARP},
                              {false, true, HW_PROTO_ND},
                              {true, true, HW_PROTO_DHCP},
                              {false, true, HW_PROTO_DHCP},
                              {false, false, 0x88cc},
                              {false, false, 0x9000}};

bool has_ports(const Kind& kind)
{
    return kind.protocol == 6 || kind.protocol == 17 || kind.protocol == 132;
}

bool selects_kind(const Selector& selector, const Kind& kind)
{
    const bool addresses = !selector.locals.empty() || !selector.remotes.empty();
    const bool ports = !selector.ports.empty() || !selector.local_ports.empty() || !selector.remote_ports.empty();
    if (ports && !has_ports(kind)) return false;
    if (addresses && !kind.ip) return false;
    if (!selector.protocols.empty())
        return !kind.fragment && std::ranges::find(selector.protocols, kind.protocol) != selector.protocols.end();
    return kind.protocol != HW_PROTO_ARP && kind.protocol != HW_PROTO_ND && kind.protocol != HW_PROTO_DHCP;
}

using Address = std::array<std::uint8_t, 16>;

bool is_mapped(const Address& address)
{
    return std::all_of(address.begin(), address.begin() + 10, [](auto byte) { return byte == 0; }) &&
           address[10] == 0xff && address[11] == 0xff;
}

bool is_in(const Address& address, const std::vector<Cidr>& cidrs)
{
    return cidrs.empty() || std::ranges::any_of(cidrs, [&](const Cidr& cidr) {
               if (cidr.v4 != is_mapped(address)) return false;
               for (unsigned bit = 0; bit < cidr.prefix; ++bit)
                   if ((address[bit / 8] ^ cidr.address[bit / 8]) & 0x80U >> bit % 8) return false;
               return true;
           });
}

bool is_in(unsigned port, const std::vector<PortRange>& ports)
{
    return ports.empty() || std::ranges::any_of(ports, [port](const PortRange& range) {
               return range.first <= port && port <= range.last;
           });
}

bool selects_ports(const Selector& selector, unsigned local, unsigned remote)
{
    if (!selector.ports.empty()) return is_in(local, selector.ports) || is_in(remote, selector.ports);
    return is_in(local, selector.local_ports) && is_in(remote, selector.remote_ports);
}

bool selects_cgroup(const Selector& selector, const std::string& path)
{
    return selector.cgroups.empty() || std::ranges::any_of(selector.cgroups, [&](const std::string& cgroup) {
               return path == cgroup || path.starts_with(cgroup + "/");
           });
}

bool selects_device(const Rule& rule, const std::string& name)
{
    const auto& names = rule.selector.devices;
    if (!names.empty()) return std::ranges::find(names, name) != names.end();
    return name != "wlan0" && !(name == "lo" && spares_loopback(rule));
}

bool selects_direction(const Rule& rule, Direction direction)
{
    return rule.direction == Direction::both || rule.direction == direction;
}

// The values of one field of packets: how two rules stand to each other there.
struct Compared {
    bool first_only = false, both = false;  // some value is in the first and not the second, in both
    void add(bool first, bool second)
    {
        first_only = first_only || (first && !second);
        both = both || (first && second);
    }
    bool any_of_first() const { return first_only || both; }
};

struct Relation {
    bool within = true;    // each packet of the first is in the second
    bool overlap = false;  // some packet is in both
};

const std::vector<std::string> cgroups{"", "/x", "/a", "/a/b", "/a/b/c", "/a/y", "/c"};

std::vector<Address> addresses_of(const std::vector<Cidr>& cidrs, bool v4)
{
    std::vector<Address> out;
    const auto put = [&](Address address) {
        if (is_mapped(address) == v4) out.push_back(address);
    };
    for (const auto* text : {"8.8.8.8", "2001:4860::1", "::", "fe80::1", "10.1.2.3"}) put(cidr(text).address);
    for (const auto& one : cidrs) {
        put(one.address);
        auto other = one.address;  // beside it
        if (one.prefix != 0)
            other[(one.prefix - 1U) / 8] =
                static_cast<std::uint8_t>(other[(one.prefix - 1U) / 8] ^ 0x80U >> (one.prefix - 1U) % 8);
        put(other);
        auto end = one.address;  // its last one
        for (unsigned bit = one.prefix; bit < 128; ++bit)
            end[bit / 8] = static_cast<std::uint8_t>(end[bit / 8] | 0x80U >> bit % 8);
        put(end);
        for (unsigned bit = one.prefix; bit < 128; ++bit) {  // each of its parts
            auto part = one.address;
            part[bit / 8] = static_cast<std::uint8_t>(part[bit / 8] | 0x80U >> bit % 8);
            put(part);
        }
    }
    return out;
}

std::vector<unsigned> ports_of(const Selector& one, const Selector& other)
{
    std::vector<unsigned> out{0, 40'000};
    for (const auto* selector : {&one, &other})
        for (const auto* ports : {&selector->ports, &selector->local_ports, &selector->remote_ports})
            for (const auto& range : *ports)
                for (const unsigned port : {range.first - 1U, range.first + 0U, range.last + 0U, range.last + 1U})
                    out.push_back(port);
    return out;
}

std::vector<Cidr> joined(std::vector<Cidr> one, const std::vector<Cidr>& other)
{
    one.insert(one.end(), other.begin(), other.end());
    return one;
}

// A rule selects the product of what it selects in each field, of each kind of packets.
Relation relate(const Rule& first, const Rule& second)
{
    const auto &a = first.selector, &b = second.selector;
    Compared directions, devices, of_cgroups;
    for (const auto direction : {Direction::out, Direction::in})
        directions.add(selects_direction(first, direction), selects_direction(second, direction));
    for (const auto& [name, slot] : slots) devices.add(selects_device(first, name), selects_device(second, name));
    for (const auto& path : cgroups) of_cgroups.add(selects_cgroup(a, path), selects_cgroup(b, path));
    const auto ports = ports_of(a, b);
    // By version; of frames the address does not matter.
    Compared locals[2], remotes[2];
    for (const bool v4 : {false, true}) {
        for (const auto& address : addresses_of(joined(a.locals, b.locals), v4))
            locals[v4].add(is_in(address, a.locals), is_in(address, b.locals));
        for (const auto& address : addresses_of(joined(a.remotes, b.remotes), v4))
            remotes[v4].add(is_in(address, a.remotes), is_in(address, b.remotes));
    }
    Relation out;
    for (const auto& kind : kinds) {
        if (!selects_kind(a, kind)) continue;
        Compared of_ports;
        for (const auto local : has_ports(kind) ? ports : std::vector<unsigned>{0})
            for (const auto remote : has_ports(kind) ? ports : std::vector<unsigned>{0})
                of_ports.add(selects_ports(a, local, remote), selects_ports(b, local, remote));
        Compared any;
        any.both = true;
        const Compared fields[] = {
            directions, devices, of_cgroups, kind.ip ? locals[kind.v4] : any, kind.ip ? remotes[kind.v4] : any,
            of_ports};
        if (!std::ranges::all_of(fields, &Compared::any_of_first)) continue;
        const bool also = selects_kind(b, kind);
        if (!also || std::ranges::any_of(fields, &Compared::first_only)) out.within = false;
        if (also && std::ranges::all_of(fields, &Compared::both)) out.overlap = true;
    }
    return out;
}

// What a rule selects, flag by flag.
using Words = std::vector<std::string>;

class RandomSelectors {
public:
    explicit RandomSelectors(std::uint64_t seed) : random_(seed) {}

    Words words()
    {
        Words out;
        for (const auto& one : choices) out.push_back(pick(one));
        return out;
    }

    // Words like these: often what they select is in what those do, or the other way round.
    Words like(Words words)
    {
        for (std::size_t i = 0; i < words.size(); ++i) {
            const auto choice = random_() % 5;
            if (choice == 0) words[i] = pick(choices[i]);
            if (choice == 1) words[i] = "";
        }
        return words;
    }

private:
    static inline const std::vector<Words> choices{
        {"", "", "--dev eth0", "--dev lo,eth0,eth1", "--dev wlan0,eth0", "--dev eth0,eth1"},
        {"", "", "", "--cgroup /a", "--cgroup /a/b", "--cgroup /c,/a/b"},
        {"", "", "--proto tcp", "--proto udp", "--proto tcp,udp", "--proto tcp,icmp", "--proto arp", "--proto nd,dhcp",
         "--proto lldp"},
        {"", "", "--port 80", "--port 70-90", "--port 80,443", "--remote-port 80", "--remote-port 1-100",
         "--remote-port 50-60 --local-port 1024-65535", "--local-port 1-65535", "--remote-port 80,443,8080"},
        {"", "", "--remote 10.0.0.0/8", "--remote 10.0.0.0/9,10.128.0.0/9", "--remote 10.1.2.3", "--remote 0.0.0.0/0",
         "--remote ::/0", "--remote 0.0.0.0/0,::/0", "--remote fe80::/10,10.1.2.0/24"},
        {"", "", "", "", "--local 10.1.2.3", "--local 0.0.0.0/0,::/0", "--local 2001:db8::/32"},
        {"--direction out", "--direction both", "--direction in"},
        {"", "--priority 1", "--priority 2"}};

    const std::string& pick(const Words& from) { return from[random_() % from.size()]; }
    std::mt19937_64 random_;
};

// The rule of the words; nullopt: there is none, or the model knows less of it than the datapath.
std::optional<Rule> rule_of_words(const Words& words)
{
    const bool frames = words[2] == "--proto arp" || words[2] == "--proto lldp";
    if (frames && words[4] + words[5] != "") return std::nullopt;
    if ((frames || words[2] == "--proto nd,dhcp") && words[3] != "") return std::nullopt;
    RuleSpec text;
    text.name = "r";
    text.loss = "1%";
    for (const auto& one : words) {
        const auto parts = split_words(one).value();
        for (std::size_t i = 0; i + 1 < parts.size(); i += 2) give(parts[i], parts[i + 1], text);
    }
    const auto rule = make_rule(text);
    return rule ? std::optional(*rule) : std::nullopt;
}

TEST(Hidden, OfEachRandomPairAsTheModelSays)
{
    RandomSelectors random(1);
    int hidden = 0, overlapping = 0, apart = 0;
    for (int i = 0; i < 5'000; ++i) {
        const auto words = random.words();
        const auto first = rule_of_words(words), second = rule_of_words(random.like(words));
        if (!first || !second) continue;
        const auto world = of_rules({*first, *second});
        const std::uint32_t lower = world.rank(1) < world.rank(2) ? 1 : 2, higher = 3 - lower;
        const auto relation = relate(world.record(lower).rule, world.record(higher).rule);
        const auto of = fmt::format("{}: {}\nof {}: {}", lower, describe_rule(world.record(lower).rule), higher,
                                    describe_rule(world.record(higher).rule));
        ASSERT_EQ(!world.hiding(lower).empty(), relation.within) << of;
        ASSERT_EQ(apart_by(world.record(lower), world.record(higher), world.devices()) == nullptr, relation.overlap)
            << of;
        ASSERT_THAT(world.hiding(higher), IsEmpty()) << of;
        ++(relation.within ? hidden : relation.overlap ? overlapping : apart);
    }
    EXPECT_GT(hidden, 500);
    EXPECT_GT(overlapping, 300);
    EXPECT_GT(apart, 300);
}

// Of three rules two may hide the third together: then no rule is hidden by one alone that is not by the model.
TEST(Hidden, OfEachRandomTripleByNoRuleThatDoesNotOverlap)
{
    RandomSelectors random(2);
    int together = 0;
    for (int i = 0; i < 4'000; ++i) {
        const auto words = random.words();
        const auto first = rule_of_words(random.like(words)), second = rule_of_words(random.like(words)),
                   third = rule_of_words(words);
        if (!first || !second || !third) continue;
        const auto world = of_rules({*first, *second, *third});
        for (const auto& record : world.records()) {
            const auto by = world.hiding(record.id);
            bool alone = false;
            for (const auto& other : world.records()) {
                if (other.id == record.id || world.rank(other.id) < world.rank(record.id)) continue;
                const auto relation = relate(record.rule, other.rule);
                alone = alone || relation.within;
                const bool named = std::ranges::find(by, other.id) != by.end();
                ASSERT_TRUE(!named || relation.overlap)
                    << describe_rule(record.rule) << "\nby " << describe_rule(other.rule);
            }
            ASSERT_TRUE(!alone || !by.empty()) << describe_rule(record.rule);
            together += !alone && !by.empty() ? 1 : 0;
        }
    }
    EXPECT_GT(together, 0);
}

}  // namespace
}  // namespace headwind::rule_test::hidden_test

// SPDX-License-Identifier: MIT
// Tests ranges of ports: which packets they take, beside other ranges and whatever a killed command left, and what they
// cost.
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <random>
#include <set>
#include <stdexcept>
#include <tuple>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"
#include "prog_xdp.h"
#include "rule_text.h"
#include "ruleset/port_classes.h"
#include "ruleset/shapes.h"
#include "ruleset/transaction.h"

namespace headwind::prog::ports_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::udp;

Bytes packet_between(unsigned local, unsigned remote)
{
    return frame(ipv4({}, udp(static_cast<std::uint16_t>(local), static_cast<std::uint16_t>(remote), payload(20))));
}

Bytes packet_to(unsigned port)
{
    return packet_between(1, port);
}

const hw_shape_table& table_of(Datapath& datapath)
{
    return datapath.control().tables[datapath.control().version & 1];
}

std::string forty_ranges()
{
    std::string out;
    for (unsigned i = 0; i < 43; ++i) out += fmt::format("{}{}-{}", i ? "," : "", 1000 * i + 1, 1000 * i + 3 + i * 20);
    return out;
}

class Ports : public testing::Test {
protected:
    bool is_taken(unsigned port) { return datapath.out(packet_to(port)) == stolen; }
    // Tests the first and the last port of each range, and their neighbours.
    void expect_edges(const std::string& ports)
    {
        const auto ranges = *parse_ports(ports);
        for (const auto& [first, last] : ranges) {
            EXPECT_TRUE(is_taken(first)) << first;
            EXPECT_TRUE(is_taken(last)) << last;
            EXPECT_FALSE(is_taken(first - 1U)) << first;
            if (last != 65535) {
                EXPECT_FALSE(is_taken(last + 1U)) << last;
            }
        }
    }
    std::size_t entries() { return datapath.instance().entries.keys().size(); }

    Datapath datapath;
};

// ---- which packets ----

TEST_F(Ports, RangesAreExact)
{
    for (const auto& ports : {std::string("50000-60000"), std::string("1-65535"), std::string("1-9,65527-65535"),
                              std::string("22,53,8000-8080"), forty_ranges()}) {
        SCOPED_TRACE(ports);
        const auto id = datapath.add("--partition --remote-port " + ports);
        expect_edges(ports);
        EXPECT_EQ(entries(), 1U);
        EXPECT_EQ(table_of(datapath).count, 1U) << "what unmatched packets pay";
        datapath.remove(id);
        EXPECT_EQ(entries(), 0U);
        EXPECT_EQ(datapath.out(packet_to(50000)), next);
    }
}

TEST_F(Ports, OfEachEnd)
{
    const auto taken = [this](const std::string& selector, unsigned local, unsigned remote) {
        const auto id = datapath.add(selector + " --partition --direction both");
        const bool out = datapath.out(packet_between(local, remote)) == stolen;
        EXPECT_EQ(datapath.in(packet_between(remote, local)) == shot, out) << "the same seen from outside";
        datapath.remove(id);
        return out;
    };
    EXPECT_TRUE(taken("--local-port 50000-60000", 50000, 80));
    EXPECT_FALSE(taken("--local-port 50000-60000", 80, 50000));
    EXPECT_TRUE(taken("--port 50000-60000", 60000, 80));
    EXPECT_TRUE(taken("--port 50000-60000", 80, 60000));
    EXPECT_FALSE(taken("--port 50000-60000", 49999, 60001));
    EXPECT_TRUE(taken("--local-port 1-1023 --remote-port 1024-65535", 1023, 1024));
    EXPECT_FALSE(taken("--local-port 1-1023 --remote-port 1024-65535", 1024, 1024));
    EXPECT_FALSE(taken("--local-port 1-1023 --remote-port 1024-65535", 1023, 1023));
    EXPECT_TRUE(taken("--local-port 1-1023 --remote-port 5060", 1, 5060));
    EXPECT_FALSE(taken("--local-port 1-1023 --remote-port 5060", 1, 5061));
    EXPECT_TRUE(taken("--remote-port 50000-60000 --remote 10.0.0.0/8 --proto udp", 1, 55555));
    EXPECT_FALSE(taken("--remote-port 50000-60000 --remote 11.0.0.0/8 --proto udp", 1, 55555));
}

TEST_F(Ports, PacketsWithoutPortsAreInNoRange)
{
    datapath.add("--port 1-65535 --partition");
    EXPECT_EQ(datapath.out(frame(ipv4({}, packets::icmp(8)))), next);
    EXPECT_EQ(datapath.out(packet_between(0, 0)), next) << "nor is port 0";
}

TEST_F(Ports, AtXdp)
{
    const XdpProgram xdp(datapath);
    datapath.add("--remote-port 50000-60000 --partition --direction in");
    datapath.add("--local-port 55000 --partition --direction in");
    for (const auto& [port, verdict] :
         {std::pair(49999, XDP_PASS), {50000, XDP_DROP}, {60000, XDP_DROP}, {60001, XDP_PASS}})
        EXPECT_EQ(xdp.run(packet_between(static_cast<unsigned>(port), 1)).verdict, static_cast<int>(verdict)) << port;
}

TEST_F(Ports, TheNarrowerRangeWinsAndPriorityBeatsIt)
{
    const auto wide = datapath.add("--remote-port 1-65535 --pass");
    datapath.add("--remote-port 30000-60000 --partition");
    datapath.add("--remote-port 40000-50000 --pass");
    datapath.add("--remote-port 45000 --partition");
    for (const auto& [port, taken] : {std::pair(29999U, false),
                                      {30000U, true},
                                      {39999U, true},
                                      {40000U, false},
                                      {45000U, true},
                                      {45001U, false},
                                      {50001U, true},
                                      {60001U, false}})
        EXPECT_EQ(is_taken(port), taken) << port;
    const auto above = datapath.alter(wide, "--remote-port 1-65535 --pass --priority 1");
    EXPECT_FALSE(is_taken(45000));
    EXPECT_FALSE(is_taken(30000));
    datapath.remove(above);
    EXPECT_TRUE(is_taken(30000));
    EXPECT_FALSE(is_taken(60001));
}

TEST_F(Ports, ARangeHasOneRate)
{
    Line line;
    line.connect(datapath);
    datapath.feed().monotonic = 1'000'000'000'000;
    const auto id = datapath.add("--remote-port 50000-60000 --rate 1mbit --queue 30ms");
    datapath.add("--remote-port 55000-56000 --local-port 7 --partition");  // splits its class
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{50000, 55555, 60000})
        datapath.out(frame(ipv4({}, udp(1000, port, payload(1472)))));  // 12.1 ms each
    EXPECT_EQ(datapath.counters(id).packets, 3U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_QUEUE], 1U) << "the third would end after 36.3 ms";
}

// ---- rules beside each other ----

using Entry = std::tuple<std::uint32_t, Bytes>;  // rule, key

Entry entry_of(std::uint32_t rule, const hw_key& key)
{
    const auto* bytes = reinterpret_cast<const unsigned char*>(&key);
    return {rule, Bytes(bytes, bytes + sizeof(key))};
}

// Expects that the entries are those of the rules in force with the classes in force, and no others.
void expect_entries_right(Instance& instance)
{
    std::vector<RuleRecord> records;
    const auto ranked = load_records(instance);
    ASSERT_TRUE(ranked);
    for (const auto& one : *ranked) records.push_back(one.record);
    auto rules = compile_all(records, classes_in_force(instance));
    ASSERT_TRUE(rules);
    put_shape_ids(*rules, shapes_in_force(instance));
    std::set<Entry> expected, found;
    for (const auto& rule : *rules)
        for (const auto& entry : rule.entries) expected.insert(entry_of(rule.record->id, entry.key));
    for (const auto& key : instance.entries.keys())
        for (const auto entry = *instance.entries.find(key); const auto id : entry->rules)
            if (id != 0) found.insert(entry_of(id, key));
    EXPECT_EQ(expected.size(), found.size());
    EXPECT_TRUE(expected == found);
}

TEST_F(Ports, ARuleHasAnEntryForEachPieceOfItsRange)
{
    datapath.add("--remote-port 1-65535 --partition");
    EXPECT_EQ(entries(), 1U);
    const auto id = datapath.add("--remote-port 1000-1999 --partition");
    EXPECT_EQ(entries(), 2U) << "two pieces, one with both rules";
    datapath.add("--remote-port 1000-1999 --partition --priority 3");
    datapath.add("--local-port 1000-1999 --partition --priority 3");
    EXPECT_EQ(entries(), 3U) << "the same ports split nothing";
    EXPECT_EQ(table_of(datapath).count, 2U);
    datapath.remove(id);
    expect_entries_right(datapath.instance());
}

// Rules that are gone leave no pieces behind in the long run.
TEST_F(Ports, PiecesAreJoinedAgain)
{
    datapath.add("--remote-port 1-65535 --partition");
    std::size_t most = 0;
    for (unsigned i = 0; i < 100; ++i) {
        datapath.remove(datapath.add(fmt::format("--remote-port {}-{} --pass", 1000 + i, 2000 + 3 * i)));
        most = std::max(most, entries());
        if (i % 20 == 19) expect_entries_right(datapath.instance());
    }
    EXPECT_GT(most, 20U) << "the test sees nothing";
    EXPECT_LT(most, 130U) << "two pieces for each removed rule";
    expect_edges("1-65535");
}

TEST_F(Ports, AnotherRulesRangeMayCostTooMuch)
{
    std::string remotes = "10.0.0.2";
    for (unsigned i = 0; i < 11'000; ++i) remotes += fmt::format(",11.{}.{}.1", i / 256, i % 256);
    datapath.add("--name dear --remote-port 1-65535 --partition --remote " + remotes);
    for (unsigned i = 1; i < 5; ++i)
        datapath.add(fmt::format("--remote-port {}-{} --partition", 1000 * i, 1000 * i + 99));
    const auto refused = datapath.try_add("--remote-port 5000-5999 --partition");
    ASSERT_FALSE(refused) << "six pieces for each address";
    EXPECT_NE(refused.error().message.find("dear stands for 66006 combinations"), std::string::npos)
        << refused.error().message;
    EXPECT_TRUE(is_taken(5000));
    expect_entries_right(datapath.instance());
}

struct Model {
    std::uint32_t id;
    std::vector<PortRange> ports;
    bool drops;
    int priority;
};

// What the rule of the highest priority does with the port.
bool drops(const std::vector<Model>& rules, unsigned port)
{
    const Model* best = nullptr;
    for (const auto& rule : rules)
        if ((best == nullptr || rule.priority > best->priority) &&
            std::any_of(rule.ports.begin(), rule.ports.end(),
                        [port](const auto& range) { return range.first <= port && port <= range.last; }))
            best = &rule;
    return best != nullptr && best->drops;
}

class Dice {
public:
    unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
    std::string ports()
    {
        std::string out;
        for (unsigned i = 1 + below(3); i > 0; --i) {
            const auto a = port(), b = below(4) == 0 ? a : port();
            out += fmt::format("{}{}-{}", out.empty() ? "" : ",", std::min(a, b), std::max(a, b));
        }
        return out;
    }

private:
    unsigned port()
    {
        constexpr unsigned edges[] = {1, 1024, 50000, 60000, 65535};
        return below(3) == 0 ? edges[below(std::size(edges))] : 1 + below(65535);
    }
    std::mt19937 random_{20261129};
};

TEST_F(Ports, AreRightWhateverComesAndGoes)
{
    Dice dice;
    std::vector<Model> rules;
    for (unsigned step = 0; step < 250; ++step) {
        Model model{0, {}, dice.below(2) == 0, static_cast<int>(dice.below(2001)) - 1000};
        const auto text = dice.ports();
        model.ports = *parse_ports(text);
        const auto line = fmt::format("--{} --remote-port {} --priority {}", model.drops ? "partition" : "pass", text,
                                      model.priority);
        const auto any = rules.empty() ? 0 : dice.below(static_cast<unsigned>(rules.size()));
        if (rules.size() < 3 || (rules.size() < 9 && dice.below(3) == 0)) {
            if (const auto id = datapath.try_add(line)) {
                model.id = *id;
                rules.push_back(model);
            }
        } else if (dice.below(3) == 0) {
            datapath.remove(rules[any].id);
            rules.erase(rules.begin() + any);
        } else {
            try {
                model.id = datapath.alter(rules[any].id, line);
                rules[any] = model;
            } catch (const std::runtime_error&) {  // too many overlap there: refused, and undone
            }
        }
        for (const auto& rule : rules)
            for (const auto& [first, last] : rule.ports)
                for (const unsigned port : {first - 1U, first + 0U, last + 0U, last + 1U})
                    if (port < HW_PORTS && is_taken(port) != drops(rules, port))
                        FAIL() << "step " << step << ", " << port;
        for (unsigned i = 0; i < 20; ++i)
            if (const auto port = dice.below(65536); is_taken(port) != drops(rules, port))
                FAIL() << step << ", " << port;
        expect_entries_right(datapath.instance());
        if (HasFailure()) FAIL() << "step " << step;
    }
}

// ---- killed commands ----

// Runs `action` in a process that is killed when it makes its n-th call of bpf(2), from 1. Returns whether it ended
// before. Maps and their memory are shared with it.
template <class Action>
bool ends_before_call(int n, const Action& action)
{
    const pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        raise(SIGSTOP);
        action();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (int calls = 0; calls < n;) {
        ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
        waitpid(child, &status, 0);
        if (WIFEXITED(status)) return true;
        __ptrace_syscall_info info{};
        ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == __NR_bpf) ++calls;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return false;
}

class KilledCommit : public Ports {
protected:
    RuleRecord record(const std::string& line)
    {
        RuleRecord out;
        out.rule = *make_rule(test::text_of_line(line));
        out.id = out.stable_id = next_rule_id(datapath.instance());
        return out;
    }
    void put_in_force(const std::vector<RuleRecord>& add, const std::vector<RuleRecord>& remove)
    {
        ASSERT_TRUE(ends_before_call(1'000'000, [&] { EXPECT_TRUE(commit(datapath.instance(), {add, remove})); }));
    }
    // More than a few: the next transaction that removes ranges joins what only they told apart.
    void set_stale_classes(std::uint32_t count)
    {
        datapath.control().tables[datapath.control().version & 1].stale_classes = count;
    }
    // Puts rules and classes of ports back as they were before `add` came in the place of `remove`.
    void undo(const std::vector<RuleRecord>& add, const std::vector<RuleRecord>& remove)
    {
        set_stale_classes(many);
        put_in_force(remove, add);
        set_stale_classes(stale_before_);
    }
    std::vector<bool> verdicts()
    {
        std::vector<bool> out;
        for (const unsigned port : {1U, 999U, 1000U, 1500U, 1999U, 2000U, 2500U, 3000U, 3001U, 50000U, 65535U})
            out.push_back(is_taken(port));
        return out;
    }
    // Kills the commit at each of its calls.
    void kill_everywhere(const std::vector<RuleRecord>& add, const std::vector<RuleRecord>& remove)
    {
        stale_before_ = table_of(datapath).stale_classes;
        const auto old_verdicts = verdicts();
        put_in_force(add, remove);
        const auto new_verdicts = verdicts();
        undo(add, remove);
        ASSERT_EQ(verdicts(), old_verdicts);
        ASSERT_NE(new_verdicts, old_verdicts);
        auto& instance = datapath.instance();
        int n = 1, took_effect = 0;
        for (bool ended = false; !ended; ++n) {
            const auto version = datapath.control().version;
            const auto classes_before = classes();
            ended = ends_before_call(n, [&] { commit(instance, {add, remove}); });
            const bool is_new = datapath.control().version != version;
            for (const bool repaired : {false, true}) {
                if (repaired) {
                    ASSERT_TRUE(repair(instance));
                }
                ASSERT_EQ(verdicts(), is_new ? new_verdicts : old_verdicts) << "killed at call " << n;
            }
            expect_entries_right(instance);
            if (HasFailure()) FAIL() << "killed at call " << n;
            if (!is_new) continue;
            ++took_effect;
            EXPECT_NE(classes(), classes_before) << "the test sees nothing";
            undo(add, remove);
        }
        EXPECT_GT(n, 8);
        EXPECT_GT(took_effect, remove.empty() ? 0 : 3) << "killed while it removes, too";
    }

    static constexpr std::uint32_t many = 1000;

private:
    std::vector<__u16> classes()
    {
        const auto table = classes_in_force(datapath.instance());
        return {table.begin(), table.end()};
    }
    std::uint32_t stale_before_ = 0;
};

TEST_F(KilledCommit, OfARangeThatSplitsOthers)
{
    put_in_force({record("--remote-port 1-65535 --partition"), record("--remote-port 1500-2500 --partition")}, {});
    kill_everywhere({record("--remote-port 1000-1999 --pass --priority 1")}, {});
    kill_everywhere(
        {record("--port 999-2000 --pass --priority 1"), record("--local-port 1-9 --remote-port 2500 --pass")}, {});
}

TEST_F(KilledCommit, OfARangeInThePlaceOfAnother)
{
    put_in_force({record("--remote-port 1500-2500 --partition")}, {});
    const auto before = record("--remote-port 1000-1999 --partition");
    put_in_force({before}, {});
    kill_everywhere({record("--remote-port 2000-65535 --partition")}, {before});
}

TEST_F(KilledCommit, OfTheOnlyRange)
{
    const auto before = record("--remote-port 1000-1999 --partition");
    put_in_force({before}, {});
    kill_everywhere({record("--remote-port 1500-3000 --partition")}, {before});
}

TEST_F(KilledCommit, ThatJoinsClasses)
{
    const auto goes = record("--remote-port 1000-1999 --pass --priority 1");
    put_in_force({record("--remote-port 1-65535 --partition"), goes}, {});
    set_stale_classes(many);
    kill_everywhere({record("--remote-port 1500-3000 --pass --priority 1")}, {goes});
    set_stale_classes(many);
    put_in_force({}, {goes});
    EXPECT_EQ(entries(), 1U);
}

}  // namespace
}  // namespace headwind::prog::ports_test

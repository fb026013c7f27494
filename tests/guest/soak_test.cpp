// SPDX-License-Identifier: MIT
// Runs hours of random commands and traffic in virtual time: every packet is accounted for, and nothing grows.
//
// tools/soak sets $HEADWIND_SOAK_SEED and $HEADWIND_SOAK_ROUNDS.
#include <array>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <set>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "measure.h"
#include "soak.h"

namespace headwind::test::soak_test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned operations_in_a_round = 20;

std::uint64_t setting(const char* name, std::uint64_t otherwise)
{
    const char* text = std::getenv(name);
    return text != nullptr ? std::stoull(text) : otherwise;
}

// One end of the pair, with its traffic and counters.
class End {
public:
    End(const Namespace& where, std::string device, std::array<std::string, 2> addresses)
        : where_(where), device_(std::move(device)), addresses_(std::move(addresses)), footprint_(footprint(where))
    {
        for (const auto& address : addresses_)
            for (unsigned i = 0; i < soak_ports; ++i)
                sinks_.push_back(udp_socket(where, {address, static_cast<std::uint16_t>(first_port + i)}));
        errors_before_ = stack_errors();
    }

    const Namespace& where() const { return where_; }
    const std::string& device() const { return device_; }
    const std::string& address(bool v6) const { return addresses_[v6 ? 1 : 0]; }
    std::vector<std::string> names() const
    {
        std::vector<std::string> out;
        for (const auto& [name, counters] : rules_) out.push_back(name);
        return out;
    }

    // Reads the counters of all rules, and keeps those of rules that are gone. A rule that is replaced counts from 0.
    void look()
    {
        auto stats = parse_json(headwind(where_, "stats --json"));
        std::map<std::string, Totals> now;
        for (const auto& rule : stats["rules"]) now[rule["name"]] = counted(rule);
        for (const auto& [name, before] : rules_) {
            const auto found = now.find(name);
            if (found == now.end() || found->second["matched"] < before.at("matched")) add(gone_, before);
        }
        rules_ = std::move(now);
        const auto& line = stats["line"];
        held_ = line.is_object() ? line["held_packets"].get<std::uint64_t>() : 0;
        if (line.is_object()) line_drops_ = line["dropped_packets"];
    }
    std::uint64_t held() const { return held_; }
    std::uint64_t line_drops() const { return line_drops_; }
    void drain()
    {
        for (int tries = 0; tries < 60; ++tries) {
            std::this_thread::sleep_for(500ms);
            look();
            if (held_ == 0) return;
        }
        ADD_FAILURE() << held_ << " packets are still held at " << where_.name();
    }
    void receive()
    {
        std::array<char, 2048> buffer{};
        for (const auto& sink : sinks_)
            while (recv(sink.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) ++delivered_;
    }
    void send(const End& to, Dice& dice, bool all = false)
    {
        Flow flow;
        flow.segments = dice.percent(30) ? dice.between(2, 10) : 1;
        flow.count = flow.segments * dice.between(5, 200 / flow.segments);
        flow.size = dice.between(24, 1400);
        flow.local_port = static_cast<std::uint16_t>(first_source + dice.below(soak_ports));
        const auto port = static_cast<std::uint16_t>(first_port + dice.below(soak_ports));
        const auto sent = send_udp(where_, {to.address(dice.percent(50)), port}, flow);
        EXPECT_TRUE(!all || sent.packets == flow.count) << sent.packets << " of " << flow.count;
        sent_ += sent.packets;
    }
    std::uint64_t sent() const { return sent_; }
    std::uint64_t delivered() const { return delivered_; }
    // The fate of packets here by cause, and the counters "matched" and "duplicated".
    Totals counters() const
    {
        auto out = gone_;
        for (const auto& [name, counters] : rules_) add(out, counters);
        out["refused by the stack"] = stack_errors() - errors_before_;
        return out;
    }
    void expect_clean() const { expect_footprint(where_, footprint_); }

private:
    static Totals counted(const nlohmann::json& rule)
    {
        Totals out{{"matched", 0}};
        for (const auto& counters : rule["counters"]) {
            out["matched"] += counters["packets"].get<std::uint64_t>();
            out["duplicated"] += counters.value("duplicated_packets", std::uint64_t{0});
            for (const auto& [cause, count] : counters["dropped_packets"].items())
                out[cause] += count.get<std::uint64_t>();
        }
        return out;
    }
    // The number of packets that the stack found corrupted.
    std::uint64_t stack_errors() const
    {
        return stack_count(where_, "UdpInErrors") + stack_count(where_, "Udp6InErrors");
    }

    const Namespace& where_;
    std::string device_;
    std::array<std::string, 2> addresses_;
    std::string footprint_;
    std::vector<Fd> sinks_;
    std::map<std::string, Totals> rules_;
    Totals gone_;
    std::uint64_t sent_ = 0, delivered_ = 0, held_ = 0, line_drops_ = 0, errors_before_ = 0;
};

class Soak {
public:
    explicit Soak(std::uint64_t seed) : dice_(seed) {}

    void round()
    {
        for (unsigned i = 0; i < operations_in_a_round && !testing::Test::HasFailure(); ++i) {
            operate();
            if (dice_.percent(70)) traffic();
            std::this_thread::sleep_for(std::chrono::milliseconds(dice_.between(1, 1 << dice_.below(22))));
        }
        balance();
        check_growth();
        report(++rounds_);
    }

private:
    End& end(bool second) { return second ? b_ : a_; }

    // Rules that an operation removes take their counters along, so packets on their way to that end must have arrived.
    // Packets that the end itself holds may stay.
    void operate()
    {
        const bool second = dice_.percent(50);
        end(!second).drain();
        end(second).look();
        run_one(end(second));
    }
    void run_one(End& at)
    {
        const auto what = dice_.below(100);
        if (what < 35)
            command(at, "add" + named_rule(at));
        else if (what < 55)
            command(at, "change " + some_name(at) + random_values(dice_) + " --yes");
        else if (what < 70)
            command(at, "del " + some_name(at));
        else if (what < 82)
            batch(at);
        else if (what < 87)
            panic(at);
        else if (what < 92)
            agent(at);
        else if (what < 95)
            command(at, "upgrade");
        else if (what < 97)
            clear(at);
        else
            command(at, "renew " + some_name(at));
    }
    std::string name() { return "r" + std::to_string(dice_.below(12)); }
    std::string some_name(const End& at)
    {
        const auto names = at.names();
        return names.empty() || dice_.percent(5) ? name() : names[dice_.below(names.size())];
    }
    std::string named_rule(const End& at)
    {
        return " --yes --replace --name " + name() + " --dev " + at.device() + random_rule(dice_);
    }
    // Runs a command. It may be refused, since the rule is not there or does not fit.
    Output command(End& at, const std::string& arguments)
    {
        ++counts_["commands"];
        auto output = headwind(at.where(), arguments);
        if (output.status != 0) {
            ++counts_["refused"];
            EXPECT_FALSE(output.err.empty()) << arguments;
            EXPECT_LE(output.status, 3) << arguments << "\n" << output.err;
        }
        return output;
    }
    void batch(End& at)
    {
        const auto path = "/tmp/soak.rules";
        std::ofstream file(path);
        std::set<std::string> taken;
        for (auto lines = dice_.between(2, 6); lines > 0; --lines) {
            const auto one = name();
            if (!taken.insert(one).second) continue;
            if (dice_.percent(30))
                file << "del " << some_name(at) << "\n";
            else
                file << "add --replace --name " << one << " --dev " << at.device() << random_rule(dice_) << "\n";
        }
        file.close();
        command(at, std::string("batch --yes ") + path);
    }
    // Switches panic on and off, and expects that everything passes meanwhile.
    void panic(End& at)
    {
        end(&at == &a_).drain();
        at.drain();
        receive();
        command(at, "panic");
        const auto delivered = a_.delivered() + b_.delivered(), sent = a_.sent() + b_.sent();
        for (const bool second : {false, true}) end(second).send(end(!second), dice_, true);
        std::this_thread::sleep_for(100ms);
        receive();
        EXPECT_EQ(a_.delivered() + b_.delivered() - delivered, a_.sent() + b_.sent() - sent) << "in panic";
        command(at, "panic --off");
    }
    void agent(End& at)
    {
        Process agent(&at.where(), {headwind_binary(), "agent", "--netns", at.where().path()});
        std::this_thread::sleep_for(std::chrono::seconds(dice_.between(5, 60)));
        EXPECT_TRUE(agent.running()) << agent.err();
        agent.signal(SIGTERM);
        EXPECT_EQ(agent.wait().status, 0) << agent.err();
    }
    void clear(End& at)
    {
        expect_ok(command(at, "clear --all"));
        at.look();
        at.expect_clean();
    }
    void traffic()
    {
        for (auto flows = dice_.between(1, 6); flows > 0; --flows) {
            const bool second = dice_.percent(50);
            end(second).send(end(!second), dice_);
        }
        std::this_thread::sleep_for(100ms);
        receive();
    }
    void receive()
    {
        a_.receive();
        b_.receive();
    }

    // Expects that sent + copies = delivered + dropped, as counted.
    void balance()
    {
        a_.drain();
        b_.drain();
        a_.drain();  // it may have held packets that b let go
        std::this_thread::sleep_for(100ms);
        b_.look();
        receive();
        counters_ = a_.counters();
        add(counters_, b_.counters());
        auto dropped = counters_;
        dropped.erase("matched");
        dropped.erase("duplicated");
        dropped_ = std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0},
                                   [](auto sum, const auto& one) { return sum + one.second; });
        EXPECT_EQ(a_.sent() + b_.sent() + counters_["duplicated"], a_.delivered() + b_.delivered() + dropped_)
            << format(counters_);
        EXPECT_EQ(a_.line_drops() + b_.line_drops(), 0U);
    }
    // Expects that the same rules always take the same objects, whatever was before, and that none are left without
    // rules.
    void check_growth()
    {
        for (auto* at : {&a_, &b_}) {
            std::ofstream file("/tmp/soak.rules");
            for (int i = 0; i < 20; ++i)
                file << "add --name s" << i << " --dev " << at->device() << " --proto udp --remote-port " << 9000 + i
                     << (i % 2 == 0 ? " --delay 1ms\n" : " --loss 1% --direction both\n");
            file.close();
            expect_ok(headwind(at->where(), "batch --yes /tmp/soak.rules"));
            for (const auto& name : at->names()) command(*at, "del " + name);  // some rules' leases have ended
        }
        compare(full_, bpf_objects(), full_memory_, kernel_memory());
        for (auto* at : {&a_, &b_}) clear(*at);
        compare(empty_, bpf_objects(), empty_memory_, kernel_memory());
    }
    static void compare(std::optional<Totals>& objects, const Totals& objects_now, std::vector<Totals>& memory,
                        const Totals& memory_now)
    {
        if (!objects) objects = objects_now;
        EXPECT_EQ(format(*objects), format(objects_now));
        memory.push_back(memory_now);
    }
    void report(unsigned round)
    {
        auto dropped = counters_;
        dropped.erase("matched");
        dropped.erase("duplicated");
        std::printf(
            "[  FIGURES ] round %u, %.2f h: %s; %lu sent + %lu copies = %lu delivered + %lu dropped (%s); with 40 rules %s kB, without %s kB\n",
            round, static_cast<double>(monotonic_ns() - start_) / 3.6e12, format(counts_).c_str(),
            a_.sent() + b_.sent(), counters_["duplicated"], a_.delivered() + b_.delivered(), dropped_,
            format(dropped).c_str(), format(full_memory_.back()).c_str(), format(empty_memory_.back()).c_str());
        std::fflush(stdout);
    }

    Dice dice_;
    Pair pair_;
    End a_{pair_.a, Pair::device_a, {Pair::a4, Pair::a6}}, b_{pair_.b, Pair::device_b, {Pair::b4, Pair::b6}};
    Totals counts_, counters_;
    std::uint64_t dropped_ = 0;
    std::optional<Totals> full_, empty_;
    std::vector<Totals> full_memory_, empty_memory_;
    unsigned rounds_ = 0;
    std::int64_t start_ = monotonic_ns();
};

RUNS_IN("GuestSoak.*", nowhere, virtual_6_12);

TEST(GuestSoak, EveryPacketIsAccountedForAndNothingGrows)
{
    const auto seed = setting("HEADWIND_SOAK_SEED", 1), rounds = setting("HEADWIND_SOAK_ROUNDS", 2);
    std::printf("[  FIGURES ] seed %lu\n", seed);
    Soak soak(seed);
    settle();
    for (std::uint64_t i = 0; i < rounds && !HasFailure(); ++i) soak.round();
}

}  // namespace
}  // namespace headwind::test::soak_test

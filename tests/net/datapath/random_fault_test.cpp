// SPDX-License-Identifier: MIT
// Tests faults in a row, drawn by chance from all kinds (support/fault_kinds.h), under traffic.
//
// At each look a rule is live, and its traffic as asked; or it says what is the matter, and its traffic is healthy, or
// as asked, or between the two. The agent, or the next command that changes something, mends it, and `clear --all`
// leaves nothing. A failure says the seed and what happened until then.
#include <filesystem>
#include <fstream>
#include <map>

#include "background.h"
#include "fault_kinds.h"
#include "pinned_objects.h"
#include "subject.h"

namespace headwind::test::random_fault_test {
namespace {

namespace fs = std::filesystem;

// How many; fewer where a command takes seconds.
unsigned faults_in_a_row()
{
    return slow_machine() && !takes_long() ? 6 : 20;
}

// Packets of a flow in the background that may be lost around a fault: what is in the part that goes, and what is sent
// until the datapath looks again.
constexpr std::size_t lost_around_a_fault = 10;

constexpr Subject spared{"spared", "", 5080};
constexpr Subject subjects[] = {
    {"third", "--dev va --loss 30% --proto udp --remote-port 5000-5001", 5000, 0.3},
    {"cut", "--dev va --partition --remote-port 5010", 5010, 1},
    {"inward", "--dev va --direction in --loss 40% --local-port 5020", 5020, 0.4, 1, 1, 0, Subject::in},
    {"front", "--dev va --direction in --partition --xdp generic --local-port 5022", 5022, 1, 1, 1, 0, Subject::in},
    {"twice", "--dev va --duplicate 100% --proto udp --remote-port 5030-5031", 5030, 0, 2, 2},
    {"flipped", "--dev va --corrupt 20% --proto udp --remote-port 5040", 5040, 0.2},
    {"anywhere", "--loss 50% --remote-port 5050", 5050, 0.5},
    {"home", "--dev lo --corrupt 25% --proto udp --remote-port 5060", 5060, 0.25, 1, 1, 0, Subject::lo},
    {"group", "--dev va --cgroup {} --loss 60% --remote-port 5070 --for ever", 5070, 0.6},
    {"slow", "--dev va --delay 40ms --proto udp --remote-port 5090-5091", 5090, 0, 1, 1, 40, Subject::out, true},
    {"wander", "--dev va --delay 30ms --jitter 5ms --keep-order --proto udp --remote-port 5092", 5092, 0, 1, 1, 25,
     Subject::out, true},
    {"slow-home", "--dev lo --delay 30ms --proto udp --remote-port 5094", 5094, 0, 1, 1, 30, Subject::lo, true},
};

// A look: the state of each rule by its name, with the devices it is at; how many packets of those that are live passed
// without the line, which may come and go between two looks: the kernel's link watch works in the background.
struct Look {
    int status = 0;
    std::string error;
    std::map<std::string, nlohmann::json> rules;
    bool operator==(const Look&) const = default;
};

std::string text_of(const Look& look)
{
    std::string text = fmt::format("list: {} {}\n", look.status, look.error);
    for (const auto& [name, rule] : look.rules) text += name + " " + rule.dump() + "\n";
    return text;
}

class RandomFaults : public Agent, public testing::WithParamInterface<unsigned> {
protected:
    void SetUp() override
    {
        Agent::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        before_ = footprint(a());
        backlog_ = backlog();
    }
    void TearDown() override
    {
        background_.clear();
        site_.reset();
        away_.reset();
        Agent::TearDown();
    }

    void begin(bool with_agent)
    {
        away_.emplace("away");
        site_.reset(new FaultSite{a(), b(), *away_, std::mt19937(GetParam()), {}, {}});
        site_->cgroup.emplace("faulty");
        kinds_ = fault_kinds(with_agent);
        for (const auto& subject : subjects)
            if (!subject.needs_fq || has_fq()) chosen_.push_back(subject);
        rules_ = testing::TempDir() + "rules";
        std::ofstream file(rules_);
        for (const auto& one : chosen_)
            file << fmt::format("add --replace --name {} {}\n", one.name,
                                fmt::format(fmt::runtime(one.flags), site_->cgroup->path()));
        file.close();
        std::ofstream(testing::TempDir() + "set") << "add --name of-set --dev va --partition --remote-port 6001\n";
        set_rules_file(rules_);
        change(a(), "batch " + rules_);
        if (with_agent) {
            site_->home = &home();
            site_->agent.emplace(home());
        }
        for (const auto& one : chosen_)
            if (one.name == std::string_view("third") || one.name == std::string_view("twice") ||
                one.name == std::string_view("slow"))
                begin_background(one);
        begin_background(spared);
    }
    void begin_background(const Subject& subject)
    {
        const auto port = static_cast<std::uint16_t>(subject.port + 1);
        background_.push_back(
            {subject, std::make_unique<Background>(a(), b(), Endpoint{Pair::b4, port},
                                                   Flow{.size = 200,
                                                        .segments = subject.segments,
                                                        .per_second = static_cast<unsigned>(scaled(200, 20))})});
    }

    // ---- looks ----

    Look look() const
    {
        const auto output = headwind(a(), "list --json");
        Look out{output.status, without_audit(output.err), {}};
        const auto all = nlohmann::json::parse(output.out, nullptr, false);
        if (!all.is_object()) return out;
        for (const auto& rule : all["rules"])
            out.rules[rule["name"]] = {
                {"state", rule["state"]},
                {"trouble", rule.value("trouble", "")},
                {"at", rule.value("attached_to", std::vector<std::string>{})},
                {"passed_without_line", rule["state"] == "live" ? passed_without_line(rule) : 0}};
        return out;
    }
    static std::uint64_t passed_without_line(const nlohmann::json& rule)
    {
        std::uint64_t sum = 0;
        for (const auto& counters : rule["counters"]) sum += counters.value("passed_without_line_packets", 0U);
        return sum;
    }
    static bool is_live(const Look& look, const Subject& subject)
    {
        const auto rule = look.rules.find(subject.name);
        if (rule == look.rules.end() || rule->second["state"] != "live") return false;
        for (const std::string device : rule->second["at"])
            if (device == "va" || device == "vx" || device == "lo")
                if ((subject.way == Subject::lo) == (device == "lo")) return true;
        return false;
    }
    bool is_healthy(const Look& look) const
    {
        return std::ranges::all_of(chosen_, [&](const auto& one) { return is_live(look, one); }) &&
               std::ranges::all_of(look.rules, [](const auto& one) { return one.second["trouble"] == ""; });
    }

    // ---- traffic ----

    Outcome outcome_of(const Subject& subject, UdpSink& sink, const Sent& sent) const
    {
        Outcome out{.sent = sent.stamps.size(), .failed = sent.failed};
        std::vector<unsigned> copies(out.sent);
        for (const auto& one : sink.finish(std::chrono::milliseconds(5))) {
            ++out.arrived;
            out.least_ns = std::min(out.least_ns, one.arrived_ns - one.stamp.sent_ns);
            if (one.stamp.sequence < copies.size()) ++copies[one.stamp.sequence];
        }
        for (const auto count : copies) {
            out.lost += count == 0 ? 1 : 0;
            out.miscopied += count != 0 && count != subject.copies ? 1 : 0;
        }
        return out;
    }
    Sent send(const Subject& subject) const
    {
        const Flow flow{.count = scaled(200, 60), .size = 200, .segments = subject.segments};
        const Endpoint to{subject.way == Subject::out  ? Pair::b4
                          : subject.way == Subject::in ? Pair::a4
                                                       : "127.0.0.1",
                          subject.port};
        if (subject.name != std::string_view("group"))
            return send_udp(subject.way == Subject::in ? b() : a(), to, flow);
        std::optional<InCgroup> inside(*site_->cgroup);
        const auto socket = connected_udp(a(), to);
        inside.reset();
        return send_udp(socket.get(), flow);
    }
    // Sends for all subjects, and the spared one.
    std::vector<std::pair<Subject, Outcome>> measure() const
    {
        auto all = chosen_;
        all.push_back(spared);
        std::vector<std::unique_ptr<UdpSink>> sinks;
        std::vector<Sent> sent;
        for (const auto& one : all)
            sinks.push_back(
                std::make_unique<UdpSink>(one.way == Subject::out ? b() : a(), Endpoint{"0.0.0.0", one.port}));
        for (const auto& one : all) sent.push_back(send(one));
        const auto sum = [&] {
            std::size_t count = packets_in_backlogs();
            for (const auto& sink : sinks) count += sink->count();
            return count;
        };
        const int idle = has_fq() ? 300 : 40;  // ms; the longest delay is 40 ms
        auto last = sum();
        for (int quiet = 0; quiet < idle; quiet += 5) {
            usleep(5'000);
            if (const auto now = sum(); now != last) {
                quiet = 0;
                last = now;
            }
        }
        std::vector<std::pair<Subject, Outcome>> out;
        for (std::size_t i = 0; i < all.size(); ++i) out.emplace_back(all[i], outcome_of(all[i], *sinks[i], sent[i]));
        return out;
    }

    // Measures between two looks that say the same, and judges.
    void expect_truth(bool healed, unsigned traits = 0)
    {
        for (int tries = 0; tries < 20; ++tries) {
            const auto before = look();
            const auto outcomes = measure();
            const auto after = look();
            if (before != after) continue;  // the agent was at work
            for (const auto& [subject, outcome] : outcomes) {
                const bool live = subject.port == spared.port || is_live(before, subject);
                EXPECT_TRUE(live || !healed) << subject.name;
                if (!live && (traits & loses)) continue;
                EXPECT_TRUE(live ? is_as_asked(subject, outcome) : is_healthy_or_as_asked(subject, outcome))
                    << subject.name << (live ? ", live: " : ", not effective: ") << testing::PrintToString(outcome)
                    << "\n"
                    << text_of(before) << rule_of(a(), subject.name)["counters"].dump() << "\n"
                    << run(&a(), words("ip -d link show type veth")).out
                    << run(&a(), words("ip -d link show type bridge")).out;
            }
            return;
        }
        ADD_FAILURE() << "no two looks say the same";
    }
    // Doctor and list agree.
    void expect_doctor_tells() const
    {
        const auto rules = look();
        const bool broken =
            std::ranges::any_of(rules.rules, [](const auto& one) { return one.second["state"] == "not effective"; });
        const auto doctor = headwind(a(), "doctor --json");
        const auto all = nlohmann::json::parse(doctor.out, nullptr, false);
        EXPECT_TRUE(!broken || doctor.status == 5) << doctor.status;
        bool told = false;
        for (const auto& check : all) told = told || (check["check"] == "rules" && check["status"] == "no");
        EXPECT_EQ(told, broken || rules.status != 0) << doctor.out << text_of(rules);
    }

    // ---- the sequence ----

    unsigned happen()
    {
        for (;;) {
            const auto& kind = kinds_[site_->dice() % kinds_.size()];
            site_->last = kind.name;
            const bool could = kind.happen(*site_);
            story_ += fmt::format("{:>3}. {}{}{}\n", happened_ + 1, site_->last,
                                  (kind.traits & cuts)       ? " (cuts)"
                                  : (kind.traits & disturbs) ? " (disturbs)"
                                                             : "",
                                  could ? "" : " (could not)");
            if (!could) continue;
            ++happened_;
            objects_.collect();
            return kind.traits;
        }
    }

    void change_something()
    {
        const auto set = testing::TempDir() + "set";
        const std::string commands[] = {"add --name spare --replace --dev lo --partition --remote-port 6000",
                                        "change third --loss 30%",
                                        "change cut --partition",
                                        "batch " + rules_,
                                        "apply --yes " + set,
                                        "add --name late --replace --partition --for 1h --dev va --port 6002"};
        const auto& command = commands[site_->dice() % std::size(commands)];
        story_ += "     headwind " + command + "\n";
        change(a(), command);
    }

    void clear_and_begin_again()
    {
        story_ += "     headwind clear --all, and all rules anew\n";
        change(a(), "clear --all");
        forget_sysctls();
        expect_footprint_but_numbers();
        change(a(), "batch " + rules_);
    }
    // Their old values are lost with the pins.
    void forget_sysctls() const
    {
        run(&a(),
            {"sh", "-c", "for n in route_localnet accept_local; do echo 0 > /proc/sys/net/ipv4/conf/lo/$n; done"});
        if (owns_machine())
            run(nullptr, words("nsenter --net=/proc/1/ns/net sysctl -qw net.core.netdev_max_backlog=" + backlog_));
    }
    // Natively others may change it, too.
    static bool owns_machine() { return slow_machine(); }
    static std::string backlog()
    {
        return run(nullptr, words("nsenter --net=/proc/1/ns/net sysctl -n net.core.netdev_max_backlog")).out;
    }

    // Waits until the agent has mended everything.
    void await_agent()
    {
        const auto start = monotonic_ns();
        const bool nudged = !takes_long() || site_->dice() % 2 == 0;
        bool first = true;
        int looks = 0;
        const bool healed = eventually([&] {
            ++looks;
            if (is_healthy(look())) return true;
            // A look is due at once when something happens to any device, else every 10 s.
            if (nudged && std::exchange(first, false)) ip(a(), "link set lo alias nudged\nlink set lo alias \"\"");
            usleep(slow_machine() ? 500'000 : 50'000);
            return false;
        });
        EXPECT_TRUE(healed) << text_of(look()) << site_->agent->process().out();
        longest_ms_ = std::max(longest_ms_, (monotonic_ns() - start) / 1'000'000);
        // Within 15 s, in a guest 40 s, of pauses between our looks: a busy machine makes fewer.
        EXPECT_LT(looks, slow_machine() ? 80 : 300) << site_->agent->process().out();
    }

    // One or more faults, and what mends them.
    void round()
    {
        note_stretch(true);
        unsigned traits = 0;
        const unsigned several = site_->dice() % 3 == 0 ? 2 + site_->dice() % 2 : 1;
        for (unsigned i = 0; i < several && happened_ < faults_in_a_row(); ++i) {
            traits |= happen();
            const auto now = look();
            for (const auto& one : chosen_)
                EXPECT_TRUE(now.rules.contains(one.name) || (traits & (harms_pins | ends_rules)))
                    << one.name << " is gone\n"
                    << text_of(now);
            if (!(traits & cuts)) expect_truth(false, traits);
            if (!site_->agent && site_->dice() % 4 == 0) expect_doctor_tells();
            if (testing::Test::HasFailure()) return;
        }
        undo_faults(*site_);
        if (traits & harms_pins)
            clear_and_begin_again();
        else if (!std::ranges::all_of(chosen_,
                                      [now = look()](const auto& one) { return now.rules.contains(one.name); })) {
            change(a(), "batch " + rules_);
        } else if (!site_->agent)
            change_something();
        if (site_->agent) await_agent();
        EXPECT_TRUE(is_healthy(look())) << text_of(look());
        expect_truth(true);
        note_stretch(false, traits);
    }

    void play(bool with_agent)
    {
        begin(with_agent);
        expect_truth(true);
        calm_since_ = monotonic_ns();
        while (happened_ < faults_in_a_row() && !testing::Test::HasFailure()) round();
        EXPECT_FALSE(testing::Test::HasFailure()) << "seed " << GetParam() << ":\n" << story_;
        end();
        EXPECT_FALSE(testing::Test::HasFailure()) << "seed " << GetParam() << ":\n" << story_;
        if (std::getenv("HEADWIND_TEST_STORY") != nullptr) std::printf("%s", story_.c_str());
        if (with_agent) std::printf("[  FIGURES ] mended after %ld ms at the latest\n", longest_ms_);
    }

    // ---- stretches of time, in which the background is judged ----

    struct Stretch {
        std::int64_t from, to;
        bool calm;
        unsigned traits, last_fault;
    };
    void note_stretch(bool calm, unsigned traits = 0)
    {
        const auto now = monotonic_ns();
        if (!std::exchange(started_, true)) calm_since_ = now;
        stretches_.push_back({calm_since_, now, calm, traits, happened_});
        calm_since_ = now;
    }
    void judge(const Stretch& stretch) const
    {
        if (stretch.traits & (cuts | disturbs | loses)) return;
        for (const auto& [subject, flow] : background_) {
            const auto span = flow->of(stretch.from, stretch.to);
            const std::size_t slack = stretch.calm || subject.port == spared.port ? 2 : lost_around_a_fault;
            const auto lost = span.lost - std::min(span.lost, slack);
            EXPECT_TRUE(may_lose(subject, span.sent, lost, stretch.calm && span.lost > slack))
                << subject.name << (stretch.calm ? " after" : " until some time after") << " fault "
                << stretch.last_fault << ": " << span.lost << " lost of " << span.sent;
            EXPECT_LE(span.copies, span.sent * (subject.copies - 1)) << subject.name;
            EXPECT_TRUE(!stretch.calm || span.copies + slack + lost >= span.sent * (subject.copies - 1))
                << subject.name;
        }
    }

    // The indexes of the devices may be others.
    void expect_footprint_but_numbers() const
    {
        const auto wanted = without_indexes(before_);
        eventually(std::chrono::seconds(10), [&] { return without_indexes(footprint(a())) == wanted; });
        EXPECT_EQ(without_indexes(footprint(a())), wanted);
    }
    static std::string without_indexes(const std::string& footprint)
    {
        std::istringstream in(footprint);
        std::vector<std::string> lines;
        for (std::string line; std::getline(in, line);)
            lines.push_back(line.substr(line.find_first_not_of("0123456789")));
        std::ranges::sort(lines);
        return fmt::format("{}", fmt::join(lines, "\n"));
    }

    void end()
    {
        for (auto& one : background_) one.flow->end();
        for (const auto& stretch : stretches_) judge(stretch);
        site_->agent.reset();
        undo_faults(*site_);
        change(a(), "clear --all");
        expect_footprint_but_numbers();
        expect_nothing_pinned();
        EXPECT_FALSE(fs::exists("/sys/fs/bpf/headwind-agent")) << "the agent has ended";
        EXPECT_TRUE(eventually([this] { return objects_.alive() == 0; })) << objects_.alive();
        EXPECT_THAT(run(&*away_, words("ip -br link")).out, testing::Not(testing::HasSubstr("headwind")));
        EXPECT_TRUE(!owns_machine() || backlog() == backlog_) << backlog();
        EXPECT_EQ(arrive({.count = 50}, {Pair::b4, 5000}), 50U);
        site_.reset();
    }

private:
    struct Flowing {
        Subject subject;
        std::unique_ptr<Background> flow;
    };

    bool started_ = false;
    std::string before_, backlog_, rules_, story_;
    std::optional<Namespace> away_;
    std::unique_ptr<FaultSite> site_;
    std::vector<FaultKind> kinds_;
    std::vector<Subject> chosen_;
    std::vector<Flowing> background_;
    std::vector<Stretch> stretches_;
    PinnedObjects objects_;
    unsigned happened_ = 0;
    std::int64_t calm_since_ = 0, longest_ms_ = 0;
};

TEST_P(RandomFaults, TheNextChangeMends)
{
    play(false);
}

TEST_P(RandomFaults, TheAgentMends)
{
    play(true);
}

INSTANTIATE_TEST_SUITE_P(Seed, RandomFaults, testing::Range(1U, 51U),
                         [](const auto& one) { return std::to_string(one.param); });

RUNS_IN("*/RandomFaults.*", nowhere, native | linux_6_1 | linux_6_12);
RUNS_IN("*/RandomFaults.TheNextChangeMends/1:*/RandomFaults.TheAgentMends/2", native, linux_6_1 | linux_6_12);
RUNS_IN("*/RandomFaults.TheAgentMends/3", nowhere, native | linux_6_1 | linux_6_12);

}  // namespace
}  // namespace headwind::test::random_fault_test

// SPDX-License-Identifier: MIT
// Rules drawn by chance, valid and not, with all flags that need no file.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "chance/chain.h"
#include "rule/flags.h"
#include "rule_text.h"

namespace headwind::rule_test {

class RandomRules {
public:
    explicit RandomRules(std::uint64_t seed) : random_(seed) {}

    RuleSpec text()
    {
        RuleSpec text;
        text.name = fmt::format("r{}", below(1000));
        fill(text.devices, {"eth0", "lo,wlan0", "br-1"});
        fill(text.cgroups, {"/a", "b/c", "/\xc3\xa4 b", "/d.slice/e\\x2d.scope,/f"});
        fill(text.protocols, {"tcp", "udp,icmp", "nd", "arp", "17", "147,dhcp", "lldp,0x9000", "mpls,tcp"});
        if (below(2) == 0)
            fill(text.ports, {"80", "22,8000-8100", "1:2"});
        else {
            fill(text.local_ports, {"80", "22,8000-8030", "65535"});
            fill(text.remote_ports, {"443", "1-20,15-30"});
        }
        fill(text.locals, {"10.0.0.0/8", "::1", "192.0.2.1,2001:db8::/32"});
        fill(text.remotes, {"0.0.0.0/0", "::/0", "fe80::/10,198.51.100.7"});
        text.partition = below(8) == 0;
        text.pass = below(8) == 0;
        if (below(2) == 0) text.delay = format_duration(below(8) == 0 ? 0 : below(max_delay));
        if (text.delay && below(2) == 0) fill_delay(text);
        for (const Flag& flag : rule_flags()) {
            const bool alone = std::holds_alternative<Chance>(flag.value) && flag.needs == nullptr;
            if (alone && below(2) == 0) text.*std::get<Word>(flag.member) = probability();
        }
        if (text.loss && below(4) == 0) text.loss_correlation = probability();
        if (text.loss && below(8) == 0)
            text.loss_burst = fmt::format("{}", 1 + static_cast<double>(below(9000)) / 1000);
        if (text.corrupt && below(4) == 0) text.corrupt_correlation = probability();
        if (text.duplicate && below(4) == 0) text.duplicate_correlation = probability();
        if (text.reorder && below(4) == 0) text.reorder_correlation = probability();
        if (below(8) == 0) text.loss_model = "gemodel " + probability() + " " + probability();
        if (below(8) == 0) text.loss_nth = fmt::format("{}", below(50));
        if (below(8) == 0) text.netem_compatible = true;
        if (below(4) == 0) text.reject = below(2) == 0 ? "rst" : "icmp";
        if (below(2) == 0) text.rate = format_rate(8 + below(100'000'000'000));
        if (text.rate && below(4) == 0) text.rate_last = true;
        if (text.rate && below(2) == 0)
            text.queue = below(2) == 0 ? format_size(below(1'000'000)) : format_duration(below(1'000'000'000));
        if (below(2) == 0) text.direction = std::vector<std::string>{"out", "in", "both"}[below(3)];
        if (below(4) == 0)
            text.flap = fmt::format("up={},down={}", format_duration(1 + below(max_delay)),
                                    format_duration(1 + below(max_delay)));
        if (below(4) == 0)
            text.between = fmt::format("{:02}:{:02}-{:02}:{:02}", below(24), below(60), below(24), below(60));
        if (below(4) == 0) text.days = format_days(static_cast<std::uint8_t>(1 + below(every_day)));
        if (below(4) == 0) text.flows = probability();
        if (text.flows && below(2) == 0) text.flow_seed = fmt::format("{}", below(1ULL << 32));
        if (below(8) == 0) fill_ramp(text);
        if (below(4) == 0) text.max_share = probability();
        if (below(4) == 0) text.stop_if = fmt::format("test {} -lt 5", below(10));
        if (below(2) == 0) text.priority = fmt::format("{}", static_cast<int>(below(2001)) - 1000);
        return text;
    }

    // Changes, adds or takes away one byte of one field.
    void mangle(RuleSpec& text)
    {
        std::vector<std::string*> fields{&text.name};
        for (const Flag& flag : rule_flags()) {
            if (const auto* list = std::get_if<List>(&flag.member)) {
                for (std::string& value : text.**list) fields.push_back(&value);
            } else if (const auto* word = std::get_if<Word>(&flag.member); word != nullptr && text.**word) {
                fields.push_back(&*(text.**word));
            }
        }
        std::string& field = *fields[below(fields.size())];
        const char byte = below(2) == 0 ? static_cast<char>(below(256)) : ",.:-/%0 9"[below(9)];
        const std::size_t at = below(field.size() + 1);
        if (at < field.size() && below(3) == 0)
            field.erase(at, 1);
        else if (at < field.size() && below(2) == 0)
            field[at] = byte;
        else
            field.insert(at, 1, byte);
    }

    std::uint64_t below(std::uint64_t end) { return random_() % end; }

private:
    std::string probability() { return format_probability({below(8) == 0 ? 0 : below((std::uint64_t{1} << 32) + 1)}); }

    void fill_delay(RuleSpec& text)
    {
        text.jitter = format_duration(below(8) == 0 ? 0 : below(max_delay / (1 + below(1000))));
        const std::string laws[] = {"uniform", "normal", "pareto", "paretonormal", "exponential", "lognormal"};
        if (below(2) == 0) text.distribution = laws[below(std::size(laws))];
        if (below(4) == 0) text.keep_order = true;
        if (below(8) == 0) text.correlation_time = format_duration(below(3'600'000'000'000));
        if (below(4) == 0) text.delay_correlation = probability();
        if (below(4) == 0) text.seed = fmt::format("{}", 1 + random_() % ~std::uint64_t{0});
        if (below(2) == 0) text.reorder = probability();
        if (text.reorder && below(2) == 0) text.reorder_gap = fmt::format("{}", 1 + below(std::uint64_t{1} << 31));
    }

    void fill_ramp(RuleSpec& text)
    {
        text.duplicate.reset();
        text.repeat = below(2) == 0;
        text.ramp = fmt::format("duplicate={}..{},over={}", probability(), probability(),
                                format_duration(1 + below(longest_ramp)));
    }

    void fill(std::vector<std::string>& list, const std::vector<std::string>& choices)
    {
        for (std::uint64_t count = below(3); count > 0; --count) list.push_back(choices[below(choices.size())]);
    }

    std::mt19937_64 random_;
};

}  // namespace headwind::rule_test

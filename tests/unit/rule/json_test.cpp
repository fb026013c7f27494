// SPDX-License-Identifier: MIT
// Tests rules as JSON: keys, round trips, and the errors for JSON that is no rule.
#include <nlohmann/json.hpp>

#include "rule_test.h"

namespace headwind::rule_test::json_test {
namespace {

using namespace std::string_literals;
using nlohmann::json;

TEST(Json, HasUnitsInKeys)
{
    const json expected = json::parse(R"({
        "name": "slow-db", "direction": "out", "priority": 5,
        "selector": {
            "devices": ["eth0", "lo"], "cgroups": ["/a/b"], "protocols": ["tcp", "arp"],
            "local_ports": ["1024-2047"], "remote_ports": ["80", "443"],
            "locals": ["192.0.2.1"], "remotes": ["10.0.0.0/8", "2001:db8::/32"]
        },
        "impairment": {
            "delay_ns": 50000000, "jitter_ns": 5000000, "distribution": "normal",
            "loss_percent": 0.1, "loss_threshold": 4294967,
            "corrupt_percent": 0.01, "corrupt_threshold": 429497,
            "duplicate_percent": 25, "duplicate_threshold": 1073741824,
            "reorder_percent": 50, "reorder_threshold": 2147483648, "reorder_gap": 5,
            "rate_bit_per_s": 1000000, "queue_bytes": 64000, "reject": "rst"
        }
    })");
    const json actual = to_json(valid(full_line));
    EXPECT_EQ(actual, expected) << actual.dump(2);
    expect_contains(actual.dump(), R"("loss_percent":0.1,)", "dump");
    EXPECT_EQ(rule_from_json(expected).value(), valid(full_line));
}

TEST(Json, RoundTripsKinds)
{
    for (const std::string line : {"--partition",
                                   "--loss 1% --cgroup a --loopback",
                                   "--pass --direction in",
                                   "--partition --port 22,80-90",
                                   "--loss 0.01%",
                                   "--rate 8bit --queue 1ns",
                                   "--delay 1ns --loss 0%",
                                   "--loss 100% --direction both",
                                   "--reject icmp",
                                   "--partition --reject rst --direction in",
                                   "--corrupt 0% --duplicate 1%",
                                   "--delay 2ns --jitter 1ns",
                                   "--delay 1ms --jitter 0 --distribution normal",
                                   "--delay 0 --reorder 0% --reorder-gap 9 --loss 1%",
                                   "--delay 1ms --reorder 3% --reorder-gap 1",
                                   "--loss 1% --cgroup /\xc3\xa4/\"quoted\"\\x2d",
                                   "--loss 1% --proto nd,dhcp,0,255",
                                   "--loss 1% --remote ::/0 --priority -1000",
                                   "--flap up=1h,down=1ns",
                                   "--flap up=30s,down=5s --delay 1ms",
                                   "--loss 1% --between 22:00-06:00 --days fri-mon",
                                   "--loss 1% --between 18:00-24:00",
                                   "--loss 1% --days tue,sat",
                                   "--loss 1% --flows 0.1%",
                                   "--loss 1% --flows 100% --flow-seed 4294967295"}) {
        const Rule rule = valid(line);
        const auto back = rule_from_json(json::parse(to_json(rule).dump()));
        ASSERT_TRUE(back) << line << ": " << back.error().message;
        EXPECT_EQ(*back, rule) << line;
    }
}

TEST(Json, DefaultsAreThoseOfTheFlags)
{
    const auto rule = rule_from_json(json::parse(R"({"name": "r", "impairment": {"partition": true}})"));
    ASSERT_TRUE(rule) << rule.error().message;
    EXPECT_EQ(*rule, valid("--partition"));
}

struct Change {
    std::string pointer;  // to the changed value (a JSON pointer)
    std::string value;
    std::string hint;  // part of the error
};

TEST(Json, Refuses)
{
    const std::vector<Change> changes{
        {"", "[]", "rule JSON: must be an object"},
        {"", "null", "must be an object"},
        {"", "5", "must be an object"},
        {"/nam", "1", "unknown key nam: use name, direction"},
        {"/\n", "1", "unknown key \\x0a"},
        {"/name", "1", "name: must be a string"},
        {"/name", "\"\"", "--name: missing"},
        {"/name", "\"a b\"", "--name \"a b\""},
        {"/direction", "null", "direction: must be a string: out, in or both"},
        {"/direction", "\"up\"", "--direction up"},
        {"/priority", "\"5\"", "priority: must be a whole number"},
        {"/priority", "1.5", "priority: must be a whole number"},
        {"/priority", "18446744073709551615", "--priority 18446744073709551615"},
        {"/selector", "[]", "selector: must be an object"},
        {"/selector/flows_percent", "5", "selector.flows_threshold: must be a whole number"},
        {"/flap", "{\"up_ns\": 5}", "flap: must be both up_ns and down_ns"},
        {"/flap", "{\"up_ns\": 5, \"down_ns\": 0}", "--flap"},
        {"/hours", "{\"from\": 5}", "unknown key hours.from: use between, days"},
        {"/hours", "{\"between\": 9}", "hours.between: must be a string"},
        {"/hours", "{\"between\": \"9\"}", "--between 9"},
        {"/hours", "{\"days\": \"\"}", "--days \"\""},
        {"/selector/flow_seed", "-1", "selector.flow_seed: must be a whole number, 0 or more"},
        {"/selector/device", "[]", "unknown key selector.device: use devices"},
        {"/selector/devices", "\"eth0\"", "selector.devices: must be an array of strings"},
        {"/selector/devices", "[1]", "selector.devices: must be an array of strings"},
        {"/selector/devices", "[\"a,b\"]", "selector.devices: must be one entry a string"},
        {"/selector/devices", "[\"\"]", "--dev \"\""},
        {"/selector/local_ports", "[80]", "selector.local_ports: must be an array of strings"},
        {"/selector/local_ports", "[\"0\"]", "--local-port 0"},
        {"/selector/remotes", "{}", "selector.remotes: must be an array of strings"},
        {"/impairment", "true", "impairment: must be an object"},
        {"/impairment/jitter", "5", "unknown key impairment.jitter: use delay_ns, jitter_ns"},
        {"/impairment/jitter_ns", "50000001", "--jitter 50000001ns: longer than --delay"},
        {"/impairment/jitter_ns", "-1", "impairment.jitter_ns: must be a whole number, 0 or more"},
        {"/impairment/distribution", "1", "impairment.distribution: must be a string: LAW"},
        {"/impairment/distribution", "\"gauss\"", "--distribution gauss: unknown distribution"},
        {"/impairment/distribution", "\"table:x\"", "--distribution table:x: its file has not been read"},
        {"/impairment/quantiles", "5", "impairment.quantiles: must be a string of whole numbers"},
        {"/impairment/quantiles", "\"1 2.5\"", "impairment.quantiles: must be a string of whole numbers"},
        {"/impairment/quantiles", "\"9999999999\"", "impairment.quantiles: must be a string of whole numbers"},
        {"/impairment/quantiles", "\"2147483647 1\"", "impairment.quantiles: must be a string of whole numbers"},
        {"/impairment/corrupt_percent", "2",
         "impairment.corrupt_percent: must be the number 0.01 for corrupt_threshold"},
        {"/impairment/duplicate_threshold", "4294967297", "impairment.duplicate_threshold: must be a whole number"},
        {"/impairment/reorder_threshold", "null", "impairment.reorder_threshold: must be a whole number"},
        {"/impairment/reorder_gap", "0", "--reorder-gap 0"},
        {"/impairment/reorder_gap", "\"5\"", "impairment.reorder_gap: must be a whole number"},
        {"/impairment/reject", "true", "impairment.reject: must be a string: rst or icmp"},
        {"/impairment/reject", "\"no\"", "--reject no: unknown answer"},
        {"/impairment/netem", "\"loss 1%\"", "unknown key impairment.netem"},
        {"/impairment/delay_ns", "\"5ms\"", "impairment.delay_ns: must be a whole number, 0 or more"},
        {"/impairment/delay_ns", "1.5", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "-1", "impairment.delay_ns: must be a whole number, 0 or more"},
        {"/impairment/delay_ns", "1e300", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "true", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "null", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "4294000000001", "use at most 4294s"},
        {"/impairment/rate_bit_per_s", "7", "--rate 7bit"},
        {"/impairment/loss_threshold", "4294967297", "impairment.loss_threshold: must be a whole number from 0 to"},
        {"/impairment/loss_threshold", "1.5", "impairment.loss_threshold: must be a whole number"},
        {"/impairment/loss_threshold", "5", "impairment.loss_percent: must be the number"},
        {"/impairment/loss_percent", "\"0.1\"", "impairment.loss_percent: must be the number 0.1"},
        {"/impairment/loss_percent", "10",
         "impairment.loss_percent: must be the number 0.1 for loss_threshold 4294967"},
        {"/impairment/queue_bytes", "0", "--queue 0b"},
        {"/impairment/queue_ns", "5", "queue_bytes and impairment.queue_ns: use one of them"},
        {"/impairment/partition", "1", "impairment.partition: must be true or false"},
        {"/impairment/pass", "\"yes\"", "impairment.pass: must be true or false"},
        {"/impairment/pass", "true", "--pass"},
    };
    for (const Change& change : changes) {
        json object = to_json(valid(full_line));
        object[json::json_pointer(change.pointer)] = json::parse(change.value);
        const auto rule = rule_from_json(object);
        ASSERT_FALSE(rule) << change.pointer << " = " << change.value;
        EXPECT_EQ(rule.error().kind, ErrorKind::usage);
        EXPECT_TRUE(rule.error().message.starts_with("rule JSON: ")) << rule.error().message;
        EXPECT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
        expect_contains(rule.error().message, change.hint, change.pointer);
    }
    json alone = to_json(valid("--loss 1%"));
    alone["impairment"].erase("loss_threshold");
    expect_contains(rule_from_json(alone).error().message, "impairment.loss_threshold", "loss_percent alone");
}

// Strings that are no UTF-8 or hold control characters never get into a rule, so dump() cannot throw.
TEST(Json, RefusesBytesInsideStrings)
{
    for (const std::string& bytes : {"\xff"s, "a\0b"s, "\x1b[2J"s, "\xed\xa0\x80"s}) {
        json object = to_json(valid("--loss 1%"));
        object["selector"]["cgroups"] = {bytes};
        ASSERT_FALSE(rule_from_json(object));
        object = to_json(valid("--loss 1%"));
        object[bytes] = 1;
        ASSERT_FALSE(rule_from_json(object));
        object = to_json(valid("--loss 1%"));
        object["direction"] = bytes;
        ASSERT_FALSE(rule_from_json(object));
    }
}

TEST(JsonOfLosses, ComesBackAsItWas)
{
    for (const char* line :
         {"--loss 1% --loss-correlation 25%", "--loss 1% --loss-burst 2.5", "--loss-model 'gemodel 1% 10%'",
          "--loss-nth 7", "--delay 9ms --reorder 5% --reorder-correlation 6% --corrupt 1% --corrupt-correlation 2%"})
        EXPECT_EQ(rule_from_json(to_json(valid(line))).value(), valid(line)) << line;
    const auto impairment = to_json(valid("--loss 1% --loss-burst 2.5"))["impairment"];
    EXPECT_EQ(impairment["loss_burst_packets"], 2.5);
    EXPECT_EQ(to_json(valid("--loss-nth 7"))["impairment"], nlohmann::json({{"loss_nth", 7}}));
    EXPECT_EQ(to_json(valid("--loss-model 'gemodel 1%'"))["impairment"],
              nlohmann::json({{"loss_model", "gemodel 1% 99% 100% 0%"}}));
    auto wrong = to_json(valid("--loss 1% --loss-burst 2.5"));
    wrong["impairment"]["loss_burst_packets"] = "3";
    EXPECT_THAT(message(rule_from_json(wrong)), testing::HasSubstr("impairment.loss_burst_packets: must be a number"));
}

}  // namespace
}  // namespace headwind::rule_test::json_test

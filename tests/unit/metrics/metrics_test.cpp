// SPDX-License-Identifier: MIT
// Tests the metrics for Prometheus: each counter once, exact, for one namespace and for several.
#include "metrics/metrics.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

namespace headwind::metrics_test {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

RuleView rule(const std::string& name, std::uint32_t id, std::vector<DirectionCounters> counters)
{
    RuleView view;
    view.record.id = id;
    view.record.rule.name = name;
    view.counters = std::move(counters);
    return view;
}

// Counters with a different number in each field: `first`, `first` + 1, ...
DirectionCounters counters(Direction direction, std::uint64_t first)
{
    DirectionCounters out;
    out.direction = direction;
    out.counters.packets = first;
    out.counters.bytes = first + 1;
    for (unsigned cause = 0; cause < drop_reasons; ++cause) out.counters.dropped[cause] = first + 2 + cause;
    out.counters.delayed = first + 8;
    for (unsigned cause = 0; cause < exemptions; ++cause) out.counters.exempt[cause] = first + 9 + cause;
    out.counters.corrupted = first + 14;
    out.counters.duplicated = first + 15;
    out.counters.reordered = first + 16;
    return out;
}

std::string text(const std::vector<MetricFamily>& families)
{
    return prometheus::TextSerializer().Serialize(families);
}

std::string text(const std::vector<RuleView>& rules)
{
    Snapshot all;
    all.exists = true;
    all.rules = rules;
    return text(metric_families(all));
}

TEST(Exporter, EveryCounterOfEveryDirection)
{
    const auto out = text({rule("slow", 1, {counters(Direction::out, 100), counters(Direction::in, 200)})});
    EXPECT_THAT(out, HasSubstr("# TYPE headwind_packets_total counter\n"));
    EXPECT_THAT(out, HasSubstr("headwind_packets_total{rule=\"slow\",direction=\"out\"} 100\n"));
    EXPECT_THAT(out, HasSubstr("headwind_packets_total{rule=\"slow\",direction=\"in\"} 200\n"));
    EXPECT_THAT(out, HasSubstr("headwind_bytes_total{rule=\"slow\",direction=\"out\"} 101\n"));
    const auto dropped = [](const char* cause, int value) {
        return HasSubstr(fmt::format(
            "headwind_dropped_packets_total{{rule=\"slow\",direction=\"out\",cause=\"{}\"}} {}\n", cause, value));
    };
    EXPECT_THAT(out, AllOf(dropped("loss", 102), dropped("partition", 103), dropped("queue", 104), dropped("held", 105),
                           dropped("line", 106), dropped("reject", 107)));
    EXPECT_THAT(out, HasSubstr("headwind_delayed_packets_total{rule=\"slow\",direction=\"in\"} 208\n"));
    EXPECT_THAT(out,
                HasSubstr("headwind_exempt_packets_total{rule=\"slow\",direction=\"in\",cause=\"undelayed\"} 209\n"));
    EXPECT_THAT(out, HasSubstr("headwind_exempt_packets_total{rule=\"slow\",direction=\"out\",cause=\"ktls\"} 112\n"));
    EXPECT_THAT(out, HasSubstr("headwind_exempt_packets_total{rule=\"slow\",direction=\"out\",cause=\"line\"} 113\n"));
    EXPECT_THAT(out, HasSubstr("headwind_corrupted_packets_total{rule=\"slow\",direction=\"out\"} 114\n"));
    EXPECT_THAT(out, HasSubstr("headwind_duplicated_packets_total{rule=\"slow\",direction=\"out\"} 115\n"));
    EXPECT_THAT(out, HasSubstr("headwind_reordered_packets_total{rule=\"slow\",direction=\"out\"} 116\n"));
}

TEST(Exporter, LargeCountersAreExact)
{
    EXPECT_THAT(text({rule("x", 1, {counters(Direction::out, 9'007'199'254'740'000)})}),
                HasSubstr("headwind_packets_total{rule=\"x\",direction=\"out\"} 9007199254740000\n"));
}

TEST(Exporter, LiveOrWhyNot)
{
    auto expired = rule("old", 2, {});
    expired.state = RuleState::expired;
    const auto out = text({rule("new", 1, {}), expired});
    EXPECT_THAT(out, HasSubstr("# TYPE headwind_rule_live gauge\n"));
    EXPECT_THAT(out, HasSubstr("headwind_rule_live{rule=\"new\",state=\"live\"} 1\n"));
    EXPECT_THAT(out, HasSubstr("headwind_rule_live{rule=\"old\",state=\"expired\"} 0\n"));
}

TEST(Exporter, TellsWhoseARuleIsAndWhatItIsFor)
{
    auto mine = rule("mine", 1, {}), pods = rule("pods", 2, {});
    mine.record.owner = "ci-7";
    pods.record.owner = "root";
    pods.record.rule.subject = Subject{.container = "web", .id = "0123abcd", .pod = "default/shop"};
    const auto out = text({mine, pods});
    EXPECT_THAT(out, HasSubstr("headwind_rule_info{rule=\"mine\",owner=\"ci-7\"} 1\n"));
    EXPECT_THAT(
        out, HasSubstr("headwind_rule_info{rule=\"pods\",owner=\"root\",pod=\"default/shop\",container=\"web\"} 1\n"));
}

TEST(Exporter, LineAndPanic)
{
    Snapshot all;
    all.exists = all.panic = true;
    all.max_held = 1000;
    all.line = {7, 800, 9};
    const auto out = text(metric_families(all));
    EXPECT_THAT(out, HasSubstr("# TYPE headwind_line_held_packets gauge\nheadwind_line_held_packets 7\n"));
    EXPECT_THAT(out, HasSubstr("\nheadwind_line_held_bytes 800\n"));
    EXPECT_THAT(out, HasSubstr("\nheadwind_line_max_held_bytes 1000\n"));
    EXPECT_THAT(out, HasSubstr("# TYPE headwind_line_dropped_packets_total counter\n"
                               "headwind_line_dropped_packets_total 9\n"));
    EXPECT_THAT(out, HasSubstr("\nheadwind_panic 1\n"));
}

TEST(Exporter, NoInstanceIsNoError)
{
    const auto out = text(metric_families(Snapshot{}));
    EXPECT_THAT(out, HasSubstr("\nheadwind_panic 0\n"));
    EXPECT_THAT(out, Not(HasSubstr("rule=")));
}

// Prometheus refuses a scrape with one series twice; the old rule's counters must not jump to the new one's and back.
TEST(Exporter, ARuleBeingReplacedAppearsOnce)
{
    const auto before = rule("x", 4, {counters(Direction::out, 100)});
    const auto after = rule("x", 9, {counters(Direction::out, 0)});
    const auto expected = text({before});
    EXPECT_EQ(text({after, before}), expected);
    EXPECT_EQ(text({before, after}), expected);
}

TEST(Exporter, CounterNamesEndInTotalAndNoSeriesComesTwice)
{
    Snapshot all;
    all.rules = {rule("a", 1, {counters(Direction::out, 1), counters(Direction::in, 1)}),
                 rule("b", 2, {counters(Direction::out, 1)})};
    std::set<std::string> names;
    for (const auto& family : metric_families(all)) {
        EXPECT_TRUE(names.insert(family.name).second) << family.name;
        EXPECT_EQ(family.name.ends_with("_total"), family.type == MetricType::Counter) << family.name;
        EXPECT_FALSE(family.help.empty()) << family.name;
        std::set<std::string> series;
        for (const auto& metric : family.metric) {
            std::string labels;
            for (const auto& label : metric.label) labels += label.name + "=" + label.value + ",";
            EXPECT_TRUE(series.insert(labels).second) << family.name << labels;
        }
    }
}

TEST(Exporter, SeveralNamespaces)
{
    Snapshot one, two;
    one.rules = {rule("r", 1, {counters(Direction::out, 100)})};
    two.rules = {rule("r", 1, {counters(Direction::out, 200)})};
    two.panic = true;
    const auto all = text(metric_families({{"/run/netns/a", one}, {"/run/netns/b", two}}));
    EXPECT_THAT(
        all,
        AllOf(HasSubstr("headwind_packets_total{netns=\"/run/netns/a\",rule=\"r\",direction=\"out\"} 100\n"
                        "headwind_packets_total{netns=\"/run/netns/b\",rule=\"r\",direction=\"out\"} 200\n"),
              HasSubstr("headwind_line_held_packets{netns=\"/run/netns/b\"} 0\n"), HasSubstr("\nheadwind_panic 1\n")));
    EXPECT_THAT(text(metric_families(std::vector<NamedSnapshot>{})),
                AllOf(HasSubstr("headwind_panic 0\n"), Not(HasSubstr("headwind_line_held_packets 0"))));
}

TEST(Exporter, ScrapeErrors)
{
    EXPECT_THAT(text({scrape_errors_family(3)}),
                HasSubstr("# TYPE headwind_scrape_errors_total counter\nheadwind_scrape_errors_total 3\n"));
}

TEST(ExporterListen, HostAndPort)
{
    EXPECT_EQ(*parse_listen("127.0.0.1:9431"), (ListenAddress{"127.0.0.1", "9431"}));
    EXPECT_EQ(*parse_listen("localhost:1"), (ListenAddress{"localhost", "1"}));
    EXPECT_EQ(*parse_listen("0.0.0.0:65535"), (ListenAddress{"0.0.0.0", "65535"}));
}

TEST(ExporterListen, AnythingElseIsRefused)
{
    for (const char* bad : {"", ":", "9431", "127.0.0.1", "127.0.0.1:", ":9431", "127.0.0.1:0", "127.0.0.1:65536",
                            "h:-1", "h:9x", "::1:9431", "[::1]:9431", "[::1]", "h: 1", "h:+1"}) {
        const auto result = parse_listen(bad);
        ASSERT_FALSE(result) << bad;
        EXPECT_EQ(result.error().kind, ErrorKind::usage);
        EXPECT_THAT(result.error().message, HasSubstr("HOST:PORT"));
    }
}

}  // namespace
}  // namespace headwind::metrics_test

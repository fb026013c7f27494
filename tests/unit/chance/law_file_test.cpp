// SPDX-License-Identifier: MIT
// Laws from files: what is read, what is refused, with its line.
#include "chance/law_file.h"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delay_series.h"
#include "verify/statistics.h"

namespace headwind::law_file_test {
namespace {

using testing::HasSubstr;

// A ping's answers, with what it says besides.
std::string ping_of(const std::vector<double>& times)
{
    std::string out = "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.\n";
    for (std::size_t i = 0; i < times.size(); ++i)
        out += fmt::format("64 bytes from 192.0.2.1: icmp_seq={} ttl=57 time={:.3f} ms\n", i + 1, times[i]);
    return out +
           "\n--- 192.0.2.1 ping statistics ---\n9 packets transmitted, 9 received, 0% packet loss, time 8013ms\n"
           "rtt min/avg/max/mdev = 11.1/12.3/14.5/0.9 ms\n";
}

TEST(Samples, OfAPingAreReplayed)
{
    std::mt19937_64 random(5);
    std::gamma_distribution<double> gamma(3, 4);
    std::vector<double> times(5000);
    for (auto& time : times) time = std::round((10 + gamma(random) + (random() % 20 == 0 ? 60 : 0)) * 1000) / 1000;
    const auto law = parse_samples(ping_of(times), "ping.txt");
    ASSERT_TRUE(law) << law.error().message;
    const auto [mean, sd] = test::sample_moments(times);
    EXPECT_NEAR(static_cast<double>(law->mean), mean * 1e6, 2);
    EXPECT_NEAR(static_cast<double>(law->sd), sd * 1e6, 2);
    auto drawn = test::draw_delays({law->mean, law->sd, fixed_point(law_of(law->quantiles))}, 8, 20'000);
    // Two-sample Kolmogorov-Smirnov, alpha 1e-4: 2.23 sqrt(1/n + 1/m)
    std::sort(drawn.begin(), drawn.end());
    std::sort(times.begin(), times.end());
    double distance = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
        const auto up_to = std::upper_bound(drawn.begin(), drawn.end(), times[i] * 1e6) - drawn.begin();
        distance =
            std::max(distance, std::abs(static_cast<double>(up_to) / 20'000 - (static_cast<double>(i) + 0.5) / 5000));
    }
    EXPECT_LT(distance, 2.23 * std::sqrt(1.0 / 20'000 + 1.0 / 5000));
}

TEST(Samples, HaveUnits)
{
    for (
        const std::string text :
        {"10ms\n20ms\n30ms\n", "# measured\r\n\r\n30ms\r\n10ms # the best\r\n20 ms", "delay_ms\n30\n10\n20\n",
         "ms\n10\n20\n30\n", "rtt_us\n10000\n20000\n30000\n", "0.01s\n20ms\n30000us\n",
         "Reply from 192.0.2.1: bytes=32 time=10ms TTL=57\nRequest timed out.\nReply: time=30ms TTL=1\nx time=20ms\n"}) {
        const auto law = parse_samples(text, "f");
        ASSERT_TRUE(law) << text << law.error().message;
        EXPECT_NEAR(static_cast<double>(law->mean), 20e6, 1000) << text;
        EXPECT_EQ(law->quantiles, parse_samples("10ms\n20ms\n30ms\n", "f")->quantiles) << text;
    }
    EXPECT_EQ(parse_samples("\xef\xbb\xbf"
                            "10ms\n20ms\n30ms\n",
                            "f")
                  ->mean,
              20'000'000U)
        << "a byte order mark";
    EXPECT_EQ(parse_samples("# ping time=, by hand\n12ms\n14ms\n", "f")->mean, 13'000'000U);
}

// A few values, one of them far off: what is drawn are those, with their deviation.
TEST(Samples, AreFewAndKeepTheirDeviation)
{
    std::string text;
    for (int i = 0; i < 99; ++i) text += "10ms\n";
    for (const auto& [values, mean, sd, between] :
         {std::tuple{std::string("12ms\n13ms\n20.5ms\n"), 15.1667, 3.7933, 0.015},
          {std::string("12ms\n13ms\n"), 12.5, 0.5, 0.01},
          {text + "1000ms\n", 19.9, 98.504, 0.001}}) {
        const auto law = parse_samples(values, "f").value();
        const auto drawn = test::draw_delays({law.mean, law.sd, fixed_point(law_of(law.quantiles))}, 8, 1'000'000);
        const auto moments = test::sample_moments(drawn);
        EXPECT_NEAR(moments.mean / 1e6, mean, sd * 0.01);
        EXPECT_NEAR(moments.sd / 1e6, sd, sd * 0.02);
        const auto far_off = std::count_if(drawn.begin(), drawn.end(), [](double x) { return x > 30e6 && x < 980e6; });
        EXPECT_LE(static_cast<double>(far_off) / 1e6, between);
    }
}

TEST(Samples, ThatAreNoneAreRefused)
{
    for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
             {"", "f: has no delays: write one a line"},
             {"# nothing\n\n", "f: has no delays"},
             {"10ms\n20\n", "f:2: 20: needs a unit"},
             {"10ms\nnan\n", "f:2: nan: "},
             {"10ms\n-5ms\n", "f:2: -5ms: negative"},
             {"ms\n10\n1e3\n", "f:3: 1e3: "},
             {"10ms\nfast\n", "f:2: fast: "},
             {std::string("\x7f"
                          "ELF\0\1",
                          6),
              R"(f:1: \x7fELF\x00\x01: )"},
             {"10ms\n10ms\n", "f: all of its delays are 10ms: write --delay 10ms instead"},
             {"64 bytes: icmp_seq=1 ttl=57 Zeit=14 ms\n", "run it with LC_ALL=C"},
             {"Reply: time=14ms\nReply: time<1ms\n", "f:2: \"Reply: time<1ms\": does not say how long it took"},
             {"PING x\nx time=oops\n", "f:2: \"x time=oops\": "}}) {
        const auto law = parse_samples(text, "f");
        ASSERT_FALSE(law) << text;
        EXPECT_THAT(law.error().message, HasSubstr(why));
    }
    std::string many;
    for (std::size_t i = 0; i <= max_law_values; ++i) many += "1ms\n";
    EXPECT_THAT(parse_samples(many, "f").error().message, HasSubstr("f:1000001: more than 1000000 values"));
}

TEST(Tables, OfIproute2AreRead)
{
    // As iproute2's are: the values of a law at equal distances, several on a line.
    std::string text = "# This is the distribution table for the normal distribution.\n";
    for (int i = 0; i < 4096; ++i) {
        const double share = (i + 0.5) / 4096;
        double low = -5, high = 5;
        for (int step = 0; step < 50; ++step) {
            const double middle = (low + high) / 2;
            (std::erfc(-middle / std::sqrt(2.0)) / 2 < share ? low : high) = middle;
        }
        text += fmt::format(" {}{}", std::lround(low * 8192), i % 8 == 7 ? "\n" : "");
    }
    const auto table = parse_law_table(text, "f");
    ASSERT_TRUE(table) << table.error().message;
    const auto law = law_of(*table);
    EXPECT_NEAR(moments_of(law).mean, 0, 1e-3);
    EXPECT_NEAR(moments_of(law).sd, 1, 1e-3);
    for (const double z : {-3.0, -1.5, 0.0, 0.7, 3.0}) EXPECT_NEAR(value_at(law, z), z, 0.01);
    const auto twice = law_of(parse_law_table("0 16384", "f").value());
    EXPECT_NEAR(moments_of(twice).sd, 1, 0.01);
    EXPECT_NEAR(moments_of(twice).mean, 1, 1e-3) << "a table's mean is its own";
}

TEST(Tables, ThatAreNoneAreRefused)
{
    for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
             {"", "f: has no numbers"},
             {"# nothing\n", "f: has no numbers"},
             {"8192 8192", "f: all of it is 8192: a table has different numbers"},
             {"1 2\n3 nan\n", "f:2: nan: a table has whole numbers"},
             {"1 2\n3 1.5\n", "f:2: 1.5: a table has whole numbers"},
             {"1 2\n3 40000\n", "f:2: 40000: a table has whole numbers from -32768 to 32767"},
             {"1 2\n5\n4\n",
              "f:3: 4 comes after 5: a table is in rising order; for values as measured, write samples:FILE"},
             {std::string("\1\2\n", 3), R"(f:1: \x01\x02: )"}}) {
        const auto table = parse_law_table(text, "f");
        ASSERT_FALSE(table) << text;
        EXPECT_THAT(table.error().message, HasSubstr(why));
    }
}

}  // namespace
}  // namespace headwind::law_file_test

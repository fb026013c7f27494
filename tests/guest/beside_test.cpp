// SPDX-License-Identifier: MIT
// Headwind beside servers of users on lo, and beside somebody who replaces the device's qdisc, in virtual time.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "measure.h"

namespace headwind::test::beside_test {
namespace {

using namespace std::chrono_literals;

// ---- servers on lo -----------------------------------------------------------------------------------------------

constexpr const char* redis = "/usr/bin/redis-check-rdb";  // Debian's redis-server is a link to it

class GuestLoopback : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override
    {
        const char* const nginx = std::getenv("HEADWIND_NGINX");
        if (access(redis, X_OK) != 0) GTEST_SKIP() << "no redis: run tools/setup";
        if (nginx == nullptr || access(nginx, X_OK) != 0) GTEST_SKIP() << "no nginx: tools/test brings it";
        alone_.emplace("alone");
        std::ofstream file("/tmp/nginx.conf");
        file << "user root; daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr; events {}\n"
                "http { access_log off; server { listen 127.0.0.1:8080; listen [::1]:8080; return 200 ok; }\n";
        for (const char* what : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
            file << what << "_temp_path /tmp/nginx-" << what << ";\n";
        file << "}\n";
        file.close();
        nginx_.emplace(&*alone_, Arguments{nginx, "-e", "stderr", "-c", "/tmp/nginx.conf"});
        redis_.emplace(&*alone_, Arguments{"bash", "-c",
                                           std::string("exec -a redis-server ") + redis +
                                               " --port 6379 --bind 127.0.0.1 ::1 --save '' --dir /tmp"});
        ASSERT_TRUE(eventually([this] { return answered("redis-cli -h " + host() + " ping").out == "PONG\n"; }))
            << redis_->out() << redis_->err();
        ASSERT_TRUE(eventually([this] { return answered("curl -sg " + url()).out == "ok"; })) << nginx_->err();
    }
    void TearDown() override
    {
        redis_.reset();
        nginx_.reset();
        alone_.reset();
    }

    const Namespace& alone() const { return *alone_; }
    static std::string host() { return GetParam(); }
    static std::string url()
    {
        return "http://" + (host().find(':') == std::string::npos ? host() : "[" + host() + "]") + ":8080/";
    }
    // Runs `headwind run IMPAIRMENT -- COMMAND`; without an impairment the bare command.
    Output answered(const std::string& command, const std::string& impairment = "") const
    {
        const auto front = impairment.empty() ? "" : headwind_binary() + " run " + impairment + " -- ";
        return run(&*alone_, words(front + command));
    }

    // The least time from a request to its answer, in ns: others' processes take the only CPU from some of them.
    double redis_ns(const std::string& impairment = "") const
    {
        const auto output = answered("redis-benchmark -h " + host() + " -n 50 -c 1 -t ping_mbulk --csv", impairment);
        const auto at = output.out.rfind("PING_MBULK\",\"");  // followed by requests a second, mean and least in ms
        double rate = 0, mean = 0, least = 0;
        if (at == std::string::npos ||
            std::sscanf(output.out.c_str() + at, "PING_MBULK\",\"%lf\",\"%lf\",\"%lf\"", &rate, &mean, &least) != 3)
            ADD_FAILURE() << output.out << output.err;
        return least * 1e6;
    }
    double nginx_ns(const std::string& impairment = "") const
    {
        std::string command = "curl -sg -w %{time_pretransfer}_%{time_starttransfer}_";
        for (int request = 0; request < 5; ++request) command += " -o /dev/null " + url();
        const auto output = answered(command, impairment);
        double least = HUGE_VAL, sent = 0, answer = 0;
        int length = 0;
        for (const char* at = output.out.c_str(); std::sscanf(at, "%lf_%lf_%n", &sent, &answer, &length) == 2;
             at += length)
            least = std::min(least, answer - sent);
        EXPECT_LT(least, HUGE_VAL) << output.out << output.err;
        return least * 1e9;
    }

private:
    std::optional<Namespace> alone_;
    std::optional<Process> redis_, nginx_;
};

RUNS_IN("*/GuestLoopback.*/v6", nowhere, virtual_6_12);

TEST_P(GuestLoopback, OneClientOfAServerIsSlowTheOthersAreNot)
{
    const double bare_redis = redis_ns(), bare_nginx = nginx_ns();
    for (const auto& [words, asked] : {std::pair{"--delay 50ms", 50e6}, {"--delay 50ms --direction both", 100e6}}) {
        std::atomic<bool> slow{true};
        double slow_redis = 0, slow_nginx = 0, other_redis = 0, other_nginx = 0;
        std::thread client([&, impairment = words] {
            slow_redis = redis_ns(impairment);
            slow_nginx = nginx_ns(impairment);
            slow = false;
        });
        EXPECT_TRUE(eventually([this] { return headwind(alone(), "list").out.find("run-") != std::string::npos; }));
        other_redis = redis_ns();
        other_nginx = nginx_ns();
        EXPECT_TRUE(slow) << "at the same time";
        client.join();
        std::printf("%s %s: redis adds %.3f ms, nginx %.3f ms; others %.3f and %.3f ms\n", host().c_str(), words,
                    (slow_redis - bare_redis) / 1e6, (slow_nginx - bare_nginx) / 1e6, (other_redis - bare_redis) / 1e6,
                    (other_nginx - bare_nginx) / 1e6);
        EXPECT_NEAR(slow_redis - bare_redis, asked, 0.01 * asked);
        EXPECT_NEAR(slow_nginx - bare_nginx, asked, 0.01 * asked);
        EXPECT_NEAR(other_redis, bare_redis, 0.2e6);
        EXPECT_NEAR(other_nginx, bare_nginx, 0.2e6);
    }
}

INSTANTIATE_TEST_SUITE_P(Families, GuestLoopback, testing::Values("127.0.0.1", "::1"),
                         [](const auto& one) { return one.index == 0 ? std::string("v4") : std::string("v6"); });

// ---- the device's qdisc ------------------------------------------------------------------------------------------

// Each change takes place while all packets are in the line: the kernel itself loses packets that are in a root qdisc,
// or come to it, while it is replaced.
TEST(GuestBeside, TheLineDoesNotCareForTheDevicesRootQdisc)
{
    const Pair pair;
    settle();
    const Flow flow{.count = 100, .per_second = 10'000, .sender = 1};
    auto bare = delays(send_and_receive(pair.a, pair.b, target, flow));
    ASSERT_EQ(headwind(pair.a, "add --name d --dev va --delay 200ms").status, 0);
    settle();
    std::vector<std::int64_t> delayed;
    for (const std::string change : {"replace dev va root fq", "replace dev va root pfifo_fast",
                                     "replace dev va root fq", "replace dev va root fq_codel", "del dev va root"}) {
        std::thread other([&pair, &change] {
            std::this_thread::sleep_for(30ms);
            tc(pair.a, "qdisc " + change);
        });
        const auto arrivals = send_and_receive(pair.a, pair.b, target, flow);
        other.join();
        EXPECT_EQ(arrivals.size(), flow.count) << change;
        EXPECT_TRUE(in_order(arrivals)) << change;
        const auto these = delays(arrivals);
        delayed.insert(delayed.end(), these.begin(), these.end());
    }
    std::sort(bare.begin(), bare.end());
    std::sort(delayed.begin(), delayed.end());
    const auto added = static_cast<double>(delayed[delayed.size() / 2] - bare[bare.size() / 2]);
    std::printf("200ms under a changing root qdisc: median adds %.3f us\n", added / 1e3);
    EXPECT_NEAR(added, 200e6, 20e3);
    EXPECT_GE(delayed.front(), 200'000'000);
    EXPECT_EQ(counters_of(pair.a, "d").delayed, 5 * flow.count);
}

}  // namespace
}  // namespace headwind::test::beside_test

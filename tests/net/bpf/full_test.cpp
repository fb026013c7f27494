// SPDX-License-Identifier: MIT
// An instance with no room left refuses rules that do not fit, changes nothing then, and has room again when rules go.
#include "net_test.h"

#include <fstream>

namespace headwind::test::full_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr unsigned room = 1'000, first_port = 20'000;

class Full : public PairTest {
protected:
    Output batch(const std::string& lines) const
    {
        const auto file = testing::TempDir() + "headwind-full-" + std::to_string(getpid());
        std::ofstream(file) << lines;
        auto output = headwind(a(), "batch --yes --json " + file);
        unlink(file.c_str());
        return output;
    }
    // A line that adds rule n, which cuts off a port of its own.
    static std::string line(unsigned n, const std::string& more = "")
    {
        return fmt::format("add --name r{0} --partition --direction out --remote-port {1}{2}\n", n, first_port + n,
                           more);
    }
    void fill() const
    {
        std::string lines = line(0, fmt::format(" --max-rules {}", room));
        for (unsigned n = 1; n < room; ++n) lines += line(n);
        expect_ok(batch(lines));
        EXPECT_EQ(rules(), room);
    }
    std::size_t rules() const { return parse_json(headwind(a(), "list --json"))["rules"].size(); }
    bool is_cut(unsigned n) const
    {
        return arrive({.count = 5}, {Pair::b4, static_cast<std::uint16_t>(first_port + n)}) == 0;
    }
    void expect_no_room(const Output& output, const std::string& map) const
    {
        EXPECT_EQ(output.status, 1) << output.out;
        EXPECT_EQ(output.out, "");
        EXPECT_THAT(output.err, AllOf(HasSubstr("/" + map + " is full"), HasSubstr("--max-rules")));
    }
};

TEST_F(Full, TheRuleThatDoesNotFitIsRefusedAndTheOthersStay)
{
    fill();
    expect_no_room(headwind(a(), "add --name more --partition --remote-port 9"), "rules");
    expect_no_room(batch("del r1\n" + line(1000) + line(1001)), "rules");  // new rules come before old ones go
    expect_no_room(headwind(a(), "change r7 --remote-port 9"), "rules");
    EXPECT_EQ(rules(), room);
    for (const unsigned n : {0U, 1U, 7U, room - 1}) EXPECT_TRUE(is_cut(n)) << n;
    EXPECT_FALSE(is_cut(1000));

    change(a(), "del r1 r2");
    EXPECT_EQ(rules(), room - 2);
    EXPECT_FALSE(is_cut(1));
    change(a(), "add --name more --partition --remote-port " + std::to_string(first_port + 1000));
    EXPECT_TRUE(is_cut(1000));
    change(a(), "change r7 --remote-port " + std::to_string(first_port + 1007));
    EXPECT_TRUE(is_cut(1007));
    EXPECT_FALSE(is_cut(7));
    EXPECT_EQ(rules(), room - 1);
}

// Descriptions take 960 bytes of room each on average.
TEST_F(Full, ADescriptionThatDoesNotFitIsRefusedAndTheOthersStay)
{
    std::string ports = std::to_string(first_port + 100);
    for (unsigned i = 1; i < 300; ++i) ports += fmt::format(",{}", first_port + 100 + 2 * i);
    change(a(), fmt::format("add --name r0 --partition --max-rules 8 --remote-port {}", first_port));
    change(a(), "add --name long0 --partition --proto udp --remote-port " + ports);
    change(a(), "add --name long1 --partition --proto tcp --remote-port " + ports);
    expect_no_room(headwind(a(), "add --name long2 --partition --proto 136 --remote-port " + ports), "texts");
    EXPECT_EQ(rules(), 3U);
    EXPECT_TRUE(is_cut(0));
    EXPECT_TRUE(is_cut(100));

    change(a(), "del long1");
    change(a(), "add --name long2 --partition --proto 136 --remote-port " + ports);
    EXPECT_EQ(rules(), 3U);
    EXPECT_TRUE(is_cut(100));
}

}  // namespace
}  // namespace headwind::test::full_test

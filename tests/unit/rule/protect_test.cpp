// SPDX-License-Identifier: MIT
// --protect: its values become rules that pass the traffic and have names of their own; and how records keep them.
#include "rule/protect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ruleset/records.h"

namespace headwind::test::protect_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<Rule> protections(const std::vector<std::string>& texts)
{
    const auto out = make_protections(texts);
    EXPECT_TRUE(out) << out.error().message;
    return out ? *out : std::vector<Rule>{};
}

std::vector<std::string> names(const std::vector<std::string>& texts)
{
    std::vector<std::string> out;
    for (const auto& rule : protections(texts)) out.push_back(rule.name);
    return out;
}

std::string refusal(const std::string& text)
{
    const auto out = make_protections({text});
    EXPECT_FALSE(out) << text;
    if (out) return "";
    EXPECT_EQ(out.error().kind, ErrorKind::usage) << text;
    return out.error().message;
}

std::string said_of(const std::string& text)
{
    return describe_rule(protections({text}).front());
}

TEST(Protect, AnAddressIsTheOtherEndBothWays)
{
    EXPECT_THAT(said_of("10.0.0.0/8"), StartsWith("packets sent and received with remote address 10.0.0.0/8 "));
    EXPECT_THAT(said_of("2001:db8::1"), StartsWith("packets sent and received with remote address 2001:db8::1 "));
}

TEST(Protect, APortIsEitherEndBothWays)
{
    EXPECT_THAT(said_of("22"), AllOf(StartsWith("packets sent and received to or from port 22 "), HasSubstr(": pass")));
    EXPECT_THAT(said_of("8000:8080"), HasSubstr("to or from ports 8000-8080 "));
}

TEST(Protect, APathIsACgroup)
{
    EXPECT_THAT(said_of("/system.slice/a.service/"),
                StartsWith("packets sent and received by cgroup /system.slice/a.service "));
}

TEST(Protect, ListsAndRepeatsAreAlikeAndEachIsOneOnce)
{
    EXPECT_THAT(names({"22, 10.0.0.0/8", "/a/b", "22,8000-8080,8000:8080"}),
                ElementsAre("protect-22", "protect-10.0.0.0-8", "protect-a-b", "protect-8000-8080"));
    EXPECT_THAT(names({"2001:db8::/32,192.0.2.1"}), ElementsAre("protect-2001.db8..-32", "protect-192.0.2.1"));
    EXPECT_TRUE(protections({}).empty());
}

TEST(Protect, PathsThatWouldHaveTheSameNameHaveDifferentOnes)
{
    const auto clear = names({"/a/b"}).front(), dashed = names({"/a-b"}).front(), odd = names({"/a@b"}).front();
    EXPECT_EQ(clear, "protect-a-b");
    EXPECT_THAT(dashed, StartsWith("protect-a-b-"));
    EXPECT_THAT(odd, StartsWith("protect-a_b-"));
    const auto one = names({"/" + std::string(200, 'x')}).front(), other = names({"/" + std::string(201, 'x')}).front();
    EXPECT_EQ(one.size(), max_name_length);
    EXPECT_EQ(other.size(), max_name_length);
    EXPECT_NE(one, other);
}

TEST(Protect, RefusalsSayWhatWouldBeRight)
{
    EXPECT_THAT(refusal("ssh"), AllOf(StartsWith("--protect ssh: "), HasSubstr("10.0.0.0/8"), HasSubstr("22"),
                                      HasSubstr("/system.slice")));
    EXPECT_THAT(refusal("system.slice/a.service"), HasSubstr("the path of a cgroup"));
    EXPECT_THAT(refusal("0"), StartsWith("--protect 0: 0 is no port"));
    EXPECT_THAT(refusal("70000"), HasSubstr("from 1 to 65535"));
    EXPECT_THAT(refusal("8080-8000"), HasSubstr("write 8000-8080"));
    EXPECT_THAT(refusal("10.0.0.1/8"), HasSubstr("write 10.0.0.0/8 or 10.0.0.1"));
    EXPECT_THAT(refusal("10.0.0.0/33"), HasSubstr("the prefix length is 0 to 32"));
    EXPECT_THAT(refusal("300.1.1.1"), HasSubstr("no IP address"));
    EXPECT_THAT(refusal("/"), StartsWith("--protect /: every cgroup"));
    EXPECT_THAT(refusal("/a\nb"), StartsWith("--protect /a\\x0ab: "));
    EXPECT_THAT(refusal("22,,80"), HasSubstr("empty entry"));
}

RuleRecord protection()
{
    RuleRecord record;
    record.id = 7;
    record.rule = protections({"22"}).front();
    record.guard = Guard::protect;
    record.everywhere = true;
    return record;
}

TEST(Protect, ARecordIsKeptAsItIs)
{
    const auto read = decode_record(7, encode_record(protection()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->guard, Guard::protect);
    EXPECT_TRUE(read->everywhere);
    EXPECT_EQ(read->rule, protection().rule);
}

TEST(Protect, ItBeatsEveryPriority)
{
    RuleRecord record;
    record.rule.priority = max_priority;
    EXPECT_GT(rank(protection().priority(), 0, ~0U), rank(record.priority(), 600, 1));
}

TEST(Protect, GuardsOfOlderVersionsAreThoseOfSsh)
{
    RuleSpec text;
    text.name = "ssh-10.0.0.2-4711";
    text.locals = {"10.0.0.1"};
    text.remotes = {"10.0.0.2"};
    text.local_ports = {"22"};
    text.remote_ports = {"4711"};
    text.pass = true;
    auto record = protection();
    record.rule = make_rule(text).value();
    auto old = nlohmann::json::parse(encode_record(record));
    old.erase("protect");
    old.erase("everywhere");
    old["guard"] = true;
    const auto read = decode_record(7, old.dump());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->guard, Guard::ssh);
    EXPECT_FALSE(read->everywhere) << "its keys are those of the default devices";
    old["guard"] = false;
    EXPECT_EQ(decode_record(7, old.dump())->guard, Guard::no);
}

}  // namespace
}  // namespace headwind::test::protect_test

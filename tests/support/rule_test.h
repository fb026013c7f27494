// SPDX-License-Identifier: MIT
// Rules from the flags of a command line, for the unit tests of rules.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "headwind/abi.h"
#include "rule/rule.h"
#include "rule_text.h"
#include "util/text.h"

namespace headwind::rule_test {

using Arguments = std::vector<std::string>;

using test::text_of;

inline Arguments split(const std::string& line)
{
    return split_words(line).value();
}

inline Result<Rule> rule_of(const std::string& line)
{
    return make_rule(test::text_of_line(line));
}

template <class T>
std::string message(const Result<T>& result)
{
    return result ? "no error" : result.error().message;
}

// The rule of `line`, which must be valid.
inline Rule valid(const std::string& line)
{
    const auto rule = rule_of(line);
    EXPECT_TRUE(rule) << line << "\n" << rule.error().message;
    return rule ? *rule : Rule{};
}

inline void expect_contains(const std::string& text, const std::string& part, const std::string& of)
{
    EXPECT_NE(text.find(part), std::string::npos) << "of:    " << of << "\ngot:   " << text << "\nlacks: " << part;
}

// Arguments that are refused: the error must start with `start` (flags and values as typed) and contain `hint` (what
// would be right).
struct Refused {
    Arguments arguments;
    std::string start, hint;
};

inline void expect_refused(const std::vector<Refused>& cases)
{
    for (const Refused& c : cases) {
        const auto rule = make_rule(text_of(c.arguments));
        const std::string of = fmt::format("{}", fmt::join(c.arguments, " "));
        ASSERT_FALSE(rule) << of;
        EXPECT_EQ(rule.error().kind, ErrorKind::usage) << of;
        EXPECT_EQ(rule.error().message.substr(0, c.start.size() + 2), c.start + ": ") << rule.error().message;
        expect_contains(rule.error().message, c.hint, of);
        EXPECT_TRUE(is_plain_text(rule.error().message)) << of;
    }
}

inline Cidr cidr(const std::string& text)
{
    const auto result = parse_cidr(text);
    EXPECT_TRUE(result) << text;
    return result.value_or(Cidr{});
}

// A line with every list and every impairment except --partition and --pass.
inline const std::string full_line =
    "--name slow-db --dev eth0,lo --cgroup /a/b --proto tcp,arp --local-port 1024-2047 --remote-port 443,80 --local 192.0.2.1 --remote 10.0.0.0/8,2001:db8::/32 --delay 50ms --jitter 5ms --distribution normal --loss 0.1% --corrupt 0.01% --duplicate 25% --reorder 50% --reorder-gap 5 --rate 1mbit --queue 64kb --reject rst --priority 5";

}  // namespace headwind::rule_test

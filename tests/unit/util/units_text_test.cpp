// SPDX-License-Identifier: MIT
// Tests which text may be printed, and that parsers survive arbitrary bytes.
#include "units_test.h"

namespace headwind::units_test::units_text_test {
namespace {

using namespace std::string_literals;

// ---- text ----

TEST(Text, Trims)
{
    EXPECT_EQ(trimmed(""), "");
    EXPECT_EQ(trimmed(" \t "), "");
    EXPECT_EQ(trimmed(" a b\t"), "a b");
    EXPECT_EQ(trimmed("\na"), "\na");
}

TEST(Text, SplitsALineAsAShellDoes)
{
    const auto words = [](std::string_view line) { return split_words(line).value_or(std::vector{"refused"s}); };
    using Words = std::vector<std::string>;
    EXPECT_EQ(words(""), Words());
    EXPECT_EQ(words(" a\tb  c "), (Words{"a", "b", "c"}));
    EXPECT_EQ(words("--owner '' \"\""), (Words{"--owner", "", ""}));
    EXPECT_EQ(words("--stop-if 'test x -foo=\"x y\"'"), (Words{"--stop-if", "test x -foo=\"x y\""}));
    EXPECT_EQ(words("a'b c'd\"e f\""), (Words{"ab cde f"}));
    EXPECT_EQ(words(R"(a\ b "c\"d\\e\f" 'g\h')"), (Words{"a b", R"(c"d\e\f)", R"(g\h)"}));
    EXPECT_EQ(words("a\\"), (Words{"a\\"}));
    for (const char* open : {"'a", "\"a", "a'b\""}) EXPECT_FALSE(split_words(open)) << open;
}

TEST(Text, Plain)
{
    for (const std::string& text : {""s, "a b"s, "\xc2\xb5s"s, "\xc2\xa0"s, "\xe2\x82\xac"s, "\xf0\x9f\x8c\xac"s,
                                    "\xed\x9f\xbf"s, "\xee\x80\x80"s, "\xf4\x8f\xbf\xbf"s, "~"s}) {
        EXPECT_TRUE(is_plain_text(text)) << text;
    }
    for (const std::string& text :
         {"\n"s, "\t"s, "\0"s, "\x1b[31m"s, "\x7f"s, "\x80"s, "\xff"s, "\xc2"s, "\xc2\x41"s, "\xc0\xaf"s, "\xc1\xbf"s,
          "\xc2\x9b"s, "\xe2\x82"s, "\xe0\x80\xaf"s, "\xed\xa0\x80"s, "\xf0\x80\x80\xaf"s, "\xf4\x90\x80\x80"s,
          "\xf5\x80\x80\x80"s, "\xf0\x9f\x8c"s}) {
        EXPECT_FALSE(is_plain_text(text)) << printable(text);
    }
}

TEST(Text, Printable)
{
    EXPECT_EQ(printable("250"), "250");
    EXPECT_EQ(printable(""), "\"\"");
    EXPECT_EQ(printable(" 10 %"), "\" 10 %\"");
    EXPECT_EQ(printable("a\tb"), "\"a\\x09b\"");
    EXPECT_EQ(printable("\x1b[31m\0\xff"s), "\\x1b[31m\\x00\\xff");
    EXPECT_EQ(printable("\xc2\xb5s"), "\xc2\xb5s");
    EXPECT_EQ(printable(std::string(60, 'x')), std::string(60, 'x'));
    EXPECT_EQ(printable(std::string(61, 'x')), std::string(60, 'x') + "...");
}

TEST(Text, Harmless)
{
    EXPECT_EQ(harmless("two lines\nof  it"), "two lines\nof  it");
    EXPECT_EQ(harmless("--for \x1b[2J\0\xff"s), "--for \\x1b[2J\\x00\\xff");
    EXPECT_EQ(harmless(std::string(200, 'x')), std::string(200, 'x'));
}

// ---- arbitrary bytes ----

// A valid text with some bytes changed, removed or inserted, or plain noise.
std::string mangled(std::mt19937_64& random)
{
    static const std::vector<std::string> seeds{"250ms",
                                                "1m30s",
                                                "1.5s",
                                                "10%",
                                                "0.01 %",
                                                "9.6kbit",
                                                "1mbit/s",
                                                "10mbps",
                                                "64KiB",
                                                "1500b",
                                                "18446744073709551615ns"};
    static const std::string alphabet = "0123456789.,-+ \t%eExbBkKmMgGtTiIsSnuhp/\xc2\xb5\xff\n"s + '\0';
    std::string text = random() % 8 == 0 ? "" : seeds[random() % seeds.size()];
    for (std::uint64_t edits = random() % 6; edits > 0; --edits) {
        const std::size_t at = random() % (text.size() + 1);
        const char byte = random() % 4 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
        if (random() % 3 == 0 && at < text.size())
            text.erase(at, 1);
        else if (random() % 3 == 0 && at < text.size())
            text[at] = byte;
        else
            text.insert(at, 1, byte);
    }
    return text;
}

template <class T>
void expect_sane(Result<T> (*parse)(std::string_view), std::string (*format)(T), const std::string& text)
{
    const auto parsed = parse(text);
    if (!parsed) {
        ASSERT_FALSE(parsed.error().message.empty()) << printable(text);
        ASSERT_TRUE(is_plain_text(parsed.error().message)) << printable(text);
        return;
    }
    const auto again = parse(format(*parsed));
    ASSERT_TRUE(again) << printable(text) << ": " << again.error().message;
    ASSERT_EQ(*again, *parsed) << printable(text);
}

TEST(Units, SurviveArbitraryBytes)
{
    std::mt19937_64 random(6);
    for (int i = 0; i < samples; ++i) {
        const std::string text = mangled(random);
        expect_sane(parse_duration, format_duration, text);
        expect_sane(parse_rate, format_rate, text);
        expect_sane(parse_probability, format_probability, text);
        expect_sane(parse_size, format_size, text);
        if (HasFatalFailure()) return;
    }
}

TEST(Text, WhatIsQuotedIsOneWordToAShell)
{
    EXPECT_EQ(shell_word("default/shop"), "default/shop");
    EXPECT_EQ(shell_word("--loss=1%"), "--loss=1%");
    for (const std::string word : {"", "a b", "it's", "$HOME", "a;b", "\"", "\\", "'", "''", "*", "~"}) {
        const auto again = split_words(shell_word(word));
        ASSERT_TRUE(again) << word;
        EXPECT_EQ(*again, std::vector<std::string>{word});
    }
}

}  // namespace
}  // namespace headwind::units_test::units_text_test

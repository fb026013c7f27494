// SPDX-License-Identifier: MIT
// Lists of packets: read from files of any shape, merged, written; what is refused.
#include "chance/packet_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "util/text.h"

namespace headwind::packet_list_test {
namespace {

PacketList list_of(const std::string& text)
{
    const auto list = parse_packet_list(text, "list.txt");
    EXPECT_TRUE(list) << text << ": " << list.error().message;
    return list.value_or(PacketList{});
}

TEST(PacketLists, AreReadInAnyOrderAndMerged)
{
    const PacketList expected{{1, 1}, {3, 6}, {100, 100}};
    for (const std::string text :
         {"1,3-6,100", "100\n6\n5\n4\n3\n1\n", "3-5 4-6 1 1 100", "# lost\r\n1 \t, 3-6 # and\r\n\r\n100",
          "\xef\xbb\xbf"
          "1,,3-4,5-6,100-100"})
        EXPECT_EQ(list_of(text), expected) << text;
    EXPECT_EQ(format_packet_list(expected), "1,3-6,100");
    EXPECT_EQ(list_of(format_packet_list(expected)), expected);
    EXPECT_EQ(count_of(expected), 6U);
    EXPECT_EQ(count_of(list_of("1-1000000")), 1'000'000U);
}

TEST(PacketLists, AreRefusedWithTheirLine)
{
    std::string many;
    for (unsigned n = 0; n < 4097; ++n) many += std::to_string(2 * n + 1) + "\n";
    for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
             {"", "list.txt: names no packet: write numbers, like 7 or 10-12"},
             {"# nothing\n", "list.txt: names no packet"},
             {"1\n0\n", "list.txt:2: 0: packets are counted from 1"},
             {"0-3", "packets are counted from 1"},
             {"1\n\n12-10", "list.txt:3: 12-10: ends before it begins: write 10-12"},
             {"seven", "list.txt:1: seven: write numbers of packets, like 7 or 10-12"},
             {"1.5", "write numbers"},
             {"-3", "write numbers"},
             {"3-", "write numbers"},
             {"1-2-3", "write numbers"},
             {"+3", "write numbers"},
             {"0x10", "write numbers"},
             {"nan", "write numbers"},
             {std::string("\0\1\2", 3), "write numbers"},
             {"1000001", "list.txt:1: 1000001: a list ends at packet 1000000"},
             {"5-99999999999999999999", "a list ends at packet 1000000"},
             {many, "list.txt: 4097 packets and ranges of packets: at most 4096 are possible"}}) {
        const auto list = parse_packet_list(text, "list.txt");
        ASSERT_FALSE(list) << text;
        EXPECT_THAT(list.error().message, testing::HasSubstr(why)) << text;
        EXPECT_TRUE(is_plain_text(list.error().message));
    }
}

}  // namespace
}  // namespace headwind::packet_list_test

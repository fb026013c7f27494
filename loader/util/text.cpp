// SPDX-License-Identifier: MIT
// Splits, trims and escapes text, and checks its UTF-8.
#include "util/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace headwind {
namespace {

constexpr std::size_t max_shown = 60;

// The number of bytes of the character that `text` starts with; 0 if that is no valid UTF-8 or a control character.
std::size_t plain_character(std::string_view text)
{
    const auto first = static_cast<unsigned char>(text.front());
    if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;

    std::uint32_t code = first & (0x7fU >> length);
    for (const char c : text.substr(1, length - 1)) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xc0) != 0x80) return 0;
        code = code << 6 | (byte & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> least{0, 0, 0xa0, 0x800, 0x10000};  // by length; below 0xa0 are controls
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[length] || code > 0x10ffff || surrogate ? 0 : length;
}

// Takes a character off the front of `text`, which is not empty; a byte that is not plain becomes \xNN.
std::string take_character(std::string_view& text)
{
    const std::size_t length = plain_character(text);
    std::string result = length == 0 ? fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()))
                                     : std::string(text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
    return result;
}

}  // namespace

bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

std::string lowered(std::string_view text)
{
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

Result<std::vector<std::string>> split_words(std::string_view line)
{
    std::vector<std::string> words;
    bool inside = false;  // inside a word, which may be empty: ''
    char quote = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quote == 0 && is_blank(c)) {
            inside = false;
            continue;
        }
        if (!inside) words.emplace_back();
        inside = true;
        const char next = i + 1 < line.size() ? line[i + 1] : 0;
        if (c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c == '\\' && next != 0 && (quote == 0 || (quote == '"' && (next == '"' || next == '\\')))) {
            words.back() += next;
            ++i;
        } else {
            words.back() += c;
        }
    }
    if (quote != 0) return fail(ErrorKind::usage, "a {} is not closed", quote);
    return words;
}

std::string_view trimmed(std::string_view text)
{
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

std::string shell_word(std::string_view word)
{
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@%+=";
    if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) return std::string(word);
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

bool is_plain_text(std::string_view text)
{
    while (!text.empty()) {
        const std::size_t length = plain_character(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string printable(std::string_view text)
{
    const bool quoted = text.empty() || std::any_of(text.begin(), text.end(), is_blank);
    std::string result;
    for (std::size_t shown = 0; !text.empty(); ++shown) {
        if (shown == max_shown) {
            result += "...";
            break;
        }
        result += take_character(text);
    }
    return quoted ? "\"" + result + "\"" : result;
}

std::string harmless(std::string_view message)
{
    std::string result;
    while (!message.empty()) {
        if (message.front() == '\n') {
            result += '\n';
            message.remove_prefix(1);
        } else {
            result += take_character(message);
        }
    }
    return result;
}

std::vector<std::string_view> words_of(std::string_view text)
{
    constexpr std::string_view blanks = " \t\r\n";
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t start = text.find_first_not_of(blanks);
        if (start == std::string_view::npos) return words;
        text.remove_prefix(start);
        words.push_back(text.substr(0, text.find_first_of(blanks)));
        text.remove_prefix(words.back().size());
    }
}

}  // namespace headwind

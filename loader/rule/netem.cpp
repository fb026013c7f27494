// SPDX-License-Identifier: MIT
// Reads netem's words: a keyword, the numbers that may follow it, the next keyword.
#include "rule/netem.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/ranges.h>

#include "util/text.h"

namespace headwind {
namespace {

enum class Option { delay, loss, corrupt, duplicate, reorder, gap, rate, distribution, limit, ecn, slot, seed };

struct Keyword {
    std::string_view name;
    Option option;
};

// In the order in which tc tries them: a prefix means the first one that it fits.
constexpr Keyword keywords[] = {
    {"limit", Option::limit},
    {"latency", Option::delay},
    {"delay", Option::delay},
    {"loss", Option::loss},
    {"drop", Option::loss},
    {"ecn", Option::ecn},
    {"reorder", Option::reorder},
    {"corrupt", Option::corrupt},
    {"gap", Option::gap},
    {"duplicate", Option::duplicate},
    {"distribution", Option::distribution},
    {"rate", Option::rate},
    {"slot", Option::slot},
    {"seed", Option::seed},
};

constexpr std::string_view decimal_digits = "0123456789";
constexpr std::string_view number_start = "0123456789.+-";
constexpr std::string_view example_words = "delay 100ms 20ms loss 1%";

bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// ---- values: tc's spelling to Headwind's ----

Result<std::string> normal_time(std::string_view typed)
{
    HW_TRY(const auto nanoseconds, parse_duration(typed));
    if (typed.ends_with('m') || typed.ends_with('h'))
        return fail(ErrorKind::usage, "tc has no such unit of time: write s, ms or us");
    return format_duration(nanoseconds);
}

Result<std::string> normal_percent(std::string_view typed)
{
    HW_TRY(const auto probability, parse_probability(typed));
    return format_probability(probability);
}

// The rate in bits that "1mbps" means; empty: it means none.
std::string bits_of_bytes(std::string_view typed)
{
    typed.remove_suffix(std::string_view("ps").size());
    const auto bytes = parse_size(typed);
    std::uint64_t bits = 0;
    if (!bytes || __builtin_mul_overflow(*bytes, std::uint64_t{8}, &bits) || bits == 0) return "";
    return format_rate(bits);
}

Result<std::string> normal_rate(std::string_view typed)
{
    if (typed.ends_with('%')) return fail(ErrorKind::usage, "a share of the device's speed: write a rate, like 10mbit");
    if (typed.ends_with("bps")) {
        const std::string bits = bits_of_bytes(typed);
        return fail(ErrorKind::usage, "bytes per second in tc: write {}",
                    bits.empty() ? "a rate in bit, like 10mbit" : bits);
    }
    HW_TRY(const auto rate, parse_rate(typed));
    return format_rate(rate);
}

// A value with the unit of time in Headwind's spelling: tc has more spellings.
std::string spell_time(std::string typed)
{
    constexpr std::array<std::array<std::string_view, 2>, 6> spellings{
        {{"usecs", "us"}, {"usec", "us"}, {"msecs", "ms"}, {"msec", "ms"}, {"secs", "s"}, {"sec", "s"}}};
    for (const auto& [theirs, ours] : spellings) {
        if (!typed.ends_with(theirs)) continue;
        typed.resize(typed.size() - theirs.size());
        return typed + std::string(ours);
    }
    return typed;
}

struct Kind {
    std::string_view name, example;
    Result<std::string> (*normal)(std::string_view);  // checks a value, and gives it its best unit
    std::string_view bare;                            // the unit in which tc takes a bare number
    std::string_view meant;                           // the unit that may have been meant instead
};
constexpr Kind time_kind{"a time", "100ms", normal_time, "us", "ms"};
constexpr Kind percent_kind{"a percentage", "10%", normal_percent, "%", ""};
constexpr Kind rate_kind{"a rate", "10mbit", normal_rate, "bit", "kbit"};

// ---- the reader ----

class Reader {
public:
    Reader(std::vector<std::string_view> words, RuleSpec& text) : words_(std::move(words)), text_(text) {}
    Status read();

private:
    bool follows(std::string_view word) const { return next_ < words_.size() && words_[next_] == word; }
    bool number_follows() const;
    std::string_view take() { return words_[next_++]; }
    void take_numbers(unsigned most);
    // The words of the option that is being read: the place that errors name.
    std::string place() const;
    tl::unexpected<Error> refuse(std::string_view why) const;
    // Notes an option that Headwind lacks, with up to `numbers` numbers after it. Reading goes on, so that the error
    // tells of all such options at once.
    Status lacks(unsigned numbers, std::string_view why);

    Result<Option> take_keyword();
    Result<std::string> take_value(const Kind& kind);
    std::string bare_number(const Kind& kind, std::string_view word) const;
    // Takes a percentage and its correlation.
    Status take_chance(std::optional<std::string>& chance, std::optional<std::string>& correlation);
    Status take_model(unsigned most);
    Status take_correlation(std::optional<std::string>& correlation);

    Status read_option(Option option);
    Status read_delay();
    Status read_loss();
    Status read_gap();
    Status read_rate();
    Status read_distribution();
    Status read_seed();
    Status read_slot();
    Status check_together() const;

    std::vector<std::string_view> words_;
    RuleSpec& text_;
    std::size_t start_ = 0, next_ = 0;  // words_[start_] .. words_[next_ - 1]: the option being read
    unsigned given_ = 0;                // a bit for each Option
    std::vector<std::string> lacking_;
};

void Reader::take_numbers(unsigned most)
{
    for (; most > 0 && number_follows(); --most) take();
}

std::string Reader::place() const
{
    std::vector<std::string> shown;
    for (std::size_t i = start_; i < next_; ++i) shown.push_back(printable(words_[i]));
    return fmt::format("{}", fmt::join(shown, " "));
}

Status Reader::lacks(unsigned numbers, std::string_view why)
{
    take_numbers(numbers);
    lacking_.push_back(fmt::format("{}: {}", place(), why));
    return {};
}

tl::unexpected<Error> Reader::refuse(std::string_view why) const
{
    return fail(ErrorKind::usage, "--netem: {}: {}", place(), why);
}

bool Reader::number_follows() const
{
    return next_ < words_.size() && number_start.find(words_[next_].front()) != std::string_view::npos;
}

Result<Option> Reader::take_keyword()
{
    const std::string_view word = take();
    const auto* const found =
        std::ranges::find_if(keywords, [word](const Keyword& keyword) { return keyword.name.starts_with(word); });
    if (found == std::end(keywords)) {
        return refuse(fmt::format(
            "{} is none of netem's words: use delay, loss, corrupt, duplicate, reorder, gap, rate, distribution or seed",
            printable(word)));
    }
    const Option option = found->option;
    start_ = next_ - 1;
    const unsigned bit = 1U << static_cast<unsigned>(option);
    if (given_ & bit) return refuse("given twice: write it once");
    given_ |= bit;
    return option;
}

// The reason why a bare number, "delay 100", is refused: how tc would take it, and how to write that.
std::string Reader::bare_number(const Kind& kind, std::string_view word) const
{
    if (next_ < words_.size() && (is_letter(words_[next_].front()) || words_[next_].front() == '%')) {
        const std::string whole = spell_time(lowered(fmt::format("{}{}", word, words_[next_])));
        if (kind.normal(whole)) return fmt::format("write {} without a blank", whole);
    }
    const auto read_by_tc = kind.normal(fmt::format("{}{}", word, kind.bare));
    if (!read_by_tc) return read_by_tc.error().message;
    std::string why = fmt::format("needs a unit: tc takes it for {0}: write {0}", *read_by_tc);
    if (!kind.meant.empty()) why += fmt::format(", or {}{} if you meant that", word, kind.meant);
    return why;
}

Result<std::string> Reader::take_value(const Kind& kind)
{
    if (!number_follows()) {
        const std::string instead = next_ < words_.size() ? ", not " + printable(words_[next_]) : "";
        return refuse(fmt::format("{} must follow, like {}{}", kind.name, kind.example, instead));
    }
    const std::string_view word = take();
    const std::string value = spell_time(lowered(word));
    const auto normal = kind.normal(value);
    if (normal) return value;
    const bool bare = word.find_first_not_of("0123456789.") == std::string_view::npos;
    return refuse(bare ? bare_number(kind, word) : normal.error().message);
}

Status Reader::take_correlation(std::optional<std::string>& correlation)
{
    if (!number_follows()) return {};
    HW_TRY(const std::string value, take_value(percent_kind));
    const auto read = parse_probability(value);
    if (read && read->threshold != 0) correlation = value;
    return {};
}

Status Reader::take_chance(std::optional<std::string>& chance, std::optional<std::string>& correlation)
{
    HW_TRY(chance, take_value(percent_kind));
    return take_correlation(correlation);
}

// "state" or "gemodel", which was taken, with up to `most` percentages.
Status Reader::take_model(unsigned most)
{
    std::string words(words_[next_ - 1]);
    for (unsigned i = 0; i < most && (i == 0 || number_follows()); ++i) {
        HW_TRY(const std::string value, take_value(percent_kind));
        words += " " + value;
    }
    text_.loss_model = words;
    return {};
}

Status Reader::read_delay()
{
    HW_TRY(text_.delay, take_value(time_kind));
    if (!number_follows()) return {};
    HW_TRY(text_.jitter, take_value(time_kind));
    return take_correlation(text_.delay_correlation);
}

Status Reader::read_loss()
{
    const bool state = follows("state"), gemodel = follows("gemodel");
    if (state || gemodel || follows("random")) take();
    if (state || gemodel) return take_model(state ? 5 : 4);
    return take_chance(text_.loss, text_.loss_correlation);
}

Status Reader::read_gap()
{
    if (!number_follows()) return refuse("a number of packets must follow, like gap 5");
    const std::string_view word = take();
    const bool plain = word.find_first_not_of(decimal_digits) == std::string_view::npos && !word.starts_with('0');
    if (!plain) return refuse("write a whole number of packets, 1 or more, like gap 5");
    text_.reorder_gap = std::string(word);
    return {};
}

Status Reader::read_rate()
{
    HW_TRY(text_.rate, take_value(rate_kind));
    bool overhead = false;
    for (int i = 0; i < 3 && number_follows(); ++i) overhead = take() != "0" || overhead;
    if (!overhead) return {};
    return lacks(
        0,
        "Headwind counts the bytes of frames without FCS, with no overhead or cells: leave what follows the rate out, or lower the rate by its share");
}

Status Reader::read_distribution()
{
    if (next_ == words_.size())
        return refuse("uniform, normal, pareto, paretonormal or the name of a table must follow");
    const std::string_view word = take();
    if (!is_plain_text(word)) return refuse("write a name in plain text");
    constexpr std::string_view laws[] = {"uniform", "normal", "pareto", "paretonormal", "exponential", "lognormal"};
    constexpr std::string_view netems[] = {"normal", "pareto", "paretonormal"};
    const bool table = text_.netem_compatible ? std::ranges::find(netems, word) != std::end(netems) : false;
    const bool law = std::ranges::find(laws, word) != std::end(laws) && !table;
    text_.distribution = (law ? "" : "table:") + std::string(word);
    return {};
}

Status Reader::read_seed()
{
    if (!number_follows()) return refuse("a whole number must follow, like seed 7");
    text_.seed = std::string(take());
    return {};
}

Status Reader::read_slot()
{
    if (follows("distribution")) {
        take();
        if (next_ < words_.size()) take();
    }
    take_numbers(2);
    for (const std::string_view bound : {"packets", "bytes"}) {
        if (next_ == words_.size() || !bound.starts_with(words_[next_])) continue;
        take();
        take_numbers(1);
    }
    return lacks(
        0, "Headwind delivers each packet at its own time, not in slots: leave it out, or write delay TIME JITTER");
}

Status Reader::read_option(Option option)
{
    switch (option) {
        case Option::delay: return read_delay();
        case Option::loss: return read_loss();
        case Option::corrupt: return take_chance(text_.corrupt, text_.corrupt_correlation);
        case Option::duplicate: return take_chance(text_.duplicate, text_.duplicate_correlation);
        case Option::reorder: return take_chance(text_.reorder, text_.reorder_correlation);
        case Option::gap: return read_gap();
        case Option::rate: return read_rate();
        case Option::distribution: return read_distribution();
        case Option::slot: return read_slot();
        case Option::limit:
            return lacks(
                1,
                "Headwind bounds held bytes (--max-held) and the queue in front of rate (--queue), not packets: leave it out");
        case Option::ecn: return lacks(0, "Headwind drops what is lost and marks nothing: leave it out");
        case Option::seed: return read_seed();
    }
    return {};
}

// Refuses options without the ones they need, as tc does.
Status Reader::check_together() const
{
    const auto incomplete = [](std::string_view what, std::string_view typed, std::string_view example) {
        return fail(ErrorKind::usage, "--netem: {} {}: {}", what, typed, example);
    };
    if (text_.reorder && !text_.delay)
        return incomplete("reorder", *text_.reorder, "overtakes packets that are delayed: add delay 10ms");
    if (text_.reorder_gap && !text_.reorder)
        return incomplete("gap", *text_.reorder_gap, "belongs to reorder: add reorder 25%");
    if (text_.distribution && !text_.jitter)
        return incomplete("distribution", *text_.distribution, "belongs to a jitter: write delay 100ms 20ms");
    return {};
}

Status Reader::read()
{
    if (words_.empty())
        return fail(ErrorKind::usage, "--netem \"\": empty: write netem's words, like {}", example_words);
    for (const std::string_view lead : {"netem", "tc", "sudo", "qdisc"}) {
        if (words_.front() != lead) continue;
        take();
        return refuse(fmt::format("write only what follows the word netem, like --netem \"{}\" (the device is --dev)",
                                  example_words));
    }
    while (next_ < words_.size()) {
        HW_TRY(const Option option, take_keyword());
        HW_CHECK(read_option(option));
    }
    text_.rate_last = text_.rate && text_.delay && (text_.jitter || text_.reorder);
    // tc hands the correlation of copies on only if it has another one to hand on.
    if (text_.netem_compatible && !text_.loss_correlation && !text_.delay_correlation)
        text_.duplicate_correlation.reset();
    if (!lacking_.empty()) return fail(ErrorKind::usage, "--netem: {}", fmt::join(lacking_, "; "));
    return check_together();
}

}  // namespace

Status apply_netem(std::string_view words, RuleSpec& text)
{
    return Reader(words_of(words), text).read();
}

}  // namespace headwind

// SPDX-License-Identifier: MIT
// Makes the rows of the table: counts, times, order, rate and answers, each with its interval.
#include "verify/judge.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "chance/chain.h"
#include "verify/expected.h"
#include "verify/statistics.h"

namespace headwind::verify {
namespace {

constexpr double alpha = 1e-6;
constexpr double sigmas = 4.892;  // a normal distribution has alpha beyond them, on both sides together

constexpr double delay_exact_ns = 500'000, delay_exact = 0.01;  // the larger one is used
constexpr double jitter_exact = 0.01, rate_exact = 0.01, order_exact = 0.005;

struct Moments {
    double mean = 0, sd = 0, median = 0;
};

Moments moments(const std::vector<double>& values)
{
    Moments out;
    if (values.empty()) return out;
    const auto n = static_cast<double>(values.size());
    for (const double value : values) out.mean += value / n;
    for (const double value : values) out.sd += std::pow(value - out.mean, 2) / n;
    out.sd = std::sqrt(out.sd);
    auto sorted = values;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    out.median = *middle;
    return out;
}

// The number of times that each sequence number came.
std::map<std::uint32_t, unsigned> copies_of(const Stream& stream)
{
    std::map<std::uint32_t, unsigned> out;
    for (const auto& arrival : stream.arrivals) ++out[arrival.sequence];
    return out;
}

// The one-way delays, in ns, of the packets that came once. Packets that came twice would bias them: the first copy
// would be chosen, or one copy had to wait for the other.
std::vector<double> single_delays(const Stream& stream)
{
    const auto copies = copies_of(stream);
    std::vector<double> out;
    for (const auto& arrival : stream.arrivals)
        if (copies.at(arrival.sequence) == 1)
            out.push_back(static_cast<double>(arrival.arrived - stream.sent[arrival.sequence]));
    return out;
}

std::string counted(std::uint64_t k, std::uint64_t n)
{
    return fmt::format("{} of {}", k, n);
}

Row judged(Row row)
{
    row.ok = row.low <= row.measured && row.measured <= row.high;
    return row;
}

// A row for which nothing was there to measure. The rows that count packets say whether that is right.
Row unmeasured(std::string what, Unit unit, double asked, std::string why)
{
    Row row;
    row.what = std::move(what);
    row.unit = unit;
    row.asked = row.low = row.high = asked;
    row.note = std::move(why);
    return row;
}

Row share(std::string what, std::uint64_t k, std::uint64_t n, double p, const statistics::Counts& allowed)
{
    if (n == 0) return unmeasured(std::move(what), Unit::fraction, p, "nothing arrived");
    const auto of = static_cast<double>(n);
    return judged({std::move(what),
                   Unit::fraction,
                   p,
                   static_cast<double>(k) / of,
                   static_cast<double>(allowed.low) / of,
                   static_cast<double>(allowed.high) / of,
                   counted(k, n),
                   {}});
}

Row share(std::string what, std::uint64_t k, std::uint64_t n, double p)
{
    return share(std::move(what), k, n, p, statistics::binomial_acceptance(n, p, alpha));
}

// The number of events among n packets that the chain allows, as of fewer or more packets that are independent.
statistics::Counts allowed_by(const Chain& chain, std::uint64_t n)
{
    const auto facts = facts_of(chain);
    const auto packets = static_cast<double>(n);
    const double independent = std::max(1.0, std::round(packets / std::max(facts.spread, 1e-3)));
    const auto allowed = statistics::binomial_acceptance(static_cast<std::uint64_t>(independent), facts.share, alpha);
    const double scale = packets / independent;
    return {static_cast<std::uint64_t>(std::floor(static_cast<double>(allowed.low) * scale)),
            std::min(n, static_cast<std::uint64_t>(std::ceil(static_cast<double>(allowed.high) * scale)))};
}

Row none_of(std::string what, std::uint64_t k, std::uint64_t n)
{
    return judged({std::move(what), Unit::packets, 0, static_cast<double>(k), 0, 0, counted(k, n), {}});
}

// ---- counts ---------------------------------------------------------------------------------------------------------

// The number of packets of which the kernel found at least one damaged copy. With duplicates it is an estimate: both
// copies of a packet are damaged.
std::uint64_t damaged(const Stream& stream, double duplicate)
{
    return static_cast<std::uint64_t>(std::llround(static_cast<double>(stream.checksum_errors) / (1 + duplicate)));
}

// Losses that follow a loss. Where a state of the chain is certain to lose or not, each of them is a throw by itself;
// else they depend on each other as the losses do.
Row judge_bursts(const Impairment& asked, const Stream& stream)
{
    const Chain chain = loss_chain(asked);
    const auto facts = facts_of(chain);
    const double follows = 1 - (facts.mean_burst > 0 ? 1 / facts.mean_burst : 0);
    std::vector<bool> lost(stream.sent.size(), true);
    for (const auto& arrival : stream.arrivals) lost[arrival.sequence] = false;
    std::uint64_t losses = 0, followed = 0;
    for (std::size_t i = 0; i + 1 < lost.size(); ++i) {
        if (lost[i]) ++losses;
        if (lost[i] && lost[i + 1]) ++followed;
    }
    const double spread = chain.event == std::array<double, chain_states>{0, 1, 0, 0} ? 1 : std::max(1.0, facts.spread);
    const auto throws = static_cast<std::uint64_t>(static_cast<double>(losses) / spread);
    auto allowed = statistics::binomial_acceptance(throws, follows, alpha);
    allowed.low = static_cast<std::uint64_t>(static_cast<double>(allowed.low) * spread);
    allowed.high = std::min(losses, static_cast<std::uint64_t>(static_cast<double>(allowed.high + 1) * spread));
    return share("after a loss", followed, losses, follows, allowed);
}

void judge_counts(const Impairment& asked, const Stream& stream, std::vector<Row>& rows)
{
    const double loss = partitions(asked) ? 1 : probability_of(asked.loss), corrupt = probability_of(asked.corrupt),
                 duplicate = probability_of(asked.duplicate);
    const std::uint64_t sent = stream.sent.size(), came = copies_of(stream).size(), missing = sent - came;
    const std::uint64_t bad = asked.corrupt ? std::min(damaged(stream, duplicate), missing) : 0;
    auto lost =
        has_sequence(asked) ? allowed_by(loss_chain(asked), sent) : statistics::binomial_acceptance(sent, loss, alpha);
    if (asked.loss_nth != 0) lost = {sent / asked.loss_nth, sent / asked.loss_nth + 1};  // others may be counted, too
    if (asked.corrupt && asked.duplicate) {  // adds the error that the estimate may have
        const auto off =
            static_cast<std::uint64_t>(std::ceil(sigmas * std::sqrt(static_cast<double>(sent) * corrupt * duplicate)));
        lost = {lost.low - std::min(off, lost.low), std::min(lost.high + off, sent)};
    }
    // A lossy path does not tell the sender.
    if (stream.failed != 0) rows.push_back(none_of("send() failed", stream.failed, sent));
    const char* what = partitions(asked) ? "partition" : "loss";
    rows.push_back(share(what, missing - bad, sent, loss, lost));
    if (has_sequence(asked) && asked.loss && asked.loss_nth == 0 && !asked.corrupt)
        rows.push_back(judge_bursts(asked, stream));
    if (asked.corrupt) {
        rows.push_back(share("corruption", bad, bad + came, corrupt,
                             allowed_by(event_chain(asked.corrupt, asked.corrupt_correlation), bad + came)));
        // Each packet that is missing beyond loss has been found by the receiver's checksum, and none was read.
        rows.push_back(none_of("damaged, read", stream.wrong_bytes, stream.arrivals.size() + stream.wrong_bytes));
        if (!asked.loss && !asked.duplicate)
            rows.push_back(judged({"damaged, found",
                                   Unit::packets,
                                   static_cast<double>(missing),
                                   static_cast<double>(stream.checksum_errors),
                                   static_cast<double>(missing),
                                   static_cast<double>(missing),
                                   "checksum errors, of the missing",
                                   {}}));
    } else {
        rows.push_back(none_of("damaged", stream.checksum_errors + stream.wrong_bytes, sent));
    }
    const std::uint64_t copies = stream.arrivals.size() - came;
    if (asked.duplicate)
        rows.push_back(share("duplicates", copies, came, duplicate,
                             allowed_by(event_chain(asked.duplicate, asked.duplicate_correlation), came)));
    else
        rows.push_back(none_of("duplicates", copies, sent));
}

// ---- times ----------------------------------------------------------------------------------------------------------

// The largest distance from the distribution above `from`, where it has no mass in one point.
double distance_above(double from, std::vector<double> sample, const ExpectedDelay& distribution, double shift)
{
    std::sort(sample.begin(), sample.end());
    const auto n = static_cast<double>(sample.size());
    double distance = 0;
    for (std::size_t i = 0; i < sample.size(); ++i) {
        const double x = sample[i] - shift;
        if (x <= from) continue;
        const double part = static_cast<double>(i) / n, expected = distribution.cdf(x);
        distance = std::max({distance, expected - part, part + 1 / n - expected});
    }
    return distance;
}

struct Delays {
    std::vector<double> added;  // beyond the bare path's mean, ns
    Moments bare;
    double exact = 0;  // the allowed error of the mean, chance aside
};

// By how much more sums of correlated delays vary than sums of as many that are not.
double spread_of_delays(const Impairment& asked)
{
    const double r = probability_of(asked.delay_correlation);
    return (1 + r) / (1 - r);
}

// The correlation of each delay with the next one's, of packets that came once and in a row.
void judge_correlation(const Impairment& asked, const Stream& stream, const Moments& bare, std::vector<Row>& rows)
{
    if (!asked.delay_correlation) return;
    const auto copies = copies_of(stream);
    std::vector<double> delays(stream.sent.size(), -1);
    for (const auto& arrival : stream.arrivals)
        delays[arrival.sequence] = static_cast<double>(arrival.arrived - stream.sent[arrival.sequence]);
    std::erase(delays, -1);
    const auto expected = expected_correlation(asked, delays.size());
    const double sd = moments(delays).sd, noise = std::min(1.0, std::pow(bare.sd / std::max(sd, 1.0), 2));
    const double off = sigmas * expected.sd + noise + 0.01;
    rows.push_back(judged({"delay correlation",
                           Unit::fraction,
                           probability_of(asked.delay_correlation),
                           lag_correlation(delays),
                           expected.mean - off,
                           std::min(1.0, expected.mean + off),
                           fmt::format("of each packet with the next one, {} packets", delays.size()),
                           {}}));
}

void judge_jitter(const Impairment& asked, const ExpectedDelay& distribution, const Delays& delays,
                  std::vector<Row>& rows)
{
    const auto n = static_cast<double>(delays.added.size());
    const double spread = spread_of_delays(asked);
    const auto seen = moments(delays.added);
    const double sd = std::sqrt(std::max(0.0, seen.sd * seen.sd - delays.bare.sd * delays.bare.sd));
    const double off = sigmas * distribution.sd * std::sqrt((distribution.kurtosis - 1) * spread / (4 * n)) +
                       jitter_exact * distribution.sd + delays.bare.sd;
    rows.push_back(judged({"jitter",
                           Unit::nanoseconds,
                           distribution.sd,
                           sd,
                           std::max(0.0, distribution.sd - off),
                           distribution.sd + off,
                           fmt::format("standard deviation, {} packets", delays.added.size()),
                           {}}));
    // The mean has a row of its own: here only the distribution's shape counts.
    const double shift = std::clamp(seen.mean - distribution.mean, -delays.exact, delays.exact);
    const bool point = distribution.cdf(distribution.low) > 0;
    const double from =
        point ? distribution.low + std::max(0.05 * static_cast<double>(asked.delay), sigmas * delays.bare.sd)
              : -HUGE_VAL;
    const double most = statistics::ks_critical(alpha, n / spread) + steepest(distribution, delays.bare.sd);
    const auto law = format_distribution(asked);
    rows.push_back(judged({fmt::format("distribution ({})", law.substr(0, law.find(':'))),
                           Unit::distance,
                           0,
                           distance_above(from, delays.added, distribution, shift),
                           0,
                           most,
                           "Kolmogorov-Smirnov distance",
                           {}}));
}

// The distribution of held packets only: packets that came in less than `limit`, half the delay, are left out.
ExpectedDelay expected_held(const ExpectedDelay& distribution, double limit)
{
    const double below = distribution.cdf(limit);
    if (below == 0) return distribution;
    ExpectedDelay held = distribution;
    held.low = limit;
    held.cdf = [distribution, below, limit](double x) {
        return x < limit ? 0 : (distribution.cdf(x) - below) / (1 - below);
    };
    set_moments(held);
    return held;
}

void judge_early(const Impairment& asked, const std::optional<ExpectedDelay>& distribution, std::uint64_t early,
                 std::uint64_t n, std::vector<Row>& rows)
{
    const double f = early_share(asked),
                 mixed = distribution ? distribution->cdf(static_cast<double>(asked.delay) / 2) : 0;
    // Where copies and damaged packets are counted, too, it is not known which packets may go early. The interval is
    // then as if each may, which varies more.
    const bool exact = mixed == 0 && !asked.duplicate && !asked.corrupt;
    const double p = f + (1 - f) * mixed;
    if (!exact || asked.reorder_gap == 1) return rows.push_back(share("early", early, n, p));
    const double q = probability_of(asked.reorder);
    const auto gap = asked.reorder_gap;
    const auto likely = static_cast<std::uint64_t>(static_cast<double>(n) * f);
    rows.push_back(share("early", early, n, p,
                         statistics::acceptance(
                             n, likely, [=](std::uint64_t k) { return early_p_value(k, n, q, gap); }, alpha)));
}

void judge_delay(const Impairment& asked, const Stream& stream, const Moments& bare, std::vector<Row>& rows)
{
    const auto delay = static_cast<double>(asked.delay), limit = delay / 2;
    Delays delays;
    delays.bare = bare;
    delays.exact = std::max(delay_exact_ns, delay_exact * delay) + bare.sd;
    std::uint64_t early = 0;
    for (const double value : single_delays(stream)) {
        if (asked.reorder && value - bare.mean < limit)
            ++early;
        else
            delays.added.push_back(value - bare.mean);
    }
    std::optional<ExpectedDelay> all, held;
    if (asked.jitter != 0) {
        all = expected_delay(asked);
        held = asked.reorder ? expected_held(*all, limit) : *all;
    }
    const auto n = delays.added.size();
    constexpr std::size_t enough = 20;  // packets, to tell a law
    if (n == 0) {
        rows.push_back(unmeasured("delay", Unit::nanoseconds, delay, "nothing arrived late"));
    } else if (held && n < enough) {
        rows.push_back(unmeasured("delay", Unit::nanoseconds, held->mean,
                                  fmt::format("only {} packets came that are far enough apart to tell its law", n)));
    } else {
        const double mean = held ? held->mean : delay;
        const double spread = spread_of_delays(asked);
        const double off = delays.exact + (held ? sigmas * held->sd * std::sqrt(spread / static_cast<double>(n)) : 0);
        // A constant delay shows in the median, which a stall of this host does not move.
        const auto seen = moments(delays.added);
        rows.push_back(judged({"delay",
                               Unit::nanoseconds,
                               mean,
                               held ? seen.mean : seen.median + bare.mean - bare.median,
                               mean - off,
                               mean + off,
                               fmt::format("{} added, {} packets", held ? "mean" : "median", n),
                               {}}));
        if (held) judge_jitter(asked, *held, delays, rows);
        if (held && !asked.reorder && !asked.duplicate) judge_correlation(asked, stream, bare, rows);
    }
    if (asked.reorder) judge_early(asked, all, early, early + n, rows);
}

// Judges the order by RFC 4737's ratio, at the spacing that was used.
void judge_order(const Impairment& asked, const Stream& stream, const Moments& bare, std::vector<Row>& rows)
{
    std::vector<std::uint32_t> sequences;
    for (const auto& arrival : stream.arrivals) sequences.push_back(arrival.sequence);
    const auto reordered = count_reordered(sequences);
    const auto came = copies_of(stream).size();
    if (!asked.reorder && (asked.jitter == 0 || keeps_order(asked)))
        return rows.push_back(none_of("out of order", reordered, came));
    if (!asked.reorder || came == 0 || stream.sent.size() < 2) return;
    const auto expected = expected_reordering(asked, stream.sent);
    const double spacing =
        static_cast<double>(stream.sent.back() - stream.sent.front()) / static_cast<double>(stream.sent.size() - 1);
    // Packets that are due at nearly the same instant may come either way.
    const double off = sigmas * expected.sd + order_exact + early_share(asked) * std::min(1.0, 2 * bare.sd / spacing);
    rows.push_back(judged({"reordering",
                           Unit::fraction,
                           expected.mean,
                           static_cast<double>(reordered) / static_cast<double>(came),
                           std::max(0.0, expected.mean - off),
                           std::min(1.0, expected.mean + off),
                           fmt::format("RFC 4737, a packet each {:.2f} ms", spacing / 1e6),
                           {}}));
}

// ---- rate -----------------------------------------------------------------------------------------------------------

Row judge_rate(const Impairment& asked, const Flood& flood)
{
    const auto rate = static_cast<double>(asked.rate);
    const double frame_bits = 8 * static_cast<double>(flood.frame_bytes);
    const double offered = static_cast<double>(flood.sent) * frame_bits * 1e9 /
                           static_cast<double>(flood.end - flood.begin) * (1 - probability_of(asked.loss)) *
                           (1 + probability_of(asked.duplicate));
    if (offered < rate * 1.1)
        return unmeasured("rate", Unit::bits_per_second, rate,
                          fmt::format("only {} offered", format_rate(static_cast<std::uint64_t>(offered))));
    const auto delay = static_cast<std::int64_t>(asked.delay), spread = static_cast<std::int64_t>(asked.jitter);
    const std::int64_t from = flood.begin + delay + spread + flood_settles, to = flood.end + delay - spread;
    std::int64_t first = INT64_MAX, last = 0;
    std::uint64_t frames = 0;
    for (const auto arrived : flood.arrived) {
        if (arrived < from || arrived > to) continue;
        ++frames;
        first = std::min(first, arrived);
        last = std::max(last, arrived);
    }
    if (frames < 2) return unmeasured("rate", Unit::bits_per_second, rate, "nothing arrived in time");
    const auto n = static_cast<double>(frames);
    // Damaged frames had their time on the link, too.
    const double found = 1 + static_cast<double>(flood.checksum_errors) / static_cast<double>(flood.arrived.size());
    const double seconds = static_cast<double>(last - first) / 1e9;
    // At both ends of the time some frames are in or out by their jitter.
    const double shuffled =
        asked.jitter == 0 ? 1 : 1 + sigmas * std::sqrt(2 * static_cast<double>(spread) / 1e9 * n / seconds);
    const double off = rate * (rate_exact + shuffled / n);
    return judged({"rate",
                   Unit::bits_per_second,
                   rate,
                   (n - 1) * found * frame_bits / seconds,
                   rate - off,
                   rate + off,
                   fmt::format("{} frames of {} bytes", frames, flood.frame_bytes),
                   {}});
}

// ---- reject ---------------------------------------------------------------------------------------------------------

Row judge_answers(const Impairment& asked, const char* protocol, bool tcp, const Answers& answers)
{
    const bool rst = tcp && asked.reject == Reject::rst;
    const double p = partitions(asked) ? 1 : asked.loss ? probability_of(asked.loss) : 1;
    return share(fmt::format("{} told by {}", protocol, rst ? "RST" : "ICMP"), rst ? answers.rst : answers.icmp,
                 answers.tries, p);
}

}  // namespace

std::vector<Row> judge(const Impairment& asked, const Samples& samples)
{
    std::vector<Row> rows;
    auto bare = moments(single_delays(samples.bare));
    bare.mean += static_cast<double>(samples.on_link);
    bare.median += static_cast<double>(samples.on_link);
    if (asked.delay != 0 && samples.timing) judge_delay(asked, *samples.timing, bare, rows);
    const bool spaced = samples.timing && !keeps_order(asked);
    judge_order(asked, spaced ? *samples.timing : samples.counting, bare, rows);
    judge_counts(asked, samples.counting, rows);
    if (asked.rate != 0 && samples.flood) rows.push_back(judge_rate(asked, *samples.flood));
    if (samples.tcp) rows.push_back(judge_answers(asked, "TCP", true, *samples.tcp));
    if (samples.udp) rows.push_back(judge_answers(asked, "UDP", false, *samples.udp));
    return rows;
}

}  // namespace headwind::verify

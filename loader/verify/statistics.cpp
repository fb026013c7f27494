// SPDX-License-Identifier: MIT
// Computes p-values from binomial tails, incomplete gamma functions and the Kolmogorov-Smirnov series.
#include "verify/statistics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace headwind::statistics {
namespace {

constexpr double negligible = 1e-17;

double log_binomial(std::uint64_t k, std::uint64_t n, double p)
{
    const auto x = static_cast<double>(k), of = static_cast<double>(n);
    return std::lgamma(of + 1) - std::lgamma(x + 1) - std::lgamma(of - x + 1) + x * std::log(p) +
           (of - x) * std::log1p(-p);
}

// P[X <= k] for k below the mean: terms fall from k down to 0.
double lower_tail(std::uint64_t k, std::uint64_t n, double p)
{
    double sum = 0, term = std::exp(log_binomial(k, n, p));
    for (std::uint64_t i = k;; --i) {
        sum += term;
        if (i == 0 || term < sum * negligible) return sum;
        term *= static_cast<double>(i) / static_cast<double>(n - i + 1) * (1 - p) / p;
    }
}

// P[X <= k]. The smaller tail is summed, so that it is exact however small; the other is the rest.
double at_most(std::uint64_t k, std::uint64_t n, double p)
{
    if (k >= n || p <= 0) return 1;
    if (p >= 1) return 0;
    if (static_cast<double>(k) < static_cast<double>(n) * p) return lower_tail(k, n, p);
    return 1 - lower_tail(n - k - 1, n, 1 - p);
}

double at_least(std::uint64_t k, std::uint64_t n, double p)
{
    return k == 0 ? 1 : at_most(n - k, n, 1 - p);  // that is: n - k failures at most
}

// The zero of a falling function between 0 and 1.
double bisect(const std::function<double(double)>& falling)
{
    double low = 0, high = 1;
    for (int i = 0; i < 100; ++i) {
        const double middle = (low + high) / 2;
        (falling(middle) > 0 ? low : high) = middle;
    }
    return (low + high) / 2;
}

// The regularized incomplete gamma functions P and Q = 1 - P (series and continued fraction, Abramowitz & Stegun
// 6.5.29, 6.5.31).
double gamma_p_series(double a, double x)
{
    double term = 1 / a, sum = term;
    for (double i = a + 1; term > sum * negligible; ++i) sum += term *= x / i;
    return sum * std::exp(a * std::log(x) - x - std::lgamma(a));
}

double gamma_q_fraction(double a, double x)
{
    constexpr double tiny = 1e-300;
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, result = d;
    for (int i = 1; i < 100'000; ++i) {
        const double an = -i * (i - a);
        b += 2;
        d = an * d + b;
        c = b + an / c;
        if (std::abs(d) < tiny) d = tiny;
        if (std::abs(c) < tiny) c = tiny;
        d = 1 / d;
        result *= d * c;
        if (std::abs(d * c - 1) < 1e-15) break;
    }
    return result * std::exp(a * std::log(x) - x - std::lgamma(a));
}

struct Bins {
    std::vector<double> observed, expected;
};

Bins pool(const std::vector<std::uint64_t>& observed, const std::vector<double>& expected)
{
    constexpr double least = 5;
    Bins out;
    double seen = 0, wanted = 0;
    for (std::size_t i = 0; i < observed.size(); ++i) {
        seen += static_cast<double>(observed[i]);
        wanted += expected[i];
        if (wanted < least) continue;
        out.observed.push_back(seen);
        out.expected.push_back(wanted);
        seen = wanted = 0;
    }
    if (out.expected.empty()) throw std::invalid_argument("fewer than 5 events are expected");
    out.observed.back() += seen;
    out.expected.back() += wanted;
    return out;
}

}  // namespace

double binomial_p_value(std::uint64_t k, std::uint64_t n, double p)
{
    if (k > n) return 0;
    return std::min(1.0, 2 * std::min(at_most(k, n, p), at_least(k, n, p)));
}

Interval binomial_interval(std::uint64_t k, std::uint64_t n, double alpha)
{
    Interval out;
    if (k > 0) out.low = bisect([&](double p) { return alpha / 2 - at_least(k, n, p); });
    if (k < n) out.high = bisect([&](double p) { return at_most(k, n, p) - alpha / 2; });
    return out;
}

double binomial_at_least(std::uint64_t k, std::uint64_t n, double p)
{
    return k > n ? 0 : at_least(k, n, p);
}

Counts acceptance(std::uint64_t n, std::uint64_t likely, const std::function<double(std::uint64_t)>& p_value,
                  double alpha)
{
    Counts out{likely, likely};
    for (std::uint64_t below = 0; below < out.low;) {
        const auto middle = below + (out.low - below) / 2;
        if (p_value(middle) >= alpha)
            out.low = middle;
        else
            below = middle + 1;
    }
    for (std::uint64_t above = n; above > out.high;) {
        const auto middle = above - (above - out.high) / 2;
        if (p_value(middle) >= alpha)
            out.high = middle;
        else
            above = middle - 1;
    }
    return out;
}

Counts binomial_acceptance(std::uint64_t n, double p, double alpha)
{
    const auto likely = static_cast<std::uint64_t>(std::floor(static_cast<double>(n) * p));
    return acceptance(
        n, std::min(likely, n), [n, p](std::uint64_t k) { return binomial_p_value(k, n, p); }, alpha);
}

double chi_square_p_value(double statistic, double degrees)
{
    const double a = degrees / 2, x = statistic / 2;
    if (x <= 0) return 1;
    return x < a + 1 ? 1 - gamma_p_series(a, x) : gamma_q_fraction(a, x);
}

double chi_square_test(const std::vector<std::uint64_t>& observed, const std::vector<double>& expected, unsigned fitted)
{
    if (observed.size() != expected.size()) throw std::invalid_argument("as many expected as observed bins");
    const auto bins = pool(observed, expected);
    double statistic = 0;
    for (std::size_t i = 0; i < bins.expected.size(); ++i)
        statistic += std::pow(bins.observed[i] - bins.expected[i], 2) / bins.expected[i];
    const double degrees = static_cast<double>(bins.expected.size()) - 1 - fitted;
    if (degrees < 1) throw std::invalid_argument("too few bins");
    return chi_square_p_value(statistic, degrees);
}

double geometric_p_value(const std::vector<std::uint64_t>& gaps, double p)
{
    const auto n = static_cast<double>(gaps.size());
    // Bins until 5 events are left for the tail, which is the last bin.
    std::vector<double> expected;
    double left = n;
    while (left > 5 && left * (1 - p) > 5) {
        expected.push_back(left * p);
        left *= 1 - p;
    }
    expected.push_back(left);
    std::vector<std::uint64_t> observed(expected.size());
    for (const auto gap : gaps) {
        if (gap == 0) return 0;
        ++observed[std::min<std::size_t>(gap, observed.size()) - 1];
    }
    return chi_square_test(observed, expected);
}

double ks_distance(std::vector<double> sample, const std::function<double(double)>& distribution)
{
    std::sort(sample.begin(), sample.end());
    const auto n = static_cast<double>(sample.size());
    double distance = 0;
    for (std::size_t i = 0; i < sample.size(); ++i) {
        const double below = static_cast<double>(i) / n, expected = distribution(sample[i]);
        distance = std::max({distance, expected - below, below + 1 / n - expected});
    }
    return distance;
}

double ks_distance(std::vector<double> a, std::vector<double> b)
{
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    const auto part = [](std::size_t i, const std::vector<double>& of) {
        return static_cast<double>(i) / static_cast<double>(of.size());
    };
    double distance = 0;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        const double value = std::min(a[i], b[j]);
        while (i < a.size() && a[i] <= value) ++i;
        while (j < b.size() && b[j] <= value) ++j;
        distance = std::max(distance, std::abs(part(i, a) - part(j, b)));
    }
    return distance;
}

double ks_critical(double alpha, double n)
{
    const double root = std::sqrt(n);  // the series of ks_p_value, of which only the first term counts here
    return std::sqrt(-std::log(alpha / 2) / 2) / (root + 0.12 + 0.11 / root);
}

double ks_p_value(double distance, double n)
{
    const double root = std::sqrt(n), lambda = (root + 0.12 + 0.11 / root) * distance;
    if (lambda < 0.2) return 1;  // the series below no longer converges; the value is 1 to 12 digits
    double sum = 0, sign = 1;
    for (int j = 1; j <= 100; ++j, sign = -sign) {
        const double term = std::exp(-2 * lambda * lambda * j * j);
        sum += sign * term;
        if (term < negligible) break;
    }
    return std::clamp(2 * sum, 0.0, 1.0);
}

}  // namespace headwind::statistics

// SPDX-License-Identifier: MIT
// Makes laws of delays, and computes what they are like: in closed form from one knot of a table to the next.
#include "chance/law.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <utility>

namespace headwind {
namespace {

constexpr double step = 1.0 / HW_LAW_STEPS;
constexpr double farthest = (HW_LAW_KNOTS - 1) * step / 2;

double score_at(std::size_t knot)
{
    return static_cast<double>(knot) * step - farthest;
}

// The share of all scores that is above z.
double above(double z)
{
    return std::erfc(z / std::numbers::sqrt2) / 2;
}

double density(double z)
{
    return std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
}

// The score with this share of all below it; 0 < share <= 1/2. Newton's steps on the logarithm, which is nearly
// straight.
double score_of(double share)
{
    double z = -std::sqrt(-2 * std::log(2 * share));
    for (int i = 0; i < 10; ++i) {
        const double below = above(-z);
        z -= (std::log(below) - std::log(share)) * below / density(z);
    }
    return z;
}

Law tabulated(const std::function<double(double)>& at_score)
{
    Law out(HW_LAW_KNOTS);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = at_score(score_at(i));
    return out;
}

Law standard(const std::function<double(double)>& at_score)
{
    const auto law = tabulated(at_score);
    return standardized(law, moments_of(law));
}

double pareto(double z)
{
    return std::pow(above(z), -1.0 / 3);
}

// The integrals of 1, z and z^2, by the normal density, between two scores.
struct Integrals {
    double once, by_z, by_square;
};
Integrals between(double a, double b)
{
    const double share = a < 0 ? above(-b) - above(-a) : above(a) - above(b);
    return {share, density(a) - density(b), share + a * density(a) - b * density(b)};
}

// The squares of the law's coefficients in normalized Hermite polynomials, from the first on: how much of its variance
// each holds. Delays whose scores have the correlation r have the correlation that their sum, the k-th times r^k, is of
// the variance (Mehler).
std::vector<double> spectrum(const Law& law)
{
    constexpr std::size_t terms = 500;
    std::vector<double> out(terms + 1);
    for (std::size_t i = 0; i < law.size(); ++i) {
        // Integrated by parts twice, a coefficient is a sum over the changes of slope.
        const double left = i == 0 ? 0 : (law[i] - law[i - 1]) / step,
                     right = i + 1 == law.size() ? 0 : (law[i + 1] - law[i]) / step;
        const double z = score_at(i), weight = (right - left) * density(z);
        if (i + 1 < law.size()) out[1] += right * between(z, score_at(i + 1)).once;
        double before = 0, here = 1;
        for (std::size_t k = 2; k <= terms; ++k) {
            out[k] += weight * here;
            const auto n = static_cast<double>(k - 2);  // `here` is the polynomial of this degree
            const double next = (z * here - std::sqrt(n) * before) / std::sqrt(n + 1);
            before = here;
            here = next;
        }
    }
    for (std::size_t k = 1; k <= terms; ++k) {
        const auto n = static_cast<double>(k);
        out[k] = k == 1 ? out[k] * out[k] : out[k] * out[k] / (n * (n - 1));
    }
    return out;
}

}  // namespace

const Law& normal_law()
{
    static const Law law = standard([](double z) { return z; });
    return law;
}

const Law& exponential_law()
{
    static const Law law = standard([](double z) { return -std::log(above(z)); });
    return law;
}

const Law& pareto_law()
{
    static const Law law = standard(pareto);
    return law;
}

const Law& paretonormal_law()
{
    static const Law law = standard([](double z) { return z / 4 + 3 * (pareto(z) - 1.5) / std::sqrt(12.0); });
    return law;
}

// The table has another deviation than the law without end, by the tails that it has not: hence the search, by secants
// of what is nearly straight. (A command asks for the same law a few times.)
Law lognormal_law(double ratio)
{
    static thread_local std::pair<double, Law> last;
    if (last.first == ratio) return last.second;
    const auto of_sigma = [](double sigma) { return tabulated([sigma](double z) { return std::exp(sigma * z); }); };
    const auto error_of = [&](double log_sigma) {
        const auto moments = moments_of(of_sigma(std::exp(log_sigma)));
        return std::log(moments.sd / moments.mean / ratio);
    };
    double before = std::log(std::log1p(ratio * ratio)) / 2, here = before + 0.01, error_before = error_of(before);
    for (int i = 0; i < 30 && std::abs(here - before) > 1e-12; ++i) {
        const double error = error_of(here), slope = (error - error_before) / (here - before);
        before = std::exchange(here, slope > 0 ? here - error / slope : here);
        error_before = error;
    }
    const auto law = of_sigma(std::exp(here));
    last = {ratio, standardized(law, moments_of(law))};
    return last.second;
}

const Law& uniform_law()
{
    static const Law law = tabulated([](double z) { return 1 - 2 * above(z); });
    return law;
}

Law law_of_quantiles(const std::vector<double>& sorted)
{
    const auto count = static_cast<double>(sorted.size());
    const auto value_at_place = [&](double place) {
        return sorted[static_cast<std::size_t>(std::clamp(std::floor(place), 0.0, count - 1))];
    };
    return tabulated([&](double z) {
        const double place = (1 - above(z)) * count;
        return (value_at_place(place - 1e-9) + value_at_place(place + 1e-9)) / 2;  // where one goes over into the next
    });
}

Moments moments_of(const Law& law)
{
    double mean = 0, square = 0;
    const double middle = law[law.size() / 2];  // the sums are of what is near 0
    for (std::size_t i = 0; i + 1 < law.size(); ++i) {
        const double a = score_at(i), slope = (law[i + 1] - law[i]) / step, origin = law[i] - middle - slope * a;
        const auto [once, by_z, by_square] = between(a, score_at(i + 1));
        mean += origin * once + slope * by_z;
        square += origin * origin * once + 2 * origin * slope * by_z + slope * slope * by_square;
    }
    for (const double end : {law.front() - middle, law.back() - middle}) {
        mean += end * above(farthest);
        square += end * end * above(farthest);
    }
    return {middle + mean, std::sqrt(std::max(0.0, square - mean * mean))};
}

Law standardized(Law law, const Moments& moments)
{
    for (auto& value : law) value = moments.sd > 0 ? (value - moments.mean) / moments.sd : 0;
    return law;
}

double share_up_to(const Law& law, double x)
{
    const auto next = std::upper_bound(law.begin(), law.end(), x);
    if (next == law.begin()) return 0;
    if (next == law.end()) return 1;
    const auto i = static_cast<std::size_t>(next - law.begin()) - 1;
    return above(-(score_at(i) + step * (x - law[i]) / (law[i + 1] - law[i])));
}

double value_at(const Law& law, double score)
{
    const double place = std::clamp((score + farthest) / step, 0.0, static_cast<double>(law.size() - 1));
    const auto i = std::min(static_cast<std::size_t>(place), law.size() - 2);
    return law[i] + (place - static_cast<double>(i)) * (law[i + 1] - law[i]);
}

Law cut_at(Law law, double least)
{
    for (auto& value : law) value = std::max(value, least);
    return law;
}

double score_correlation(const Law& law, double correlation)
{
    const auto parts = spectrum(law);
    const double variance = std::pow(moments_of(law).sd, 2);
    double rest = variance;  // of higher polynomials
    for (std::size_t k = 1; k < parts.size(); ++k) rest -= parts[k];
    const auto gives = [&](double r) {
        double power = 1, sum = 0;
        for (std::size_t k = 1; k < parts.size(); ++k) sum += parts[k] * (power *= r);
        return (sum + rest * power) / variance;
    };
    double low = 0, high = 1;
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2;
        (gives(middle) < correlation ? low : high) = middle;
    }
    return low;
}

double order_factor(const Law& law, double least)
{
    // The farthest that two scores are from 0, and so the score in between from what it moves around.
    const double farthest_pair = std::numbers::sqrt2 * -normal_scores().at[0] / HW_SCORE_ONE;
    double most = 0;
    for (std::size_t i = 0; i + 1 < law.size(); ++i) {
        if (law[i + 1] <= least) continue;
        const double slope = (law[i + 1] - law[i]) / step, a = score_at(i), b = score_at(i + 1);
        const double nearest = a * b > 0 ? std::min(std::abs(a), std::abs(b)) : 0;
        most = std::max(most, slope * std::sqrt(farthest_pair * farthest_pair - nearest * nearest));
    }
    return most * std::numbers::pi / 2;
}

hw_law fixed_point(const Law& law)
{
    constexpr double most = 2000;
    hw_law out{};
    for (std::size_t i = 0; i < law.size(); ++i)
        out.at[i] = static_cast<__s32>(std::lround(std::clamp(law[i], -most, most) * HW_LAW_ONE));
    return out;
}

const hw_scores& normal_scores()
{
    static const auto scores = [] {
        hw_scores out{};
        for (std::size_t i = 0; i < HW_SCORE_KNOTS; ++i) {
            const auto v = std::ldexp(static_cast<double>(HW_SCORE_STEPS + i % HW_SCORE_STEPS),
                                      static_cast<int>(i / HW_SCORE_STEPS) + HW_SCORE_FIRST - 5);
            out.at[i] = static_cast<__s32>(std::lround(score_of(std::ldexp(v, -32)) * HW_SCORE_ONE));
        }
        return out;
    }();
    return scores;
}

}  // namespace headwind

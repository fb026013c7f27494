// SPDX-License-Identifier: MIT
// Parts of the soak: chance, the flags of random rules, and counts of what the kernel holds.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace headwind::test {

using Totals = std::map<std::string, std::uint64_t>;
void add(Totals& to, const Totals& more);
std::string format(const Totals& totals);  // "3 loss, 1 queue": all that are not 0

// The ports of the soak's traffic: destinations from first_port on, sources from first_source on.
inline constexpr unsigned soak_ports = 4;
inline constexpr std::uint16_t first_port = 7000, first_source = 8000;

// A random sequence that is the same with every compiler.
class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
    bool percent(unsigned probability) { return below(100) < probability; }
    std::string one_of(const std::vector<std::string>& choices) { return choices[below(choices.size())]; }

private:
    std::mt19937_64 engine_;
};

// The flags of a rule, without name and device.
std::string random_rule(Dice& dice);
// The flags of an impairment that `change` can set, too.
std::string random_values(Dice& dice);

// The numbers of programs, links, pins and maps in the kernel, and of the maps' entries.
Totals bpf_objects();

// Memory in kB, once the kernel has freed what it frees late.
Totals kernel_memory();

}  // namespace headwind::test

// What the soak is made of: chance, the words of random rules, and what the kernel holds.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace headwind::test {

using Totals = std::map<std::string, std::uint64_t>;
void add(Totals& to, const Totals& more);
std::string format(const Totals& totals);  // "3 loss, 1 queue": what is not 0

// Ports of the soak's traffic: those it goes to and those it comes from.
inline constexpr unsigned soak_ports = 4;
inline constexpr std::uint16_t first_port = 7000, first_source = 8000;

// The same sequence with every compiler.
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

// Flags of a rule, without name and device.
std::string random_rule(Dice& dice);
// Of its impairment, those that `change` can set, too.
std::string random_values(Dice& dice);

// How many of each kind there are in the kernel: programs, links, pins, and of maps the entries, too.
Totals bpf_objects();

// kB, once the kernel has freed what it frees late.
Totals kernel_memory();

}  // namespace headwind::test

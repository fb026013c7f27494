// SPDX-License-Identifier: MIT
// Reads udp_probe's command line.
#include "options.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr const char* usage_text = R"(usage: udp_probe ROLE ADDRESS PORT [OPTION...]

  receive   bind ADDRESS PORT, measure the one-way delay of what 'send' sends; prints JSON
  send      send to ADDRESS PORT; prints JSON
  echo      bind ADDRESS PORT, send back what arrives, until nothing comes for --timeout-ms
  ping      send to ADDRESS PORT, measure the round trip of what 'echo' returns; prints JSON

  --count N           packets to measure (default 100)
  --interval-us N     microseconds from one packet to the next; 0: as fast as possible (default 5000)
  --size N            bytes of UDP payload, 32 to 65000 (default 64)
  --warm-up N         packets sent before, not measured (default 5): caches, neighbour entries
  --timeout-ms N      give up when nothing arrived for so long (default 3000)
  --source-port N     send, ping: port to send from (default: any)
  --samples FILE      receive, ping: write 'seq send_ns recv_ns' for each packet, in order of arrival
  --ready FILE        receive, echo: create FILE as soon as packets can come

JSON: role, count; of send and ping send_errors (measured packets that the kernel refused to send); of receive and ping
received, lost, duplicates, reordered (arrived after a later one); of the first copy of each packet mean_ns, sd_ns,
min_ns, p50_ns, p99_ns, max_ns; bit_per_s, of Ethernet frames without FCS, from the first arrival to the last.
Exit status 1 if nothing was received or a system call failed, 2 bad usage, else 0.
)";

int64_t number(std::string_view name, std::string_view text, int64_t least, int64_t most)
{
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        bad_usage(std::string(name) + " wants a number from " + std::to_string(least) + " to " + std::to_string(most));
    return value;
}

void set_option(Options& options, std::string_view name, std::string_view value)
{
    constexpr int64_t many = 1'000'000'000'000;
    if (name == "--count")
        options.count = number(name, value, 1, 100'000'000);
    else if (name == "--interval-us")
        options.interval_us = number(name, value, 0, many);
    else if (name == "--size")
        options.size = number(name, value, smallest_payload, 65'000);
    else if (name == "--warm-up")
        options.warm_up = number(name, value, 0, many);
    else if (name == "--timeout-ms")
        options.timeout_ms = number(name, value, 1, 2'000'000'000);
    else if (name == "--source-port")
        options.source_port = static_cast<uint16_t>(number(name, value, 1, 65'535));
    else if (name == "--samples")
        options.samples = value;
    else if (name == "--ready")
        options.ready = value;
    else
        bad_usage("no option " + std::string(name));
}

}  // namespace

Options parse(std::span<char*> arguments)
{
    const std::vector<std::string_view> words(arguments.begin() + 1, arguments.end());
    if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
        std::fputs(usage_text, stdout);
        std::exit(0);
    }
    if (words.size() < 3 || words.size() % 2 == 0) bad_usage("wants ROLE ADDRESS PORT and options with a value each");
    Options options;
    options.role = words[0];
    options.address = words[1];
    options.port = static_cast<uint16_t>(number("PORT", words[2], 1, 65'535));
    for (size_t i = 3; i < words.size(); i += 2) set_option(options, words[i], words[i + 1]);
    return options;
}

[[noreturn]] void fail(const std::string& what)
{
    std::fprintf(stderr, "udp_probe: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

[[noreturn]] void bad_usage(const std::string& what)
{
    std::fprintf(stderr, "udp_probe: %s (udp_probe --help tells more)\n", what.c_str());
    std::exit(2);
}

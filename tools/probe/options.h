// SPDX-License-Identifier: MIT
// udp_probe's command line, and its error messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

struct Options {
    std::string_view role;
    std::string address;
    uint16_t port = 0;
    uint16_t source_port = 0;
    int64_t count = 100;
    int64_t interval_us = 5000;
    int64_t size = 64;  // at least smallest_payload
    int64_t warm_up = 5;
    int64_t timeout_ms = 3000;
    std::string samples;
    std::string ready;
};

constexpr int64_t smallest_payload = 32;

// Parses the arguments. Prints the usage and ends the program if it is asked for; ends it with bad_usage() on errors.
Options parse(std::span<char*> arguments);

[[noreturn]] void bad_usage(const std::string& what);
[[noreturn]] void fail(const std::string& what);  // adds the text of errno

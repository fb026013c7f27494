// SPDX-License-Identifier: MIT
// The conclusions that `headwind doctor` draws from its probes, as text and JSON. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/engine.h"
#include "util/result.h"

namespace headwind {

enum class CheckStatus { ok, no, note };

// The things that cannot be done because of a failed check. Anything but `nothing` makes the status `no`.
enum class Lacks {
    nothing,
    privilege,  // to do it as this user
    effect,     // a rule that is there: somebody took away what it needs
    time,       // delay and rate
    everything,
};

struct Check {
    std::string name;
    CheckStatus status = CheckStatus::ok;
    std::string detail;
    std::string advice;  // empty: nothing to do
    Lacks lacks = Lacks::nothing;
};

Check check_ok(std::string name, std::string detail);
Check check_note(std::string name, std::string detail, std::string advice = {});
Check check_no(std::string name, Lacks lacks, std::string detail, std::string advice);
// The check of a probe that failed: privileges are missing if the error says so, else `lacks`.
Check check_failed(std::string name, Lacks lacks, const Error& error);

// `release` as uname says it: "6.1.0-31-amd64".
Check check_kernel(std::string_view release);

// The bits of CapEff in /proc/<pid>/status; nullopt: there is no such line.
std::optional<std::uint64_t> effective_capabilities(std::string_view status_file);
std::vector<std::string> missing_capabilities(std::uint64_t effective);
Check check_privileges(std::uint64_t effective);

// A program on a hook of a device that rules go to, or the other tc filters of such a device.
struct HookProgram {
    std::string device, hook;  // "eth0", "egress"
    std::string name;          // the program's; clsact filters: their number, "2 tc filters"
    bool ours = false;
};
Check check_hook_programs(const std::vector<HookProgram>& programs);

// A device that rules go to, and its driver.
struct XdpDevice {
    std::string device, driver;
    std::uint32_t other = 0;  // id of an XDP program that is not ours; 0: none
};
Check check_xdp(const std::vector<XdpDevice>& devices);

Check check_instance(const Snapshot& all);

// The exit code: 0 if delays are possible, else exit_code() of what is missing, the kernel's faults before the user's.
int doctor_exit_code(const std::vector<Check>& checks);
std::string conclusion(const std::vector<Check>& checks);

// The line "no    sch_fq     this kernel has none: delay and rate need it; do this". `colour`: gives the status one,
// for a terminal.
std::string format_check(const Check& check, bool colour);
nlohmann::json to_json(const std::vector<Check>& checks);

}  // namespace headwind

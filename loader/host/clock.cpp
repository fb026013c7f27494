// SPDX-License-Identifier: MIT
// Reads the host's zone file, and how far CLOCK_TAI is ahead.
#include "host/clock.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "host/host.h"
#include "util/fd.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr const char* zone_file = "/etc/localtime";
constexpr std::int64_t ns_per_s = 1'000'000'000;

// Opens `path` below `root`. A link on the way leads to where it leads on the host, also if the host's root is seen
// elsewhere.
Fd open_below(const std::string& root, const char* path)
{
    const Fd top(open(root.empty() ? "/" : root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    return Fd(static_cast<int>(syscall(SYS_openat2, top.get(), path, &how, sizeof(how))));
}

// The zone's name, "Europe/Berlin", from what its file is a link to; empty: unknown.
std::string name_of_zone()
{
    constexpr std::string_view folder = "zoneinfo/";
    std::error_code error;
    const auto target = std::filesystem::read_symlink(host_root() + zone_file, error).string();
    const auto at = target.rfind(folder);
    if (error || at == std::string::npos) return "";
    auto name = target.substr(at + folder.size());
    return is_plain_text(name) ? name : "";
}

std::int64_t nanoseconds_of(clockid_t clock)
{
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * ns_per_s + now.tv_nsec;
}

// CLOCK_TAI minus CLOCK_REALTIME, in whole seconds. (adjtimex would tell, but a hardened service may not call it.)
std::int64_t tai_ahead()
{
    for (int tries = 0;; ++tries) {
        const auto before = nanoseconds_of(CLOCK_REALTIME), tai = nanoseconds_of(CLOCK_TAI);
        const bool steady = std::abs(nanoseconds_of(CLOCK_REALTIME) - before) < ns_per_s / 4;
        // The result is rounded, since the clocks were not read at once. Only a wrong setting makes it negative.
        if (steady || tries == 100) return (tai - before + (tai < before ? -ns_per_s : ns_per_s) / 2) / ns_per_s;
    }
}

}  // namespace

Result<Zone> host_zone()
{
    const auto path = host_root() + zone_file;
    const Fd fd = open_below(host_root(), zone_file);
    if (!fd && errno == ENOENT) {
        Zone utc;
        utc.name = "UTC";
        return utc;
    }
    if (!fd) return fail_errno(errno, "open " + path);
    std::ifstream file(fmt::format("/proc/self/fd/{}", fd.get()), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    auto zone = parse_zone(bytes, wall_seconds());
    if (!zone) return fail(zone.error().kind, "{}: {}", path, zone.error().message);
    zone->name = name_of_zone();
    return zone;
}

Result<LocalClock> host_clock()
{
    HW_TRY(const auto zone, host_zone());
    return local_clock(zone, wall_seconds(), tai_ahead());
}

std::uint64_t tai_ns()
{
    return static_cast<std::uint64_t>(nanoseconds_of(CLOCK_TAI));
}

}  // namespace headwind

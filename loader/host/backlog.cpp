// SPDX-License-Identifier: MIT
// Raises and restores netdev_max_backlog, whose old value is kept in the host map; sets rps_cpus.
#include "host/backlog.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "host/host.h"
#include "util/fd.h"

namespace headwind {
namespace {

constexpr std::uint32_t backlog_packets = 100'000;
constexpr const char* backlog_sysctl = "net/core/netdev_max_backlog";

// The sysfs of the thread's network namespace, mounted nowhere: /sys stays that of the namespace it was mounted in.
Result<Fd> open_sysfs()
{
    const Fd made(fsopen("sysfs", FSOPEN_CLOEXEC));
    if (!made || fsconfig(made.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return fail_errno(errno, "open the sysfs of this network namespace (it takes CAP_SYS_ADMIN)");
    Fd root(fsmount(made.get(), FSMOUNT_CLOEXEC, 0));
    if (!root) return fail_errno(errno, "mount the sysfs of this network namespace");
    return root;
}

std::string rps_file(const std::string& device, unsigned queue)
{
    return fmt::format("devices/virtual/net/{}/queues/rx-{}/rps_cpus", device, queue);
}

Result<std::string> read_at(const Fd& root, const std::string& path)
{
    const Fd file(openat(root.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(16'384, '\0');
    const auto size = file ? read(file.get(), text.data(), text.size()) : -1;
    if (size < 0) return fail_errno(errno, "read /sys/" + path);
    text.resize(static_cast<std::size_t>(size));
    return text;
}

using Cpus = std::set<unsigned>;

// "0-3,8": cpulist_parse() of the kernel.
Cpus parse_list(const std::string& text)
{
    Cpus out;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        unsigned first = 0;
        const auto one = std::from_chars(at, end, first);
        if (one.ec != std::errc()) break;
        unsigned last = first;
        at = one.ptr;
        if (at != end && *at == '-') at = std::from_chars(at + 1, end, last).ptr;
        for (unsigned cpu = first; cpu <= last; ++cpu) out.insert(cpu);
        if (at != end && *at == ',') ++at;
    }
    return out;
}

// "3,00000001" is CPU 0, 32 and 33: words of 32 bits, the highest first (bitmap_parse() of the kernel).
Cpus parse_mask(const std::string& text)
{
    Cpus out;
    unsigned bit = 0;
    for (const char digit : std::string(text.rbegin(), text.rend())) {
        unsigned value = 0;
        if (std::from_chars(&digit, &digit + 1, value, 16).ec != std::errc()) continue;
        for (unsigned i = 0; i < 4; ++i, ++bit)
            if (value >> i & 1) out.insert(bit);
    }
    return out;
}

std::string mask_of(const Cpus& cpus)
{
    std::string out;
    for (unsigned word = *cpus.rbegin() / 32 + 1; word-- > 0;) {
        std::uint32_t bits = 0;
        for (unsigned bit = 0; bit < 32; ++bit)
            if (cpus.contains(word * 32 + bit)) bits |= 1U << bit;
        out += fmt::format("{}{:08x}", out.empty() ? "" : ",", bits);
    }
    return out;
}

// Writes the mask of CPUs of each queue.
Status write_masks(const Fd& sysfs, const std::string& device, unsigned queues, const std::string& mask)
{
    for (unsigned queue = 0; queue < queues; ++queue) {
        const auto path = rps_file(device, queue);
        const Fd file(openat(sysfs.get(), path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!file && errno == ENOENT && queue == 0)
            return fail(ErrorKind::unsupported,
                        "this kernel has no RPS (CONFIG_RPS), without which packets of a flow "
                        "overtake each other");
        if (!file || write(file.get(), mask.data(), mask.size()) != static_cast<ssize_t>(mask.size()))
            return fail_errno(errno, fmt::format("write {} to /sys/{}", mask, path));
    }
    return {};
}

}  // namespace

bool is_backlog_low()
{
    const auto now = read_initial_sysctl(backlog_sysctl);
    return now && *now < backlog_packets;
}

void raise_backlog(hw_host& host)
{
    const auto before = read_initial_sysctl(backlog_sysctl);
    if (!before || *before >= backlog_packets) return;
    const auto was_changed = host.backlog_changed;
    host.backlog_before = *before;  // also where it was raised before: what is lower now is somebody's own
    std::atomic_ref(host.backlog_changed).store(1);
    if (!write_initial_sysctl(backlog_sysctl, backlog_packets)) host.backlog_changed = was_changed;
}

Status restore_backlog(hw_host& host)
{
    if (host.backlog_changed == 0) return {};
    const auto now = read_initial_sysctl(backlog_sysctl);
    if (now && *now == backlog_packets) HW_CHECK(write_initial_sysctl(backlog_sysctl, host.backlog_before));
    host.backlog_changed = 0;
    return {};
}

unsigned online_cpus()
{
    return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

Status receive_by_flow(const std::string& device, unsigned queues)
{
    HW_TRY(const auto sysfs, open_sysfs());
    HW_TRY(const auto list, read_at(sysfs, "devices/system/cpu/online"));
    const auto online = parse_list(list);
    if (online.empty()) return fail(ErrorKind::failed, "/sys/devices/system/cpu/online says {}", list);
    return write_masks(sysfs, device, queues, mask_of(online));
}

Status receive_anywhere(const std::string& device, unsigned queues)
{
    HW_TRY(const auto sysfs, open_sysfs());
    return write_masks(sysfs, device, queues, "0");
}

Result<bool> is_received_by_choice(const std::string& device, unsigned queues)
{
    const auto sysfs = open_sysfs();
    if (!sysfs) return false;
    for (unsigned queue = 0; queue < queues; ++queue) {
        const auto mask = read_at(*sysfs, rps_file(device, queue));
        if (mask && !parse_mask(*mask).empty()) return true;
    }
    return false;
}

Result<bool> receives_by_flow(const std::string& device, unsigned queues)
{
    const auto sysfs = open_sysfs();
    if (!sysfs) return true;
    HW_TRY(const auto list, read_at(*sysfs, "devices/system/cpu/online"));
    const auto online = parse_list(list);
    for (unsigned queue = 0; queue < queues; ++queue) {
        HW_TRY(const auto mask, read_at(*sysfs, rps_file(device, queue)));
        const auto cpus = parse_mask(mask);
        if (cpus.empty() || !std::includes(online.begin(), online.end(), cpus.begin(), cpus.end())) return false;
    }
    return true;
}

}  // namespace headwind

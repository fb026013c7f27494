// SPDX-License-Identifier: MIT
// The command `headwind doctor`: looks, changes nothing. Probes that need a device of their own run in a network
// namespace that goes away with the thread that made it.
#include "commands/doctor.h"

#include <net/if.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>

#include <bpf/bpf.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "datapath/attached.h"
#include "datapath/hooks.h"
#include "datapath/instance.h"
#include "datapath/instance_pins.h"
#include "datapath/link.h"
#include "datapath/programs.h"
#include "host/bpffs.h"
#include "host/cgroup.h"
#include "host/devices.h"
#include "host/host.h"
#include "host/netlink.h"
#include "util/file.h"
#include "util/output.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

using netlink::Link;
using Links = std::vector<Link>;

constexpr std::uint32_t backlog_with_line = 100'000;  // packets; a line raises the backlog to this

Check not_tried(const char* name)
{
    return check_note(name, "not tried: privileges are missing");
}

Check probe_kernel()
{
    utsname names{};
    uname(&names);
    return check_kernel(names.release);
}

Check probe_bpf()
{
    bpf_insn code[2] = {};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 0
    code[1].code = BPF_JMP | BPF_EXIT;
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "hw_probe", "GPL", code, 2, nullptr));
    if (!program) return check_failed("bpf", Lacks::everything, fail_errno(errno, "load a BPF program").value());
    const auto open = check_lockdown();
    return open ? check_ok("bpf", "programs can be loaded") : check_failed("bpf", Lacks::everything, open.error());
}

// Reads a sysctl that is shown in the host's first network namespace only. The thread may be in that namespace even
// where process 1 cannot be asked for it.
Result<std::uint32_t> read_host_sysctl(const std::string& path)
{
    const auto here = read_sysctl(path);
    return here ? here : read_initial_sysctl(path);
}

Check probe_jit()
{
    const auto value = read_host_sysctl("net/core/bpf_jit_enable");
    if (!value) return check_note("jit", "not known: net.core.bpf_jit_enable cannot be read from here");
    if (*value != 0) return check_ok("jit", "BPF programs are compiled");
    return check_note("jit", "BPF programs are interpreted: slower", "sysctl -w net.core.bpf_jit_enable=1");
}

Check probe_btf()
{
    if (kernel_has_btf()) return check_ok("btf", "there: the kernel tells the layout of its structures");
    return check_no("btf", Lacks::everything, "this kernel has none", "boot one with CONFIG_DEBUG_INFO_BTF");
}

Check probe_fq()
{
    const auto fq = netlink::kernel_has_fq();
    if (!fq) return check_failed("sch_fq", Lacks::time, fq.error());
    if (*fq) return check_ok("sch_fq", "there: it holds packets until their time");
    return check_no("sch_fq", Lacks::time, "this kernel has none: delay and rate need it, loss and partition do not",
                    "Debian: boot linux-image-amd64; or see it now: tools/demo --guest");
}

Status try_in_new_namespace(Status (*work)())
{
    return std::async(std::launch::async,
                      [work]() -> Status {
                          if (unshare(CLONE_NEWNET) != 0)
                              return fail_errno(errno, "make a network namespace to try it in");
                          return work();
                      })
        .get();
}

Check probe_line()
{
    const auto made = try_in_new_namespace([]() -> Status {
        netlink::VethOptions options;
        options.name0 = line_names[0];
        options.name1 = line_names[1];
        HW_TRY(const auto veth, netlink::create_veth(options));
        HW_CHECK(netlink::create_bridge(std::string(line_names[2]), line_alias, veth.index0));
        return netlink::disable_transmit_offloads(std::string(line_names[2]));
    });
    if (made) return check_ok("line", "a veth pair and a bridge can be made");
    return check_failed("line", Lacks::everything, made.error());
}

Check probe_clsact()
{
    const auto made = try_in_new_namespace([]() -> Status {
        constexpr int lo = 1;  // its index in every namespace
        HW_CHECK(netlink::create_clsact(lo));
        return {};
    });
    if (!made) return check_failed("hooks", Lacks::everything, made.error());
    return check_note("hooks", "clsact: tcx came with Linux 6.6", "nothing to do: both work");
}

Check probe_hooks()
{
    if (kernel_has_tcx()) return check_ok("hooks", "tcx");
    return probe_clsact();
}

Check probe_cgroup()
{
    const auto mount = cgroup2_mount();
    if (mount) return check_ok("cgroup2", "mounted on " + *mount);
    return check_note("cgroup2", mount.error().message, "only --cgroup and `headwind run` need it");
}

Check probe_bpffs()
{
    const auto found = find_bpffs();
    if (!found) return check_failed("bpffs", Lacks::everything, found.error());
    if (*found) return check_ok("bpffs", fmt::format("mounted on {}", **found));
    return check_note("bpffs", fmt::format("not mounted on {}", bpffs_mount), "nothing to do: the first rule does it");
}

Check probe_backlog()
{
    constexpr const char* path = "net/core/netdev_max_backlog";
    constexpr const char* advice =
        "bursts may be lost (they are counted): on the host, sysctl -w net.core.netdev_max_backlog=100000";
    const auto value = read_host_sysctl(path);
    if (!value) return check_note("backlog", "net.core.netdev_max_backlog cannot be read or raised from here", advice);
    const auto detail = fmt::format("net.core.netdev_max_backlog is {}", *value);
    if (*value >= backlog_with_line) return check_ok("backlog", detail);
    if (const auto host = open_host_map(Access::read); host && *host && (**host)->backlog_changed != 0)
        return check_note("backlog", fmt::format("{}: somebody lowered it while there is a line", detail),
                          fmt::format("{}; so does the next change of a rule that needs the line", advice));
    if (read_initial_sysctl(path))
        return check_ok("backlog", fmt::format("{}, {} while there is a line", detail, backlog_with_line));
    return check_note("backlog", detail + "; a line cannot raise it: process 1's network namespace is out of reach",
                      advice);
}

std::string names_of(const Links& links)
{
    std::vector<std::string> names;
    for (const auto& link : links) names.push_back(link.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

Check check_devices(const Links& defaults)
{
    if (!defaults.empty()) return check_ok("devices", fmt::format("rules without --dev go to {}", names_of(defaults)));
    return check_note("devices", "none is up that rules without --dev could go to", "name one with --dev");
}

// Tells of devices that cannot be impaired. Devices that are down are left out: tunnel modules put one of each kind
// into every namespace.
std::optional<Check> check_unsupported(const Links& links)
{
    std::vector<std::string> reasons;
    for (const auto& link : links) {
        auto reason = why_unsupported(link);
        if ((link.flags & IFF_UP) && !reason.empty()) reasons.push_back(std::move(reason));
    }
    if (reasons.empty()) return std::nullopt;
    return check_note("devices", fmt::format("cannot be impaired: {}", fmt::join(reasons, "; ")),
                      "impair the device below, which carries their packets");
}

std::optional<Check> check_names(const Links& links)
{
    for (const auto& link : links)
        if (is_line_name(link.name) && !is_line_device(link))
            return check_no("devices", Lacks::everything,
                            fmt::format("{} is not Headwind's, which needs that name", link.name),
                            "rename or remove it");
    return std::nullopt;
}

std::string name_and_id(const AttachedProgram& program)
{
    return program.name.empty() ? fmt::format("program {}", program.id)
                                : fmt::format("{} (program {})", program.name, program.id);
}

Result<std::vector<HookProgram>> programs_on(const Links& links)
{
    std::vector<HookProgram> out;
    HW_TRY(const auto programs, programs_at(links));
    for (const auto& program : programs) {
        if (program.hook == "xdp") continue;  // see probe_xdp()
        out.push_back({program.device, program.hook, name_and_id(program), program.ours});
    }
    for (const auto& link : links) {
        HW_TRY(const unsigned others, count_foreign_filters(link, programs));
        if (others > 0) out.push_back({link.name, "clsact", fmt::format("{} tc filters", others), false});
    }
    return out;
}

Check probe_programs(const Links& links)
{
    const auto programs = programs_on(links);
    if (!programs) return check_note("programs", programs.error().message);
    return check_hook_programs(*programs);
}

Check probe_xdp(const Links& links)
{
    const auto opened = open_instance();
    const auto ours = [&opened](const Link& link) {
        if (!opened || !*opened) return false;
        for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot)
            if ((*opened)->control->devices[slot].ifindex == static_cast<__u32>(link.index))
                return xdp_mode_at(**opened, slot) != Xdp::off;
        return false;
    };
    std::vector<XdpDevice> devices;
    for (const auto& link : links)
        devices.push_back({link.name, netlink::driver_of(link.name), ours(link) ? 0 : link.xdp_program});
    return check_xdp(devices);
}

Check probe_rules()
{
    const auto all = take_snapshot();
    if (!all) return check_failed("rules", Lacks::everything, all.error());
    return check_instance(*all);
}

void add_devices(std::vector<Check>& out, bool privileged)
{
    const auto links = netlink::list_links();
    if (!links) {
        out.push_back(check_failed("devices", Lacks::everything, links.error()));
        return;
    }
    const auto defaults = default_devices(*links);
    out.push_back(check_devices(defaults));
    for (auto check : {check_unsupported(*links), check_names(*links)})
        if (check) out.push_back(std::move(*check));
    out.push_back(privileged ? probe_programs(defaults) : not_tried("programs"));
    out.push_back(privileged ? probe_xdp(defaults) : not_tried("xdp"));
}

std::vector<Check> examine_host(bool privileged, std::uint64_t capabilities)
{
    std::vector<Check> out{probe_kernel(), check_privileges(capabilities)};
    if (privileged)
        for (auto* probe : {probe_bpf, probe_hooks, probe_line, probe_fq}) out.push_back(probe());
    else
        for (const char* name : {"bpf", "hooks", "line", "sch_fq"}) out.push_back(not_tried(name));
    for (auto* probe : {probe_btf, probe_jit, probe_cgroup, probe_bpffs, probe_backlog}) out.push_back(probe());
    return out;
}

Result<int> doctor(const CommonOptions& options)
{
    const auto capabilities = effective_capabilities(read_file("/proc/self/status")).value_or(0);
    const bool privileged = missing_capabilities(capabilities).empty();
    auto checks = examine_host(privileged, capabilities);
    HW_CHECK(enter(options));  // not earlier: sysctls of the host may not be shown there
    add_devices(checks, privileged);
    checks.push_back(privileged ? probe_rules() : not_tried("rules"));
    if (options.json) {
        print_json(to_json(checks));
    } else {
        for (const auto& check : checks) write_out(format_check(check, isatty(STDOUT_FILENO) != 0) + "\n");
        put("{}\n", conclusion(checks));
    }
    return doctor_exit_code(checks);
}

}  // namespace

void register_doctor(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<CommonOptions>();
    auto* command = app.add_subcommand("doctor", "see what this host can do, and what to do about the rest");
    add_common_options(command, *options, true);
    command->footer(
        "Changes nothing. Exit codes: 0 delays are possible and all rules in force, 4 privileges are\n"
        "missing, 5 more is.\n\n"
        "Examples:\n  headwind doctor\n  headwind doctor --netns blue --json");
    command->callback([options, &cli] { cli.chosen = [options] { return doctor(*options); }; });
}

}  // namespace headwind

// SPDX-License-Identifier: MIT
// Lists the kinds of faults, and undoes what Headwind does not mend.
#include "fault_kinds.h"

#include <dirent.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "datapath/attached.h"

namespace headwind::test {
namespace {

namespace fs = std::filesystem;

std::string& rules_file()
{
    static std::string path;
    return path;
}

// Runs it in the namespace. What cannot be done any more, since another fault came first, is no error.
Output shell(const Namespace& where, const std::string& command)
{
    return run(&where, {"sh", "-c", command});
}

template <class Container>
const auto& any_of(FaultSite& site, const Container& all)
{
    return all[site.dice() % std::size(all)];
}

// A fault that is a command of the shell in `a`. {away}: the name of the other namespace.
FaultKind by_shell(const std::string& command, unsigned traits = 0)
{
    return {command, traits, [command](FaultSite& site) {
                auto text = command;
                if (const auto at = text.find("{away}"); at != std::string::npos) text.replace(at, 6, site.away.name());
                return shell(site.a, text).status == 0;
            }};
}

// In a sysfs of the namespace's own.
FaultKind by_sysfs(const std::string& command)
{
    auto kind = by_shell("unshare -m sh -c 'mount -t sysfs none /mnt && cd /mnt/class/net && " + command + "'");
    kind.name = command;
    return kind;
}

bool take_one_program_off(FaultSite& site)
{
    const Inside inside(site.a);
    const auto programs = own_programs_here();
    if (!programs || programs->empty()) return false;
    const auto& one = any_of(site, *programs);
    site.last += fmt::format(": {} {}", one.device, one.hook);
    return static_cast<bool>(take_off(one));
}

std::string instance_of(const FaultSite& site)
{
    return fmt::format("{}/{}", pins, site.a.inode());
}

// Removes one pin of the instance: one of its links, or any.
bool remove_a_pin(FaultSite& site, bool of_links)
{
    std::vector<std::string> all;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(instance_of(site), error)) {
        const bool is_link = entry.path().parent_path().filename() == "links";
        if (!entry.is_directory(error) && is_link == of_links) all.push_back(entry.path());
    }
    if (all.empty()) return false;
    std::ranges::sort(all);  // the order of a directory is none
    const auto& path = any_of(site, all);
    site.last += ": " + path;
    return unlink(path.c_str()) == 0;
}

// Below the mount that this process alone has (isolate()).
bool remove_pins_at(FaultSite& site, const std::string& path)
{
    site.last += ": " + path;
    std::error_code error;
    return fs::remove_all(path, error) > 0;
}

bool put_a_program_there(FaultSite& site, bool last)
{
    // One that accepts behind ours wipes tc_index, by which the line knows its packets: they are lost there.
    std::vector<std::string> devices{"va", "lo"};
    if (!last) devices.insert(devices.end(), {"headwind0", "headwind1", "headwind2"});
    const auto& device = any_of(site, devices);
    const auto hook = site.dice() % 2 == 0 ? Hook::ingress : Hook::egress;
    site.last += fmt::format(": {} {}", device, hook == Hook::ingress ? "ingress" : "egress");
    if (device_index(site.a, device) == 0) return false;
    site.programs.push_back(last ? ForeignProgram::accepter(site.a, device, hook)
                                 : ForeignProgram::counter(site.a, device, hook, 0, 0, Place::in_front));
    return true;
}

bool make_cgroup_anew(FaultSite& site)
{
    site.cgroup.reset();
    if (site.dice() % 2 == 0) run(nullptr, {"sleep", "0.05"});
    site.cgroup.emplace("faulty");
    return true;
}

bool kill_agent(FaultSite& site, int number)
{
    if (!site.agent) return false;
    site.agent->process().signal(number);
    if (number == SIGKILL) {
        site.agent->process().wait();
        site.agent.reset();
        site.agent.emplace(*site.home);
        return true;
    }
    usleep(static_cast<useconds_t>(site.dice() % 300'000));
    site.agent->process().signal(SIGCONT);
    return true;
}

// Starts a command that changes something, and kills it at some instant: most are short, so the instants spread evenly
// over magnitudes.
bool kill_a_command(FaultSite& site)
{
    const std::vector<std::string> commands{"add --name x --replace --loss 50% --remote-port 6100",
                                            "add --name x --replace --partition --dev va --remote-port 6100",
                                            "change third --loss 30%",
                                            "change twice --duplicate 100%",
                                            "upgrade",
                                            "del x --if-exists",
                                            "batch " + rules_file(),
                                            "run --loss 100% --dev va --remote-port 6101 -- sleep 1000",
                                            "clear"};
    const auto& command = any_of(site, commands);
    const double part = static_cast<double>(site.dice()) / static_cast<double>(std::mt19937::max());
    const double longest_us = slow_machine() ? 3e6 : 2e5;
    const auto us = static_cast<useconds_t>(1000 * std::pow(longest_us / 1000, part));
    Process process(&site.a, words(headwind_binary() + " " + command));
    usleep(us);
    site.last += fmt::format(": {} after {} us{}", command, us, process.running() ? "" : " (it had ended)");
    process.signal(SIGKILL);
    process.wait();
    return true;
}

std::vector<FaultKind> faults_of_the_line()
{
    std::vector<FaultKind> all;
    for (const std::string d : {"headwind0", "headwind1", "headwind2"}) {
        all.push_back(by_shell("ip link del " + d));
        all.push_back(by_shell("ip link set " + d + " down"));
        all.push_back(by_shell("ip link set " + d + " down; ip link set " + d + " up"));
        all.push_back(
            by_shell(fmt::format("ip link set {0} down; ip link set {0} name my{0}; ip link set my{0} up", d)));
        all.push_back(by_shell("ip link set " + d + " netns {away}"));
        for (const char* mtu : {"68", "1500", "9000"})
            all.push_back(by_shell("ip link set " + d + " mtu " + mtu, loses));
        all.push_back(by_shell("ip link set " + d + " address 02:00:00:00:77:01"));
        all.push_back(by_shell("ip link set " + d + " alias mine"));
        all.push_back(
            by_shell(fmt::format("ip link del {0}; ip link add {0} type bridge; ip link set {0} alias others up", d)));
    }
    for (const std::string d : {"headwind0", "headwind2"})
        all.push_back(by_shell("tc qdisc add dev " + d + " root pfifo limit 1", loses));
    for (const char* command :
         {"ip link set headwind0 nomaster", "ip link add brx type bridge; ip link set headwind0 master brx",
          "ip link set headwind2 type bridge vlan_filtering 1", "ip link set headwind2 type bridge ageing_time 0",
          "bridge link set dev headwind0 state 0", "bridge link set dev headwind0 learning off",
          "bridge link set dev headwind0 isolated on", "bridge link set dev headwind0 mcast_flood off bcast_flood off",
          "ip addr add 10.76.0.1/24 dev headwind0", "ip link set headwind2 promisc on", "ethtool -K headwind0 gro on",
          "ethtool -K headwind1 gso off tso off tx off", "ip link set headwind1 gso_max_size 2000 gso_max_segs 2"})
        all.push_back(by_shell(command));
    for (const char* command :
         {"ip link set headwind2 type bridge vlan_filtering 1 vlan_default_pvid 0",
          "ip link set headwind2 type bridge stp_state 1", "bridge link set dev headwind0 flood off",
          "ethtool -K headwind2 gso on tso on tx on sg on"})
        all.push_back(by_shell(command, loses));
    for (const char* command :
         {"echo 0 > headwind0/queues/rx-0/rps_cpus", "for i in headwind0/queues/rx-*; do echo 1 > $i/rps_cpus; done",
          "echo 1 > va/queues/rx-0/rps_cpus", "echo 1 > lo/queues/rx-0/rps_cpus", "echo 0 > lo/queues/rx-0/rps_cpus"})
        all.push_back(by_sysfs(command));
    for (const std::string d : {"headwind1", "lo"})
        for (const std::string qdisc : {"root pfifo", "root fq", "root fq horizon 1s limit 1000"}) {
            all.push_back(by_shell("tc qdisc replace dev " + d + " " + qdisc, needs_fq));
            all.push_back(by_shell("tc qdisc del dev " + d + " root", needs_fq));
        }
    return all;
}

std::vector<FaultKind> faults_of_the_pair()
{
    std::vector<FaultKind> all;
    all.push_back(by_shell("ip link set va down", cuts));
    all.push_back({"va renamed", disturbs, [](FaultSite& site) {
                       const auto renamed =
                           shell(site.a,
                                 "ip link set va down; ip link set va name vx; ip link set vx up; ip neighbour "
                                 "replace 10.77.0.2 lladdr 02:00:00:00:00:02 nud permanent dev vx");
                       if (renamed.status != 0) return false;
                       wait_until_operational(site.a, "vx");
                       wait_until_operational(site.b, "vb");
                       return true;
                   }});
    all.push_back(by_shell("ip link set va netns {away}", cuts));
    all.push_back(by_shell("ip link del va", cuts));
    all.push_back({"va deleted, and made anew with the same index", disturbs, [](FaultSite& site) {
                       const int index = device_index(site.a, "va");
                       shell(site.a, fmt::format("ip link del va; ip link add va index {} address 02:00:00:00:00:01 "
                                                 "type veth peer name vb address 02:00:00:00:00:02 netns {}",
                                                 index, site.b.name()));
                       undo_faults(site);
                       return true;
                   }});
    all.push_back({"va deleted, and made anew", disturbs, [](FaultSite& site) {
                       shell(site.a, "ip link del va");
                       undo_faults(site);
                       return true;
                   }});
    all.push_back({"va moved away and back", disturbs, [](FaultSite& site) {
                       shell(site.a, "ip link set va netns " + site.away.name());
                       undo_faults(site);
                       return true;
                   }});
    // What is sent while one takes the other's place is dropped (dev_deactivate()).
    all.push_back(by_shell("tc qdisc replace dev va root pfifo limit 1000", disturbs));
    // The kernel takes a device out of service for a moment whenever that comes or goes.
    all.push_back(by_shell("tc qdisc add dev va clsact", disturbs));
    all.push_back(by_shell("tc qdisc del dev va clsact", disturbs));
    all.push_back(by_shell("tc qdisc del dev lo clsact"));
    all.push_back(by_shell("tc qdisc del dev headwind0 clsact"));
    all.push_back(by_shell("ip link set va mtu 1400"));
    all.push_back(by_shell("ip link add brx type bridge; ip link set brx up; ip link set va master brx", cuts));
    all.push_back(by_shell("ip link add vrfx type vrf table 10; ip link set vrfx up; ip link set va master vrfx",
                           cuts | in_guests));
    return all;
}

}  // namespace

void set_rules_file(const std::string& path)
{
    rules_file() = path;
}

std::vector<FaultKind> fault_kinds(bool with_agent)
{
    auto all = faults_of_the_line();
    std::ranges::move(faults_of_the_pair(), std::back_inserter(all));
    for (const char* name : {"lo/route_localnet", "lo/accept_local"})
        all.push_back(by_shell(fmt::format("echo 0 > /proc/sys/net/ipv4/conf/{}", name)));
    for (const char* name : {"all/rp_filter", "va/rp_filter", "lo/rp_filter", "headwind0/rp_filter", "all/forwarding"})
        all.push_back(by_shell(fmt::format("echo 1 > /proc/sys/net/ipv4/conf/{}", name)));
    all.push_back(by_shell("echo 1 > /proc/sys/net/ipv6/conf/headwind2/disable_ipv6"));
    all.push_back(by_shell("nft flush ruleset", needs_nft));
    all.push_back(
        by_shell("nft 'table inet faulty { chain out { type filter hook output priority 0; ct state new "
                 "accept; accept; }; }'",
                 needs_nft));
    all.push_back(
        by_shell("nft 'table netdev faulty { chain in { type filter hook ingress device va priority 0; "
                 "accept; }; }'",
                 needs_nft));
    all.push_back(by_shell("sysctl -w net.core.netdev_max_backlog=5000", in_guests));
    const auto often = [&all](unsigned times, const FaultKind& kind) { all.insert(all.end(), times, kind); };
    often(8, {"one of Headwind's programs taken off", 0, take_one_program_off});
    often(4, {"a link's pin removed", 0, [](FaultSite& site) { return remove_a_pin(site, true); }});
    often(3, {"a pin removed", harms_pins, [](FaultSite& site) { return remove_a_pin(site, false); }});
    all.push_back({"the links' pins removed", harms_pins,
                   [](FaultSite& site) { return remove_pins_at(site, instance_of(site) + "/links"); }});
    all.push_back({"the instance's pins removed", harms_pins,
                   [](FaultSite& site) { return remove_pins_at(site, instance_of(site)); }});
    all.push_back({"all pins removed", harms_pins, [](FaultSite& site) { return remove_pins_at(site, pins); }});
    often(4, {"another's program in front", 0, [](FaultSite& site) { return put_a_program_there(site, false); }});
    often(4, {"another's program behind that accepts", 0,
              [](FaultSite& site) { return put_a_program_there(site, true); }});
    often(3, {"the cgroup of a rule made anew", 0, make_cgroup_anew});
    often(6, {"a command killed", ends_rules, kill_a_command});
    all.push_back(by_shell("rm -f /run/headwind/*"));
    often(4, {"the agent killed, and started anew", needs_agent,
              [](FaultSite& site) { return kill_agent(site, SIGKILL); }});
    often(2, {"the agent stopped for a while", needs_agent, [](FaultSite& site) { return kill_agent(site, SIGSTOP); }});

    libbpf_set_print(nullptr);  // it tells of each filter that is not there
    const bool nft = shell(Namespace("probe"), "nft add table inet probe").status == 0;
    std::erase_if(all, [&](const FaultKind& kind) {
        return ((kind.traits & in_guests) && !slow_machine()) || ((kind.traits & needs_fq) && !has_fq()) ||
               ((kind.traits & needs_nft) && !nft) || ((kind.traits & needs_agent) && !with_agent);
    });
    return all;
}

void undo_faults(FaultSite& site)
{
    site.programs.clear();
    shell(site.a,
          "for n in all va lo; do echo 0 > /proc/sys/net/ipv4/conf/$n/rp_filter; done; "
          "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding; "
          "nft flush ruleset; ip link del brx; ip link del vrfx; "
          "for n in 0 1 2; do ip link show headwind$n | grep -q 'alias others' && ip link del headwind$n; done; "
          "for n in 0 1 2; do ip link set myheadwind$n down name headwind$n && ip link set headwind$n up; "
          "ip link set headwind$n alias headwind; done; "
          "ip link set vx down && ip link set vx name va; "
          "ip netns exec " +
              site.away.name() + " ip link set va netns " + site.a.name() +
              "; "
              "tc qdisc del dev va root; tc qdisc show dev lo | grep -q 'pfifo\\|fq 8' && tc qdisc del dev lo root");
    if (kernel_has_tcx()) shell(site.a, "tc qdisc del dev va clsact");
    if (device_index(site.a, "va") == 0)
        ip(site.a, "link add va address 02:00:00:00:00:01 type veth peer name vb address 02:00:00:00:00:02 netns " +
                       site.b.name());
    shell(site.a, "ip link set va nomaster");
    for (const auto& [where, device, own, other, lladdr] :
         {std::tuple{&site.a, "va", Pair::a4, Pair::b4, "02:00:00:00:00:02"},
          {&site.b, "vb", Pair::b4, Pair::a4, "02:00:00:00:00:01"}})
        ip(*where, fmt::format("link set {0} mtu 1500 up\naddr replace {1}/24 dev {0}\n"
                               "neighbour replace {2} lladdr {3} nud permanent dev {0}",
                               device, own, other, lladdr));
    wait_until_operational(site.a, "va");
    wait_until_operational(site.b, "vb");
}

}  // namespace headwind::test

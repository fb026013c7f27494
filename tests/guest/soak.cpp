// SPDX-License-Identifier: MIT
// Draws random rules, and counts the kernel's BPF objects and memory, for the soak.
#include "soak.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "util/fd.h"

namespace headwind::test {

void add(Totals& to, const Totals& more)
{
    for (const auto& [name, count] : more) to[name] += count;
}

std::string format(const Totals& totals)
{
    std::string text;
    for (const auto& [name, count] : totals)
        if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
    return text;
}

namespace {

// A selector of UDP, since the soak counts nothing else.
std::string random_selector(Dice& dice)
{
    const auto port = std::to_string(first_port + dice.below(soak_ports));
    const auto source = std::to_string(first_source + dice.below(soak_ports));
    return " --proto udp --direction " + dice.one_of({"out", "in", "both"}) + " --priority " +
           std::to_string(dice.below(3)) +
           dice.one_of({"", "", " --remote-port " + port, " --local-port " + port, " --port " + port + "," + source,
                        " --flows 50%", " --remote 10.77.0.0/24", " --remote fd77::/64", " --port 7000-7002"});
}

std::string random_timeline(Dice& dice)
{
    return dice.one_of({" --flap up=3s,down=2s", " --flap up=40ms,down=10ms --loss 50%",
                        " --delay 50ms --flap up=1s,down=1s", " --ramp delay=0ms..500ms,over=60s --repeat",
                        " --ramp loss=0%..30%,rate=1mbit..10mbit,over=600s", " --ramp delay=1s..0s,over=20s",
                        " --ramp duplicate=0%..20%,over=5s --repeat"});
}

std::string random_impairment(Dice& dice)
{
    switch (dice.below(10)) {
        case 0: return " --partition";
        case 1: return " --reject icmp";
        case 2: return " --pass";
        case 3:
        case 4: return random_timeline(dice);
        default: return random_values(dice);
    }
}

std::string random_life(Dice& dice)
{
    return dice.one_of(
        {"", "", "", " --for 3s", " --for 1m", " --for 20m", " --lease 1s", " --lease 30s", " --lease 10m"});
}

}  // namespace

// A packet waits for at most 2 s of delay, 2 s of jitter and 1 s of queue; `del` waits for 15 s.
std::string random_values(Dice& dice)
{
    std::string text;
    if (dice.percent(50)) {
        const auto delay = dice.one_of({"1ms", "20ms", "300ms", "2s"});
        text += " --delay " + delay + dice.one_of({"", "", " --jitter " + delay, " --jitter 1ms", " --reorder 20%"});
    }
    if (dice.percent(30)) text += " --loss " + dice.one_of({"0.1%", "5%", "60%", "100%"});
    if (dice.percent(20)) text += " --corrupt " + dice.one_of({"1%", "50%"});
    if (dice.percent(20)) text += " --duplicate " + dice.one_of({"1%", "30%", "100%"});
    if (dice.percent(30))
        text +=
            " --rate " + dice.one_of({"64kbit", "1mbit", "100mbit"}) + dice.one_of({"", " --queue 1s", " --queue 5kb"});
    return text.empty() ? " --loss 10%" : text;
}

std::string random_rule(Dice& dice)
{
    return random_selector(dice) + random_impairment(dice) + random_life(dice) +
           dice.one_of({"", "", "", "", "", "", "", " --max-held 100kb", " --max-held 256MiB"});
}

Totals bpf_objects()
{
    Totals out;
    for (__u32 id = 0; bpf_prog_get_next_id(id, &id) == 0;) ++out["programs"];
    for (__u32 id = 0; bpf_link_get_next_id(id, &id) == 0;) ++out["links"];
    for (__u32 id = 0; bpf_map_get_next_id(id, &id) == 0;) {
        const Fd map(bpf_map_get_fd_by_id(id));
        bpf_map_info info{};
        __u32 size = sizeof(info);
        if (!map || bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) continue;
        ++out["maps"];
        if (info.type != BPF_MAP_TYPE_HASH && info.type != BPF_MAP_TYPE_PERCPU_HASH) continue;
        std::vector<char> key(info.key_size);
        for (void* last = nullptr; bpf_map_get_next_key(map.get(), last, key.data()) == 0; last = key.data())
            ++out[std::string("entries of ") + info.name];
    }
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator("/sys/fs/bpf", error))
        out["pins"] += entry.exists() ? 1U : 0U;
    return out;
}

Totals kernel_memory()
{
    std::this_thread::sleep_for(std::chrono::seconds(10));
    std::ofstream("/proc/sys/vm/drop_caches") << 3 << std::flush;
    std::this_thread::sleep_for(std::chrono::seconds(10));
    Totals out;
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string name;
        std::uint64_t kb = 0;
        words >> name >> kb;
        for (const char* wanted : {"Slab", "Percpu", "VmallocUsed"})
            if (name == std::string(wanted) + ":") out[wanted] = kb;
    }
    return out;
}

}  // namespace headwind::test

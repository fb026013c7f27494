// SPDX-License-Identifier: MIT
// Tests that headwind_explain names the rule that the other programs give a packet.
#include <arpa/inet.h>

#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include <bpf/bpf.h>

#include "headwind.skel.h"
#include "host/cgroup.h"
#include "lane.h"
#include "packets.h"
#include "precedence/explain.h"
#include "prog_run.h"

namespace headwind::prog::explain_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::Layer;
using packets::payload;

Explainer explainer_over(const Datapath& datapath)
{
    const auto& maps = datapath.skeleton().maps;
    const std::map<std::string, bpf_map*> by_name{{"control", maps.data_control}, {"entries", maps.hw_entries},
                                                  {"rules", maps.hw_rules},       {"leases", maps.hw_leases},
                                                  {"stops", maps.hw_stops},       {port_classes_pin, maps.bss}};
    auto out = Explainer::load([&](bpf_map* map, const char* name) -> Status {
        if (bpf_map__reuse_fd(map, bpf_map__fd(by_name.at(name))) != 0) return fail_errno(errno, name);
        return {};
    });
    EXPECT_TRUE(out) << out.error().message;
    return std::move(*out);
}

// A packet, and the question about it.
struct Asked {
    Bytes packet;
    hw_question question{};
};

class RandomTraffic {
public:
    explicit RandomTraffic(std::uint64_t seed) : random_(seed) {}

    std::string rule()
    {
        std::string out = "--partition";
        if (one_in(3)) out += " --dev " + pick({"lo", "eth0", "lo,eth0"});
        if (one_in(2)) out += " --direction " + pick({"out", "in"});
        const auto protocol = one_in(2) ? pick({"tcp", "udp", "tcp,udp", "icmp", "lldp", "arp", "nd,dhcp"}) : "";
        if (!protocol.empty()) out += " --proto " + protocol;
        const bool ports = protocol.empty() || protocol.find("p") != std::string::npos;
        if (ports && one_in(2))
            out += pick({" --port 80", " --port 70-90", " --remote-port 1-1000", " --local-port 80,443",
                         " --remote-port 40-443 --local-port 1024-65535"});
        if (one_in(3))
            out += " --remote " + pick({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::/0", "fd00::/8"});
        if (one_in(4)) out += " --local " + pick({"10.0.0.0/8", "10.1.2.3", "::/0", "fd00::1"});
        if (one_in(4)) out += " --flows 50% --flow-seed " + pick({"1", "2"});
        return out + (one_in(2) ? " --priority " + pick({"1", "2", "-1"}) : "");
    }

    Asked packet(bool out)
    {
        Asked asked;
        auto& question = asked.question;
        question.direction = out ? HW_OUT : HW_IN;
        const auto here = pick({"80", "443", "1000", "40000", "0"}), there = pick({"80", "443", "75", "999", "5000"});
        const auto source = static_cast<std::uint16_t>(std::stoi(out ? here : there)),
                   destination = static_cast<std::uint16_t>(std::stoi(out ? there : here));
        const auto set_ports = [&] {
            question.key.local_port = htons(static_cast<std::uint16_t>(std::stoi(here)));
            question.key.remote_port = htons(static_cast<std::uint16_t>(std::stoi(there)));
        };
        switch (random_() % 8) {
            case 0: return other(asked);
            case 1: return ip(asked, packets::icmp(8), 1, out);
            case 2:
            case 3:
            case 4: set_ports(); return ip(asked, packets::tcp(source, destination), IPPROTO_TCP, out);
            default: set_ports(); return ip(asked, packets::udp(source, destination, payload(20)), IPPROTO_UDP, out);
        }
    }

private:
    // Not IP, or left alone.
    Asked other(Asked asked)
    {
        auto& question = asked.question;
        switch (random_() % 3) {
            case 0:
                question.packet_class = HW_ARP;
                asked.packet = frame(packets::arp());
                return asked;
            case 1:
                question.packet_class = HW_FRAME;
                question.key.local_port = htons(0x88cc);
                asked.packet = frame(packets::lldp());
                return asked;
            default:
                question.packet_class = HW_FRAME;
                question.key.local_port = htons(0x9000);
                asked.packet = frame(packets::raw(0x9000, Bytes(60)));
                return asked;
        }
    }
    Asked ip(Asked asked, const Layer& transport, std::uint8_t protocol, bool out)
    {
        auto& question = asked.question;
        const bool v4 = random_() % 3 != 0;
        const auto local = v4 ? pick({"10.1.2.3", "10.9.9.9", "192.0.2.1"}) : pick({"fd00::1", "2001:db8::1"});
        const auto remote =
            v4 ? pick({"10.1.2.3", "10.1.9.9", "10.200.0.1", "8.8.8.8"}) : pick({"fd00::7", "2001:db8::7"});
        question.ipv4 = v4 ? 1 : 0;
        question.key.protocol = protocol;
        put(local, question.key.local);
        put(remote, question.key.remote);
        const auto &source = out ? local : remote, &destination = out ? remote : local;
        asked.packet = frame(v4 ? packets::ipv4({.source = source, .destination = destination}, transport)
                                : packets::ipv6({.source = source, .destination = destination}, transport));
        return asked;
    }
    static void put(const std::string& text, __u64 (&to)[2])
    {
        const auto cidr = parse_cidr(text);
        std::memcpy(&to, cidr->address.data(), sizeof(to));
    }
    bool one_in(unsigned n) { return random_() % n == 0; }
    std::string pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }
    std::mt19937_64 random_;
};

class Explain : public testing::Test {
protected:
    std::uint32_t winner(const hw_question& question) const
    {
        const auto id = explainer.winner(question);
        EXPECT_TRUE(id) << id.error().message;
        return id.value_or(0);
    }
    // Of a packet at this device.
    void expect_same(Asked asked, unsigned ifindex, std::uint16_t slot, unsigned& taken)
    {
        asked.question.device = slot;
        asked.question.key.device = static_cast<__u16>(slot + 1);
        const auto id = winner(asked.question);
        const bool out = asked.question.direction == HW_OUT;
        const auto direction = out ? HW_OUT : HW_IN;
        const auto before = id != 0 ? datapath.counters(id, direction).packets : 0;
        Arrival arrival;
        arrival.ifindex = ifindex;
        const auto verdict = datapath.run(out ? Hook::egress : Hook::ingress, asked.packet, arrival).verdict;
        ASSERT_EQ(verdict != next, id != 0);
        const auto after = id != 0 ? datapath.counters(id, direction).packets : 1;
        ASSERT_EQ(after, before + 1);
        taken += id != 0 ? 1 : 0;
    }

    Line line;  // two devices
    Datapath datapath;
    Explainer explainer = explainer_over(datapath);
};

TEST_F(Explain, NamesTheRuleThatThePacketGets)
{
    const auto first = static_cast<unsigned>(line.cut), second = static_cast<unsigned>(line.pace);
    const auto eth0 = datapath.add_device("eth0", first, HW_DEVICE_DEFAULT);
    const auto wlan0 = datapath.add_device("wlan0", second, 0);
    const std::pair<unsigned, std::uint16_t> devices[] = {{1, 1}, {first, eth0}, {second, wlan0}};
    RandomTraffic traffic(1);
    const unsigned sets = test::takes_long() ? 100 : 20;  // of 1,000 packets each
    unsigned taken = 0;
    for (unsigned set = 0; set < sets; ++set) {
        std::vector<std::uint32_t> ids;
        for (int rule = 0; rule < 8; ++rule)
            if (const auto id = datapath.try_add(traffic.rule())) ids.push_back(*id);
        for (int n = 0; n < 1000; ++n) {
            const auto asked = traffic.packet(n % 2 == 0);
            const auto [ifindex, slot] = devices[n % 3];
            expect_same(asked, ifindex, slot, taken);
            if (HasFatalFailure()) FAIL() << "set " << set << ", packet " << n;
        }
        for (const auto id : ids) datapath.remove(id);
    }
    EXPECT_GT(taken, sets * 200);
    EXPECT_LT(taken, sets * 800);
}

TEST_F(Explain, HeedsWhatIsOfThisMoment)
{
    hw_question question{};
    question.key.device = 2;
    question.device = 1;
    question.ipv4 = 1;
    const auto wide = datapath.add("--partition");
    EXPECT_EQ(winner(question), wide);
    const auto over = datapath.add("--partition --priority 1", {.deadline = 1});
    EXPECT_EQ(winner(question), wide) << "the other one has expired";
    datapath.remove(over);
    datapath.remove(wide);
    EXPECT_EQ(winner(question), 0U);
}

TEST_F(Explain, KnowsACgroupByItsAncestors)
{
    const Cgroup outer{"/a", 77, 1}, inner{"/a/b", 78, 2};
    const auto rule = datapath.add("--partition --cgroup /a", {.cgroups = {outer}});
    hw_question question{};
    question.key.device = 2;
    question.device = 1;
    question.ipv4 = 1;
    EXPECT_EQ(winner(question), 0U);
    question.cgroups[0] = 1;
    question.cgroups[1] = outer.id;
    EXPECT_EQ(winner(question), rule);
    question.cgroups[2] = inner.id;
    EXPECT_EQ(winner(question), rule);
    question.cgroups[1] = 79;
    EXPECT_EQ(winner(question), 0U);
}

}  // namespace
}  // namespace headwind::prog::explain_test

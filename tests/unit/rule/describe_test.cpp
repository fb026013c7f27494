// SPDX-License-Identifier: MIT
// Tests the descriptions of rules (describe_rule()).
#include "rule_test.h"

namespace headwind::rule_test::describe_test {
namespace {

TEST(Sentence, SaysEverything)
{
    const DescribeContext two{{"eth0", "lo"}, ""};
    const DescribeContext one{{"eth0"}, ""};
    struct Case {
        std::string line, expected;
        DescribeContext context;
    };
    const std::vector<Case> cases{
        {"--cgroup /system.slice/x.service --remote-port 5432 --delay 50ms --loss 1%",
         "packets sent by cgroup /system.slice/x.service to port 5432 through eth0, eth1, not lo: delay 50 ms, loss 1%, until 14:05",
         {{"eth0", "eth1"}, "14:05"}},
        {"--remote 10.0.0.0/8 --partition --direction out", "packets sent to 10.0.0.0/8 through eth0: partition", one},
        {"--proto tcp --remote-port 80 --loss 1% --direction in",
         "TCP packets received from port 80 through eth0: loss 1%", one},
        {"--delay 1m30s", "all frames but ARP, neighbour discovery and DHCP sent through eth0, lo: delay 1 m 30 s",
         two},
        {"--delay 1.5ms",
         "all frames but ARP, neighbour discovery and DHCP sent through every lowest device that is up: delay 1.5 ms",
         {}},
        {"--delay 1.5ms --dev wlan0,lo",
         "all frames but ARP, neighbour discovery and DHCP sent through wlan0, lo: delay 1.5 ms",
         {}},
        {"--delay 1ms --dev wlan0", "all frames but ARP, neighbour discovery and DHCP sent through eth0: delay 1 ms",
         one},
        {"--partition", "all frames but ARP, neighbour discovery and DHCP sent and received through eth0: partition",
         one},
        {"--partition --direction in",
         "all frames but ARP, neighbour discovery and DHCP received through eth0: partition", one},
        {"--pass --local-port 22", "packets sent and received with local port 22 through eth0: pass", one},
        {"--pass --local-port 22 --remote 10.0.0.0/8 --remote-port 80",
         "packets sent and received with remote port 80 of 10.0.0.0/8 and local port 22 through eth0: pass", one},
        {"--partition --remote 10.0.0.0/8",
         "packets sent and received with remote address 10.0.0.0/8 through eth0: partition", one},
        {"--partition --port 80", "packets sent and received to or from port 80 through eth0: partition", one},
        {"--delay 1ms --port 80", "packets sent to or from port 80 through eth0: delay 1 ms", one},
        {"--delay 1ms --port 80,90 --remote ::1",
         "packets sent to ::1, with ports 80 or 90 at either end, through eth0: delay 1 ms", one},
        {"--delay 1ms --local-port 22", "packets sent from local port 22 through eth0: delay 1 ms", one},
        {"--loss 1% --local-port 22 --direction in", "packets received at local port 22 through eth0: loss 1%", one},
        {"--delay 1ms --local 192.0.2.1", "packets sent from local address 192.0.2.1 through eth0: delay 1 ms", one},
        {"--delay 1ms --local 192.0.2.1,192.0.2.2 --local-port 1-2",
         "packets sent from local ports 1-2 of 192.0.2.1 or 192.0.2.2 through eth0: delay 1 ms", one},
        {"--delay 1ms --local 192.0.2.1,192.0.2.2",
         "packets sent from local addresses 192.0.2.1 or 192.0.2.2 through eth0: delay 1 ms", one},
        {"--delay 1ms --remote-port 22,80,8000-8080",
         "packets sent to ports 22, 80 or 8000-8080 through eth0: delay 1 ms", one},
        {"--delay 1ms --cgroup a,b,c", "packets sent by cgroups a, b or c through eth0, not lo: delay 1 ms", one},
        {"--delay 1ms --cgroup a",
         "packets sent by cgroup a through every lowest device that is up, not lo: delay 1 ms",
         {}},
        {"--delay 1ms --cgroup a --remote 127.0.0.1",
         "packets sent by cgroup a to 127.0.0.1 through eth0, lo: delay 1 ms", two},
        {"--delay 1ms --cgroup a --loopback", "packets sent by cgroup a through eth0, lo: delay 1 ms", two},
        {"--delay 1ms --cgroup a --dev eth0", "packets sent by cgroup a through eth0: delay 1 ms", one},
        {"--delay 1ms --proto udp,icmpv6,147", "UDP, ICMPv6 or IP protocol 147 packets sent through eth0: delay 1 ms",
         one},
        {"--delay 1ms --proto arp,nd,dhcp", "ARP, neighbour discovery or DHCP packets sent through eth0: delay 1 ms",
         one},
        {"--loss 1% --proto lldp,mpls,pppoe,llc,0x9000",
         "LLDP, MPLS, PPPoE, 802.3 LLC or EtherType 0x9000 frames sent through eth0: loss 1%", one},
        {"--loss 1% --proto tcp,ptp", "TCP or PTP packets sent through eth0: loss 1%", one},
        {"--flap up=1m30s,down=5s",
         "all frames but ARP, neighbour discovery and DHCP sent and received through eth0: partition, for 5 s after every 1 m 30 s without",
         one},
        {"--loss 1% --flap down=1s,up=2s",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, for 1 s after every 2 s without",
         one},
        {"--loss 1% --between 09:00-17:00 --days mon-fri",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, between 09:00 and 17:00 (Europe/Berlin), Monday to Friday",
         {{"eth0"}, "", 0, "Europe/Berlin"}},
        {"--loss 1% --between 22:00-24:00",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, between 22:00 and 24:00 (local time)",
         one},
        {"--loss 1% --between 22:00-06:00 --days mon,wed-fri",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, between 22:00 and 06:00 (local time), beginning on Monday and Wednesday to Friday",
         one},
        {"--loss 1% --days sat-sun,tue",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, Tuesday, Saturday and Sunday (local time)",
         one},
        {"--loss 1% --flows 5%", "packets of 5% of the flows sent through eth0: loss 1%", one},
        {"--loss 1% --flows 5% --flow-seed 7 --proto tcp --remote-port 80",
         "TCP packets of 5% of the flows (seed 7) sent to port 80 through eth0: loss 1%", one},
        {"--delay 1ms --priority 10",
         "all frames but ARP, neighbour discovery and DHCP sent through eth0: delay 1 ms, priority 10, until 14:05",
         {{"eth0"}, "14:05"}},
    };
    for (const Case& c : cases) EXPECT_EQ(describe_rule(valid(c.line), c.context), c.expected) << c.line;
}

TEST(Sentence, Describes)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"--partition", "partition"},
        {"--pass", "pass"},
        {"--rate 1mbit", "rate 1 mbit"},
        {"--rate 1mbit --queue 100ms", "rate 1 mbit (queue 100 ms)"},
        {"--rate 9.6kbit --queue 64KiB", "rate 9.6 kbit (queue 64 KiB)"},
        {"--delay 50ms --loss 0.1% --rate 1gbit --queue 1.5kb", "delay 50 ms, loss 0.1%, rate 1 gbit (queue 1.5 kb)"},
        {"--delay 50ms --loss 0%", "delay 50 ms, loss 0%"},
        {"--jitter 0ms --distribution normal", "delay 0 s"},
        {"--loss 100%", "loss 100%"},
        {"--delay 100ms --jitter 20ms", "delay 100 ms ± 20 ms"},
        {"--delay 100ms --jitter 0 --distribution normal", "delay 100 ms"},
        {"--delay 100ms --jitter 20ms --distribution normal --loss 1% --duplicate 1% --corrupt 0.1% --reorder 25% --reorder-gap 5 --rate 1mbit --reject rst",
         "delay 100 ms ± 20 ms (normal), loss 1%, duplicate 1%, corrupt 0.1%, reorder 25% (gap 5), rate 1 mbit, reject with RST"},
        {"--delay 100ms --reorder 25%", "delay 100 ms, reorder 25%"},
        {"--corrupt 0.1%", "corrupt 0.1%"},
        {"--loss 1% --reject icmp", "loss 1%, reject with ICMP"},
        {"--loss 1% --loss-correlation 25%", "loss 1% (correlation 25%)"},
        {"--loss 1% --loss-burst 2.5", "loss 1% in bursts of 2.5 packets"},
        {"--loss-model 'gemodel 1% 10%'", "loss by gemodel 1% 10% 100% 0% (9.09%, in bursts of 10 packets)"},
        {"--loss-model 'gemodel 1% 0%'", "loss by gemodel 1% 0% 100% 0% (100%)"},
        {"--loss-model 'state 1% 30%'", "loss by state 1% 30% 0% 100% 0% (3.23%, in bursts of 3.33 packets)"},
        {"--loss-nth 7", "loss of 1 in 7 packets, evenly"},
        {"--delay 9ms --corrupt 1% --corrupt-correlation 2% --duplicate 3% --duplicate-correlation 4% --reorder 5% --reorder-correlation 6%",
         "delay 9 ms, duplicate 3% (correlation 4%), corrupt 1% (correlation 2%), reorder 5% (correlation 6%)"},
        {"--partition --reject icmp", "partition, reject with ICMP"},
        {"--reject rst", "partition, reject with RST"},
    };
    for (const auto& [line, expected] : cases) EXPECT_EQ(describe(valid(line).impairment), expected);
}

}  // namespace
}  // namespace headwind::rule_test::describe_test

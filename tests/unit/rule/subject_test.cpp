// SPDX-License-Identifier: MIT
// Rules for containers, pods and processes: where they sit, which packets they select, how they are described.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "container/placement.h"
#include "host/veth_peer.h"
#include "rule_test.h"

namespace headwind::subject_test {
namespace {

using rule_test::message;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string web_id = "3f2a1b4c5d6e" + std::string(52, '0');

Subject web(bool at_host = false)
{
    return {"web", web_id, "default/shop", 0, at_host};
}

RuleSpec text_for(const Subject& subject)
{
    RuleSpec text;
    text.name = "r";
    text.loss = "1%";
    text.subject = subject;
    text.cgroups = {"/kubepods/x"};
    return text;
}

Rule rule_for(const RuleSpec& text)
{
    auto rule = make_rule(text);
    EXPECT_TRUE(rule) << rule.error().message;
    return rule.value_or(Rule{});
}

// ---- descriptions ----

TEST(SubjectDescription, SaysTheContainerAndThePod)
{
    EXPECT_EQ(describe_rule(rule_for(text_for(web())), {{"eth0"}, ""}),
              "packets sent by container web (3f2a1b4c5d6e) of pod default/shop through eth0, not lo: loss 1%");
    auto text = text_for(web(true));
    text.remote_ports = {"5432"};
    text.devices = {"veth7"};
    EXPECT_EQ(
        describe_rule(rule_for(text)),
        "packets sent by container web (3f2a1b4c5d6e) of pod default/shop to port 5432 through veth7 (host side): loss 1%");
    EXPECT_EQ(describe(Subject{"", web_id, "", 0, false}), "container 3f2a1b4c5d6e");
    EXPECT_EQ(describe(Subject{"db", "my-box", "", 0, false}), "container db (my-box)");
}

TEST(SubjectDescription, SaysAWholePodAndAProcess)
{
    auto text = text_for({"", "", "default/shop", 0, false});
    text.cgroups.clear();
    text.direction = "in";
    EXPECT_EQ(
        describe_rule(rule_for(text), {{"eth0"}, ""}),
        "all frames but ARP, neighbour discovery and DHCP received by pod default/shop through eth0, not lo: loss 1%");
    EXPECT_EQ(describe_rule(rule_for(text_for({"", "", "", 4711, false})), {{"eth0"}, ""}),
              "packets sent by process 4711 and all of its cgroup /kubepods/x through eth0, not lo: loss 1%");
}

TEST(SubjectJson, ComesBackAsItWas)
{
    for (const Subject& subject : {web(), web(true), Subject{"", "", "a/b", 0, false}, Subject{"", "", "", 7, false},
                                   Subject{"", "my-box", "", 0, false}}) {
        const auto rule = rule_for(text_for(subject));
        EXPECT_EQ(rule.subject, subject);
        const auto again = rule_from_json(to_json(rule));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, rule);
    }
}

TEST(SubjectJson, DamageIsRefused)
{
    const auto good = to_json(rule_for(text_for(web())));
    for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
             {"at", "moon"}, {"at", 1}, {"process", -1}, {"process", "x"}, {"pod", 7}, {"more", "x"}}) {
        auto bad = good;
        bad["subject"][key] = value;
        EXPECT_FALSE(rule_from_json(bad)) << key << " " << value;
    }
    auto bad = good;
    bad["subject"].erase("at");
    EXPECT_THAT(message(rule_from_json(bad)), HasSubstr("subject.at"));
    bad["subject"] = "web";
    EXPECT_FALSE(rule_from_json(bad));
}

TEST(SubjectChange, KeepsTheSubject)
{
    const auto before = rule_for(text_for(web()));
    RuleSpec given;
    given.loss = "5%";
    given.remote_ports = {"80"};
    const auto after = change_rule(before, given);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(after->subject, before.subject);
    EXPECT_EQ(after->selector.cgroups, before.selector.cgroups);
    RuleSpec wider;
    wider.cgroups = {"any"};
    EXPECT_THAT(message(change_rule(before, wider)), HasSubstr("--cgroup: the rule was made for container web"));
    RuleSpec elsewhere;
    elsewhere.devices = {"eth1"};
    EXPECT_TRUE(change_rule(before, elsewhere)) << "devices of the pod's own";
    auto text = text_for(web(true));
    text.devices = {"veth7"};
    EXPECT_THAT(message(change_rule(rule_for(text), elsewhere)), HasSubstr("--dev: the rule was made for"));
}

// ---- the side where a rule sits ----

std::string side_of(const std::string& at, const Surroundings& found)
{
    const auto choice = choose_side(at, found);
    return !choice ? choice.error().message : choice->side == Side::host ? "host" : "pod";
}

TEST(ChooseSide, ByDefaultWhereNothingBypassesIt)
{
    EXPECT_EQ(side_of("", {true, {"veth7"}}), "pod");
    EXPECT_EQ(side_of("", {true, {}}), "pod");
    EXPECT_EQ(side_of("", {false, {}}), "pod");
    EXPECT_THAT(choose_side("", {true, {"veth7"}})->reason, HasSubstr("its host side is veth7: --at host"));
}

TEST(ChooseSide, AsAskedWhereItCanBe)
{
    EXPECT_EQ(side_of("host", {true, {"veth7"}}), "host");
    EXPECT_EQ(side_of("pod", {true, {"veth7"}}), "pod");
    EXPECT_THAT(side_of("host", {true, {}}), HasSubstr("--at host: none of its devices is a veth"));
    EXPECT_THAT(side_of("host", {false, {}}), HasSubstr("no network namespace but this one"));
    EXPECT_THAT(side_of("node", {true, {}}), HasSubstr("--at node: write pod or host"));
}

TEST(SelectSubject, IsTheSelector)
{
    Place place;
    place.subject = web(true);
    place.cgroup = "/kubepods/x";
    place.devices = {"veth7"};
    RuleSpec text;
    ASSERT_TRUE(select_subject(place, text));
    EXPECT_THAT(text.cgroups, ElementsAre("/kubepods/x"));
    EXPECT_THAT(text.devices, ElementsAre("veth7"));
    EXPECT_EQ(text.subject, place.subject);
    EXPECT_FALSE(select_subject(place, text)) << "a cgroup of its own";
    RuleSpec device;
    device.devices = {"eth0"};
    EXPECT_FALSE(select_subject(place, device));
    place.subject.at_host = false;
    place.devices.clear();
    place.cgroup.clear();
    ASSERT_TRUE(select_subject(place, device));
    EXPECT_THAT(device.devices, ElementsAre("eth0"));
    EXPECT_THAT(device.cgroups, IsEmpty());
}

// ---- the other ends of veth pairs ----

netlink::Link veth(int index, int peer, int peer_netns)
{
    netlink::Link link;
    link.index = index;
    link.name = "veth" + std::to_string(index);
    link.kind = "veth";
    link.peer = peer;
    link.peer_netns = peer_netns;
    return link;
}

std::vector<std::string> ends(const std::vector<netlink::Link>& here, int id_of_there,
                              const std::vector<netlink::Link>& there, int id_of_here)
{
    std::vector<std::string> names;
    for (const auto& link : other_ends(here, id_of_there, there, id_of_here)) names.push_back(link.name);
    return names;
}

TEST(OtherEnds, AreToldApartWhereIndicesCollide)
{
    // Each pod's eth0 has index 2, and the host's own devices have the numbers of the pods' peers.
    const std::vector<netlink::Link> here{veth(2, 3, -1), veth(3, 2, -1), veth(7, 2, 1), veth(8, 2, 2), veth(9, 5, 1)};
    EXPECT_THAT(ends(here, 1, {veth(2, 7, 0)}, 0), ElementsAre("veth7"));
    EXPECT_THAT(ends(here, 2, {veth(2, 8, 0)}, 0), ElementsAre("veth8"));
    EXPECT_THAT(ends(here, 1, {veth(2, 7, 0), veth(5, 9, 0)}, 0), ElementsAre("veth7", "veth9"));
}

TEST(OtherEnds, AreNoneUnlessBothEndsSaySo)
{
    const std::vector<netlink::Link> here{veth(7, 2, 1)};
    EXPECT_THAT(ends(here, 1, {veth(2, 8, 0)}, 0), IsEmpty()) << "another peer";
    EXPECT_THAT(ends(here, 1, {veth(2, 7, 3)}, 0), IsEmpty()) << "a peer in a third namespace";
    EXPECT_THAT(ends(here, 2, {veth(2, 7, 0)}, 0), IsEmpty()) << "a pod of another id";
    EXPECT_THAT(ends(here, -1, {veth(2, 7, 0)}, 0), IsEmpty());
    EXPECT_THAT(ends({veth(7, 2, -1)}, -1, {veth(2, 7, -1)}, -1), IsEmpty());
    auto macvlan = veth(2, 7, 0);
    macvlan.kind = "macvlan";
    EXPECT_THAT(ends(here, 1, {macvlan}, 0), IsEmpty());
}

}  // namespace
}  // namespace headwind::subject_test

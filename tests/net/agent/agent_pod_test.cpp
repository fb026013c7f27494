// SPDX-License-Identifier: MIT
// The agent and real containers: rules go with their container, and nobody has to run a command for it.
#include "agent_test.h"
#include "pod_test.h"

namespace headwind::test::agent_pod_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class AgentPods : public Pods {
protected:
    static bool nothing_left()
    {
        return eventually([] { return instances().empty(); });
    }
};

TEST_F(AgentPods, AContainersRuleGoesWithIt)
{
    const auto before = footprint(shop().netns());
    RunningAgent agent(host());
    for (unsigned round = 0; round < rounds(); ++round) {
        change(host(), "add --for ever --name cut --container web --partition");
        change(host(), "add --for ever --name far --container web --at host --direction out --partition");
        change(host(), "add --for ever --name other --container db --loss 1% --remote-port 9");
        const auto start = wall_ms();
        shop().stop("web");
        agent.heard("removed", "cut", start);
        agent.heard("removed", "far", start);
        shop().start("web");
        expect_spared("web", 2);
        EXPECT_THAT(headwind(host(), "list --pod default/shop").out, AllOf(Not(HasSubstr("cut")), HasSubstr("other")));
        change(host(), "clear --pod default/shop");
        EXPECT_TRUE(nothing_left());
        expect_footprint(shop().netns(), before);
    }
    for (const auto& event : agent.all("removed"))
        EXPECT_EQ(event.value("place", ""), event["rule"] == "far" ? "" : "pod default/shop") << event;
    report("container stopped (the time runc takes is included)", rounds(), agent);
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

TEST_F(AgentPods, ASandboxThatIsMadeAnewStartsWithoutRules)
{
    RunningAgent agent(host());
    for (unsigned round = 0; round < rounds(); ++round) {
        change(host(), "add --for ever --name inside --pod default/shop --partition");
        change(host(), "add --for ever --name outside --pod default/shop --at host --partition");
        EXPECT_EQ(instances().size(), 2U);
        shop_itself().reset();
        agent.heard("removed", "outside");
        EXPECT_TRUE(nothing_left());
        shop_itself() = std::make_unique<Pod>(node(), "shop");
        shop().start("web");
        expect_spared("web", 2);
    }
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

// A CNI may give a running pod another device, as this test does.
TEST_F(AgentPods, ADeviceMadeAnewInAPodIsTaken)
{
    change(host(), "add --for ever --name cut --container web --partition");
    expect_cut("web", 2);
    RunningAgent agent(host());
    for (unsigned round = 0; round < rounds(); ++round) {
        ip(shop().netns(), "link del eth0");
        ip(shop().netns(),
           "link add eth0 type veth peer name new netns node\n"
           "addr add " +
               shop().address4() + "/16 dev eth0\nlink set eth0 up");
        ip(host(), "link set new master cni0 up");
        agent.heard("attached");
        EXPECT_EQ(shop().ask("web", Node::address4, 6000, 5, true), 0U);
        EXPECT_EQ(shop().ask("db", Node::address4, 6000, 5), 5U);
    }
}

TEST_F(AgentPods, AHostSideMadeAnewIsTaken)
{
    change(host(), "add --for ever --name far --container web --at host --direction out --partition");
    expect_cut("web", 2);
    RunningAgent agent(host());
    for (unsigned round = 0; round < rounds(); ++round) {
        ip(shop().netns(), "link del eth0");
        agent.heard("device-gone", "far");
        EXPECT_EQ(rule_of(host(), "far")["state"], "no device");
        ip(shop().netns(),
           "link add eth0 type veth peer name new netns node\n"
           "addr add " +
               shop().address4() + "/16 dev eth0\nlink set eth0 up");
        ip(host(), "link set new master cni0 up");
        agent.heard("device-back", "far");
        EXPECT_EQ(rule_of(host(), "far")["attached_to"], nlohmann::json::array({"new"}));
        EXPECT_EQ(shop().ask("web", Node::address4, 6000, 5, true), 0U);
        EXPECT_EQ(shop().ask("db", Node::address4, 6000, 5), 5U);
    }
    shop().stop("web");
    agent.heard("removed", "far");
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

}  // namespace
}  // namespace headwind::test::agent_pod_test

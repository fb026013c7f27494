// SPDX-License-Identifier: MIT
// Rules for real containers: only the named one of the two in a pod feels them, and they go when it goes.
#include "pod_test.h"

namespace headwind::test::pod_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// ---- one of two containers ----

TEST_F(Pods, PartitionOfOneContainerIsItsOwn)
{
    const std::size_t many = takes_long() ? 2'500 : scaled(500, 100);  // requests in each of four series
    expect_spared("web");
    const auto added = change(host(), "add --for ever --name cut --pod default/shop/web --partition");
    EXPECT_THAT(added.out,
                AllOf(HasSubstr("by container web (" + shop().id("web").substr(0, 12) + ") of pod default/shop"),
                      HasSubstr("it sits in its own network namespace")));
    expect_cut("web", many);
    expect_spared("db", many);
    EXPECT_EQ(shop().ask("web", "127.0.0.1", shop().port_of("db"), 20), 20U) << "on lo, to its neighbour";
    EXPECT_EQ(shop().ask("db", "127.0.0.1", shop().port_of("db"), 20), 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20), 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20, true), 0U) << "neither does it hear";
    EXPECT_EQ(back().ask("api", shop().address6(), shop().port_of("web"), 20, true), 0U);
    EXPECT_EQ(counters_of(shop().netns(), "cut", "in").partition, 40U);
    EXPECT_THAT(headwind(host(), "list --pod default/shop").out, HasSubstr("cut"));
    change(host(), "add --for ever --name neighbours --pod default/shop/web --remote 127.0.0.1 --partition");
    EXPECT_EQ(shop().ask("web", "127.0.0.1", shop().port_of("db"), 20, true), 0U);
    change(host(), "del cut neighbours --pod default/shop");
    expect_spared("web");
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, AtTheHostSideToo)
{
    const std::size_t many = takes_long() ? 2'500 : scaled(500, 100);
    expect_spared("web");  // and fills the neighbour tables: packets that wait there are not counted
    const auto added = change(host(), "add --for ever --name cut --pod default/shop/web --at host --partition");
    EXPECT_THAT(added.out, AllOf(HasSubstr("(host side): partition"), HasSubstr("it sits at the host side, veth")));
    expect_cut("web", many);
    expect_spared("db", many);
    EXPECT_EQ(shop().ask("web", "127.0.0.1", shop().port_of("db"), 20), 20U) << "does not pass the host side";
    const auto counters = counters_of(host(), "cut", "out");
    EXPECT_EQ(counters.partition, 4 * many);
    EXPECT_EQ(counters.packets, 4 * many);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20, true), 0U);
    EXPECT_EQ(back().ask("api", shop().address6(), shop().port_of("web"), 20, true), 0U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20), 20U);
    EXPECT_EQ(back().ask("api", shop().address6(), shop().port_of("db"), 20), 20U);
    EXPECT_EQ(counters_of(host(), "cut", "in").partition, 40U);
    change(host(), "del cut");
    expect_spared("web");
    EXPECT_THAT(instances(), IsEmpty());
}

// Direction out is what the pod sends: its server's port is the local one, and the server's answers are lost.
TEST_F(Pods, AtTheHostSideTheEndsAreThePods)
{
    change(host(), "add --for ever --name mute --pod default/shop --at host --direction out --partition --local-port " +
                       std::to_string(shop().port_of("db")));
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20, true), 0U);
    EXPECT_EQ(counters_of(host(), "mute", "out").partition, 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20), 20U);
    change(
        host(),
        "add --for ever --name mute --replace --pod default/shop --at host --direction in --partition --local-port " +
            std::to_string(shop().port_of("db")));
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20, true), 0U);
    EXPECT_EQ(counters_of(host(), "mute", "in").partition, 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20), 20U);
    expect_spared("db");
}

TEST_F(Pods, AContainerHasManyNames)
{
    for (const auto& name : {"--container " + shop().id("web"), "--container " + shop().id("web").substr(0, 12),
                             std::string("--container web"), "--pid " + std::to_string(shop().pid_of("web"))}) {
        const auto asked = headwind(host(), "add --name cut --partition " + name);
        EXPECT_EQ(asked.status, 2) << "it has no end, and there is no terminal";
        EXPECT_THAT(asked.err,
                    HasSubstr(", with no end: give it an end (--for 1h), or say that it has none (--for ever)"));
        change(host(), "add --for ever --name cut --partition " + name);
        expect_cut("web");
        expect_spared("db");
        change(host(), "clear " + name);
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, AWholePodIsAllOfItsContainersAndNoOther)
{
    for (const std::string at : {"pod", "host"}) {
        change(host(), "add --for ever --name cut --pod default/shop --partition --at " + at);
        expect_cut("web");
        expect_cut("db");
        EXPECT_EQ(back().ask("api", Node::address4, 6000, 20), 20U);
        change(host(), at == "pod" ? "clear --pod default/shop" : "clear");
        expect_spared("web");
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, ABatchOfRulesAtTheHostSide)
{
    const auto batch = [this](const std::string& lines) {
        return run(&host(), {"bash", "-c", "printf '" + lines + "' | " + headwind_binary() + " batch -"});
    };
    expect_ok(
        batch("add --for ever --name a --container web --at host --direction out --partition\\n"
              "add --for ever --name b --container api --at host --direction out --remote-port 6000 --loss 100%%\\n"));
    expect_cut("web");
    expect_spared("db");
    EXPECT_EQ(back().ask("api", Node::address4, 6000, 20, true), 0U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20), 20U);
    const auto refused = batch("del a\\nadd --name c --container db --loss 1%%\\n");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("a file changes one namespace only"), HasSubstr("--at host")));
    EXPECT_EQ(parse_json(headwind(host(), "list --json"))["rules"].size(), 2U);
}

// ---- refusals ----

TEST_F(Pods, ErrorsNameTheFlagAndWhatThereIs)
{
    const auto refused = [this](const std::string& words, int status, const std::string& text) {
        const auto output = headwind(host(), "add --name cut --partition " + words);
        EXPECT_EQ(output.status, status) << words;
        EXPECT_THAT(output.err, HasSubstr(text)) << words;
    };
    refused("--container wbe", 3, "--container wbe: no such container on this host");
    refused("--pod default/shop/wbe", 3, "the pod has no such container; there are: db (");
    refused("--pod other/shop", 3, "there are: default/back, default/shop");
    refused("--pid 999999999", 3, "--pid 999999999: no such process");
    refused("--container web --cgroup /x", 2, "--cgroup /x: the container or process is its own cgroup");
    refused("--container web --at host --dev cni0", 2, "--dev cni0: --at host means the pod's host side");
    refused("--at host", 2, "--at host: it places a rule for --container, --pod or --pid");
    refused("--container web --pod default/shop", 2, "--container excludes --pod");
    refused("--container web --netns nowhere", 3, "--netns nowhere");
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, AChangeKeepsTheSubjectButNoOtherCgroup)
{
    change(host(), "add --for ever --name cut --container web --partition");
    change(host(), "change cut --loss 100% --container web");
    expect_cut("web");
    expect_spared("db");
    const auto refused = headwind(host(), "change cut --cgroup any --pod default/shop");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("--cgroup: the rule was made for container web"));
}

// ---- containers that go away ----

TEST_F(Pods, ARuleGoesWithItsContainer)
{
    const auto before = footprint(host());
    for (unsigned round = 0; round < (takes_long() ? 10 : scaled(3, 2)); ++round) {
        change(host(), "add --for ever --name cut --container web --at host --direction out --partition");
        change(host(),
               "add --for ever --name stay --container db --at host --direction out --remote-port 9 --partition");
        shop().stop("web");
        EXPECT_THAT(headwind(host(), "list").out, HasSubstr("cut   gone"));
        shop().start("web");
        expect_spared("web", 5);
        change(host(), "add --for ever --name more --container web --at host --loss 1% --remote-port 9");
        EXPECT_THAT(headwind(host(), "list").out, AllOf(Not(HasSubstr("cut")), HasSubstr("stay"), HasSubstr("more")));
        change(host(), "clear");
        expect_footprint(host(), before);
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, InThePodsNamespaceAsWell)
{
    const auto before = footprint(shop().netns());
    for (unsigned round = 0; round < (takes_long() ? 5 : scaled(2, 1)); ++round) {
        change(host(), "add --for ever --name cut --container web --partition");
        shop().stop("web");
        shop().start("web");
        expect_spared("web", 5);
        change(host(), "add --for ever --name other --container db --loss 1% --remote-port 9");
        EXPECT_THAT(headwind(host(), "list --pod default/shop").out, AllOf(Not(HasSubstr("cut")), HasSubstr("other")));
        change(host(), "clear --pod default/shop");
        expect_footprint(shop().netns(), before);
    }
}

TEST_F(Pods, NothingIsLeftOfAPodThatIsMadeAnew)
{
    for (unsigned round = 0; round < (takes_long() ? 5 : scaled(2, 1)); ++round) {
        change(host(), "add --for ever --name inside --pod default/shop --partition");
        change(host(), "add --for ever --name outside --pod default/shop --at host --partition");
        EXPECT_EQ(instances().size(), 2U);
        EXPECT_THAT(headwind(host(), "list --all").out,
                    AllOf(HasSubstr("in network namespace node (/run/netns/node):\n"),
                          HasSubstr("in pod default/shop (/run/netns/pod-shop):\n"), HasSubstr("inside"),
                          HasSubstr("outside")));
        shop_itself().reset();
        EXPECT_THAT(headwind(host(), "list").out, HasSubstr("outside  gone"));
        shop_itself() = std::make_unique<Pod>(node(), "shop");
        shop().start("web");
        shop().start("db");
        expect_spared("web", 5);
        change(host(), "clear");
        EXPECT_THAT(instances(), IsEmpty());
    }
}

}  // namespace
}  // namespace headwind::test::pod_test

// Rules for real containers: of two in one pod only the named one feels them, and they go when it goes.
#include "net_test.h"

#include <filesystem>
#include <memory>

#include "pod.h"

namespace headwind::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Pods : public NetTest {
protected:
    void SetUp() override
    {
        NetTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (const auto missing = Node::missing(); !missing.empty()) GTEST_SKIP() << missing;
        node_ = std::make_unique<Node>();
        shop_ = std::make_unique<Pod>(*node_, "shop");
        shop_->start("web");
        shop_->start("db");
        back_ = std::make_unique<Pod>(*node_, "back");
        back_->start("api");
        server_ = std::make_unique<Process>(
            &host(),
            words(
                "python3 " +
                (std::filesystem::path(__FILE__).parent_path().parent_path() / "support/container_probe.py").string() +
                " serve 6000"));
        ASSERT_TRUE(eventually(std::chrono::seconds(30), [&] { return server_->out() == "ready\n"; }))
            << server_->err();
    }

    void TearDown() override
    {
        server_.reset();
        back_.reset();
        shop_.reset();
        node_.reset();
    }

    const Namespace& host() const { return node_->host(); }
    Pod& shop() { return *shop_; }
    Pod& back() { return *back_; }
    std::unique_ptr<Pod>& shop_itself() { return shop_; }
    const Node& node() const { return *node_; }

    // Answers to `count` requests to another pod and to the host, each v4 and v6.
    std::vector<std::size_t> answers(const std::string& container, std::size_t count, bool all_at_once = false)
    {
        return {shop().ask(container, back().address4(), Pod::port, count, all_at_once),
                shop().ask(container, back().address6(), Pod::port, count, all_at_once),
                shop().ask(container, Node::address4, 6000, count, all_at_once),
                shop().ask(container, Node::address6, 6000, count, all_at_once)};
    }
    void expect_cut(const std::string& container, std::size_t count = 20)
    {
        EXPECT_THAT(answers(container, count, true), testing::Each(0U)) << container;
    }
    void expect_spared(const std::string& container, std::size_t count = 20)
    {
        EXPECT_THAT(answers(container, count), testing::Each(count)) << container;
    }

    static std::vector<std::string> instances()
    {
        std::vector<std::string> found;
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/bpf/headwind", error))
            if (entry.is_directory()) found.push_back(entry.path().filename());
        return found;
    }

private:
    std::unique_ptr<Node> node_;
    std::unique_ptr<Pod> shop_, back_;
    std::unique_ptr<Process> server_;
};

// ---- one of two ----

TEST_F(Pods, PartitionOfOneContainerIsItsOwn)
{
    const std::size_t many = scaled(2'500, 100);  // four times
    expect_spared("web");
    const auto added = change(host(), "add --name cut --pod default/shop/web --partition");
    EXPECT_THAT(added.out,
                AllOf(HasSubstr("by container web (" + shop().id("web").substr(0, 12) + ") of pod default/shop"),
                      HasSubstr("it sits in the pod's own network namespace")));
    expect_cut("web", many);
    expect_spared("db", many);
    EXPECT_EQ(shop().ask("web", "127.0.0.1", shop().port_of("db"), 20, true), 0U) << "to its neighbour";
    EXPECT_EQ(shop().ask("db", "127.0.0.1", shop().port_of("db"), 20), 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20), 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20, true), 0U) << "its answers are lost";
    EXPECT_THAT(headwind(host(), "list --pod default/shop").out, HasSubstr("cut"));
    change(host(), "del cut --pod default/shop");
    expect_spared("web");
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, AtTheHostSideToo)
{
    const std::size_t many = scaled(2'500, 100);
    const auto added = change(host(), "add --name cut --pod default/shop/web --at host --direction out --partition");
    EXPECT_THAT(added.out, AllOf(HasSubstr("(host side): partition"), HasSubstr("it sits at the host side, veth")));
    expect_cut("web", many);
    expect_spared("db", many);
    EXPECT_EQ(shop().ask("web", "127.0.0.1", shop().port_of("db"), 20), 20U) << "does not pass the host side";
    const auto counters = counters_of(host(), "cut", "out");
    EXPECT_EQ(counters.partition, 4 * many);
    EXPECT_EQ(counters.packets, 4 * many);
    change(host(), "del cut");
    expect_spared("web");
    EXPECT_THAT(instances(), IsEmpty());
}

// Out is what the pod sends: its server's port is the local one, and the answers are what is lost.
TEST_F(Pods, AtTheHostSideTheEndsAreThePods)
{
    change(host(), "add --name mute --pod default/shop --at host --direction out --partition --local-port " +
                       std::to_string(shop().port_of("db")));
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20, true), 0U);
    EXPECT_EQ(counters_of(host(), "mute", "out").partition, 20U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("web"), 20), 20U);
    change(host(), "add --name mute --replace --pod default/shop --at host --direction in --partition --local-port " +
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
        change(host(), "add --name cut --partition " + name);
        expect_cut("web");
        expect_spared("db");
        change(host(), "clear " + name);
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, AWholePodIsAllOfItsContainersAndNoOther)
{
    for (const std::string at : {"pod", "host"}) {
        change(host(), "add --name cut --pod default/shop --partition --at " + at);
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
        batch("add --name a --container web --at host --direction out --partition\\n"
              "add --name b --container api --at host --direction out --remote-port 6000 --loss 100%%\\n"));
    expect_cut("web");
    expect_spared("db");
    EXPECT_EQ(back().ask("api", Node::address4, 6000, 20, true), 0U);
    EXPECT_EQ(back().ask("api", shop().address4(), shop().port_of("db"), 20), 20U);
    const auto refused = batch("del a\\nadd --name c --container db --loss 1%%\\n");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("a batch changes one namespace only"), HasSubstr("--at host")));
    EXPECT_EQ(parse_json(headwind(host(), "list --json"))["rules"].size(), 2U);
}

// ---- what is refused ----

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

TEST_F(Pods, AChangeKeepsThePartyButNoOtherCgroup)
{
    change(host(), "add --name cut --container web --partition");
    change(host(), "change cut --loss 100% --container web");
    expect_cut("web");
    expect_spared("db");
    const auto refused = headwind(host(), "change cut --cgroup any --pod default/shop");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("--cgroup: the rule was made for container web"));
}

// ---- when it goes away ----

TEST_F(Pods, ARuleGoesWithItsContainer)
{
    const auto before = footprint(host());
    for (unsigned round = 0; round < scaled(10, 2); ++round) {
        change(host(), "add --name cut --container web --at host --direction out --partition");
        change(host(), "add --name stay --container db --at host --direction out --remote-port 9 --partition");
        shop().stop("web");
        EXPECT_THAT(headwind(host(), "list").out, HasSubstr("cut   gone"));
        shop().start("web");
        expect_spared("web", 5);
        change(host(), "add --name more --container web --at host --loss 1% --remote-port 9");
        EXPECT_THAT(headwind(host(), "list").out, AllOf(Not(HasSubstr("cut")), HasSubstr("stay"), HasSubstr("more")));
        change(host(), "clear");
        expect_footprint(host(), before);
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(Pods, InThePodsNamespaceAsWell)
{
    const auto before = footprint(shop().netns());
    for (unsigned round = 0; round < scaled(5, 1); ++round) {
        change(host(), "add --name cut --container web --partition");
        shop().stop("web");
        shop().start("web");
        expect_spared("web", 5);
        change(host(), "add --name other --container db --loss 1% --remote-port 9");
        EXPECT_THAT(headwind(host(), "list --pod default/shop").out, AllOf(Not(HasSubstr("cut")), HasSubstr("other")));
        change(host(), "clear --pod default/shop");
        expect_footprint(shop().netns(), before);
    }
}

TEST_F(Pods, NothingIsLeftOfAPodThatIsMadeAnew)
{
    for (unsigned round = 0; round < scaled(5, 1); ++round) {
        change(host(), "add --name inside --pod default/shop --partition");
        change(host(), "add --name outside --pod default/shop --at host --partition");
        EXPECT_EQ(instances().size(), 2U);
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

// ---- in a container ----

// What a node pod has: the host's root at /host, and its bpffs at /sys/fs/bpf or, by mistake, one of its own, as the
// tests have. Nothing is changed on the host.
class NodePods : public Pods {
protected:
    Output in_container(bool own_bpffs, const std::string& arguments) const
    {
        const auto root = (node().folder() / "host").string();
        const std::string script = "set -e; mkdir -p " + root + "; mount --rbind / " + root + "; " +
                                   (own_bpffs ? "" : "umount /sys/fs/bpf; ") + "exec " + headwind_binary() + " " +
                                   arguments;
        return run(&host(), {"unshare", "--mount", "bash", "-c", script}, {"HEADWIND_HOST_ROOT=" + root + "/"});
    }
};

TEST_F(NodePods, ABpffsThatIsNotTheHostsIsRefused)
{
    for (const std::string command : {"list", "add --name cut --container web --loss 1%", "clear --pod default/shop"}) {
        const auto refused = in_container(true, command);
        EXPECT_EQ(refused.status, 5) << command;
        EXPECT_THAT(refused.err, AllOf(HasSubstr("--host-root "), HasSubstr("would die with this container"),
                                       HasSubstr("hostPath volume"), HasSubstr("mountPropagation: Bidirectional")));
    }
    EXPECT_EQ(headwind(host(), "list --host-root /nowhere").status, 2);
    EXPECT_EQ(headwind(host(), "list --host-root /").out, "no rules\n");
}

TEST_F(NodePods, TheHostsContainersAreFoundBelowItsRoot)
{
    if (const auto found = in_container(false, "list"); found.status == 5)
        GTEST_SKIP() << "no bpffs below the tests' own";
    EXPECT_EQ(in_container(false, "list --container web").out, "no rules\n");
    EXPECT_EQ(in_container(false, "list --pid " + std::to_string(shop().pid_of("web"))).out, "no rules\n");
    EXPECT_THAT(in_container(false, "list --pod default/none").err, HasSubstr("there are: default/back, default/shop"));
}

}  // namespace
}  // namespace headwind::test

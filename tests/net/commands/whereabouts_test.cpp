// SPDX-License-Identifier: MIT
// Tests that rules of other network namespaces are told of, and reached.
#include <optional>

#include "net_test.h"
#include "pod_test.h"

namespace headwind::test::whereabouts_test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// A pair, each of whose namespaces has a name.
class Whereabouts : public PairTest {
protected:
    static std::string netns(const Namespace& where) { return "--netns " + where.name(); }
    // The rules of a namespace.
    static std::set<std::string> rules_of(const Namespace& where)
    {
        std::set<std::string> out;
        const auto all = nlohmann::json::parse(headwind(where, "list --json").out);
        for (const auto& rule : all["rules"]) out.insert(std::string(rule["name"]));
        return out;
    }
};

TEST_F(Whereabouts, ListEndsWithWhatOtherNamespacesHave)
{
    change(b(), "add --name slow --loss 1%");
    change(b(), "add --name slower --loss 2% --port 80");
    const auto line = "2 rules in network namespace " + b().name() + ": headwind list " + netns(b()) + "\n";
    EXPECT_EQ(headwind(a(), "list").out, "no rules here\n" + line);
    const auto elsewhere = nlohmann::json::parse(headwind(a(), "list --json").out)["elsewhere"];
    ASSERT_EQ(elsewhere["places"].size(), 1U);
    EXPECT_EQ(elsewhere["places"][0]["flags"], netns(b()));
    EXPECT_EQ(elsewhere["places"][0]["rules"], 2);
    EXPECT_EQ(elsewhere["more_namespaces"], 0);
    change(a(), "add --name here --loss 1%");
    EXPECT_THAT(headwind(a(), "list").out, EndsWith(line));
    EXPECT_THAT(headwind(a(), "list " + netns(b())).out, Not(HasSubstr("headwind list")));
    EXPECT_FALSE(nlohmann::json::parse(headwind(a(), "list --json " + netns(b())).out).contains("elsewhere"));
    change(b(), "clear");
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("headwind list")));
}

TEST_F(Whereabouts, ANameThatIsElsewhereIsRefusedWithWhatToType)
{
    change(b(), "add --name slow --loss 1% --lease 1h");
    for (const std::string command : {"del slow", "stats slow", "renew slow"}) {
        const auto refused = headwind(a(), command);
        EXPECT_EQ(refused.status, 3);
        EXPECT_EQ(refused.err, "headwind: no rule is called slow here, but in network namespace " + b().name() +
                                   ": headwind " + command + " " + netns(b()) + "\n");
    }
    EXPECT_THAT(headwind(a(), "change slow --loss 2%").err,
                HasSubstr(": headwind change slow --loss 2% " + netns(b()) + "\n"));
    EXPECT_EQ(headwind(a(), "del nowhere").err, "headwind: no rule is called nowhere: see `headwind list`\n");
    EXPECT_EQ(rules_of(b()), std::set<std::string>{"slow"});
    change(a(), "del slow " + netns(b()));
    EXPECT_EQ(rules_of(b()), std::set<std::string>{});
}

TEST_F(Whereabouts, ClearSaysWhatIsElsewhere)
{
    change(b(), "add --name slow --loss 1%");
    EXPECT_EQ(headwind(a(), "clear").out, "no rules to remove\n1 rule in network namespace " + b().name() +
                                              ": headwind clear " + netns(b()) + "\n");
    EXPECT_EQ(rules_of(b()), std::set<std::string>{"slow"});
    EXPECT_EQ(headwind(a(), "clear --owner nobody").out, "no rules to remove\n");
    change(b(), "add --name hers --loss 1% --port 80 --owner her");
    EXPECT_THAT(headwind(a(), "clear --owner her").out, EndsWith(": headwind clear --owner her " + netns(b()) + "\n"));
    EXPECT_THAT(headwind(a(), "clear --anyone").out, HasSubstr("\n2 rules in network namespace " + b().name()));
}

// Those of processes that share a namespace are not all of it.
TEST_F(Whereabouts, AProcessDoesNotGiveItsNameToANamespace)
{
    const TestCgroup cgroup("shares");
    std::optional<InCgroup> inside(cgroup);
    const Process other(&b(), words("sleep 100"));
    inside.reset();
    const auto pid = std::to_string(other.pid());
    ASSERT_TRUE(eventually([&] {
        std::error_code error;
        return std::filesystem::read_symlink("/proc/" + pid + "/ns/net", error) ==
               "net:[" + std::to_string(b().inode()) + "]";
    }));
    change(b(), "add --name slow --loss 1% --for 1h --pid " + pid);
    EXPECT_EQ(headwind(a(), "list").out,
              "no rules here\n1 rule in network namespace " + b().name() + ": headwind list " + netns(b()) + "\n");
    EXPECT_THAT(headwind(b(), "events --no-follow").out, HasSubstr(b().name() + ": rule slow: added"));
}

TEST_F(Whereabouts, OfManyNamespacesTheFirstAreNamed)
{
    std::vector<std::unique_ptr<Namespace>> many;
    for (int i = 0; i < 7; ++i) {
        many.push_back(std::make_unique<Namespace>("many-" + std::to_string(i)));
        ip(*many.back(), "link set lo up");
        change(*many.back(), "add --name slow --dev lo --loss 1%");
    }
    const auto list = headwind(a(), "list").out;
    EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 7);
    EXPECT_THAT(list, EndsWith("2 more network namespaces: headwind list --everywhere\n"));
}

TEST_F(Whereabouts, EverywhereReachesThem)
{
    change(a(), "add --name slow --loss 1%");
    change(a(), "add --name mine --loss 1% --port 80");
    change(b(), "add --name slow --loss 1%");
    change(b(), "add --name cut --loss 1% --port 80");

    const auto shown = headwind(a(), "stats cut --everywhere");
    EXPECT_THAT(shown.out, HasSubstr("in network namespace " + b().name()));
    EXPECT_THAT(shown.out, Not(HasSubstr("slow")));
    EXPECT_EQ(headwind(a(), "stats cut nowhere --everywhere").status, 3);

    const auto refused = headwind(a(), "del slow nowhere --everywhere");
    EXPECT_EQ(refused.status, 3);
    EXPECT_THAT(refused.err, HasSubstr("no rule is called nowhere in any network namespace"));
    EXPECT_EQ(rules_of(a()), (std::set<std::string>{"slow", "mine"}));

    const auto gone = change(a(), "del slow cut --everywhere --json");
    EXPECT_EQ(nlohmann::json::parse(gone.out)["namespaces"].size(), 2U);
    EXPECT_EQ(rules_of(a()), std::set<std::string>{"mine"});
    EXPECT_EQ(rules_of(b()), std::set<std::string>{});
    EXPECT_EQ(change(a(), "del slow --everywhere --if-exists").out, "no rules to remove\n");
}

using WhereaboutsOfPods = Pods;

TEST_F(WhereaboutsOfPods, APodAndItsContainersAreNamedAsTheyAreMeant)
{
    change(host(), "add --name slow --pod default/shop --loss 1% --for 1h");
    const std::string flags = "--pod default/shop";
    EXPECT_EQ(headwind(host(), "list").out, "no rules here\n1 rule in pod default/shop: headwind list " + flags + "\n");
    EXPECT_THAT(headwind(host(), "list --everywhere").out, testing::StartsWith("in pod default/shop (/"));
    EXPECT_THAT(headwind(host(), "del slow").err,
                HasSubstr("here, but in pod default/shop: headwind del slow " + flags));
    EXPECT_EQ(change(host(), "del slow " + flags).out, "removed slow\n");
    change(host(), "add --name flaky --container web --loss 1% --for 1h");
    EXPECT_THAT(headwind(host(), "del flaky").err, HasSubstr("here, but in pod default/shop"));
    EXPECT_THAT(headwind(host(), "events --no-follow").out, HasSubstr("pod default/shop: rule flaky: added"));
    change(host(), "del flaky --everywhere");
    EXPECT_EQ(headwind(host(), "list").out, "no rules\n");
}

}  // namespace
}  // namespace headwind::test::whereabouts_test

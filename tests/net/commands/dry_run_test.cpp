// SPDX-License-Identifier: MIT
// Tests --dry-run: what is said is what would be done, and nothing is.
#include "net_test.h"

#include <fstream>

namespace headwind::test::dry_run_test {
namespace {

using testing::HasSubstr;

class DryRun : public PairTest {
protected:
    static std::string file_of(const std::string& lines)
    {
        const auto path = testing::TempDir() + "dry.rules";
        std::ofstream(path) << lines;
        return path;
    }
    // Puts --dry-run behind the name of the command.
    Output rehearse(const std::string& command) const
    {
        const auto blank = command.find(' ');
        const auto rest = blank == std::string::npos ? "" : command.substr(blank);
        return headwind(a(), command.substr(0, blank) + " --dry-run" + rest);
    }
    // Expects that the rehearsal says this, and changes nothing.
    void expect_said(const std::string& command, const std::string& text) const
    {
        SCOPED_TRACE(command);
        const auto before = footprint(a());
        const auto rules = rules_of(a());
        const auto output = rehearse(command);
        EXPECT_EQ(output.status, 0) << output.err;
        EXPECT_THAT(output.out, HasSubstr(text));
        EXPECT_THAT(output.err, HasSubstr("--dry-run: nothing was changed"));
        EXPECT_EQ(footprint(a()), before);
        EXPECT_EQ(rules_of(a()), rules);
    }
    // Expects that the rehearsal is refused as the command itself is.
    void expect_refused(const std::string& command, const std::string& text) const
    {
        SCOPED_TRACE(command);
        const auto rehearsal = rehearse(command), real = headwind(a(), command);
        EXPECT_NE(real.status, 0);
        EXPECT_EQ(rehearsal.status, real.status);
        EXPECT_EQ(rehearsal.err, real.err);
        EXPECT_THAT(real.err, HasSubstr(text));
    }
};

RUNS_IN("DryRun.*", native, sanitized);

TEST_F(DryRun, OfEachCommandWithRules)
{
    change(a(), "add --name old --loss 1% --port 80");
    change(a(), "add --name leased --loss 1% --port 81 --lease 1h");
    expect_said("add --name new --loss 5% --port 82", "new: packets sent to or from port 82 through lo, va: loss 5%");
    expect_said("add --name new --loss 5% --port 82 --json", R"("dry_run": true)");
    expect_said("add --name old --replace --partition --port 82", "old: ");
    expect_said("change old leased --loss 9%", "leased: packets sent to or from port 81 through lo, va: loss 9%");
    expect_said("batch " + file_of("del old\nadd --name new --loss 2% --port 83\nchange leased --loss 3%\n"),
                "would remove old");
    expect_said("apply --yes --owner root " + file_of("add --name new --loss 2% --port 83\n"), "would add new: ");
    expect_said("del old", "would remove old");
    expect_said("del --if-exists old other", "would remove old");
    expect_said("del old --everywhere", "would remove old");
    expect_said("clear", "would remove leased");
    expect_said("clear --everywhere --anyone", "would remove leased");
    expect_said("clear --json", R"("removed": [)");
    expect_said("renew leased", "");
    expect_said("panic", "the rules of 1 network namespace would be off");
    expect_said("panic --off", "would have their effect again");
    expect_said("upgrade", "the programs are this version's");
    expect_said("run --loss 5% -- touch " + testing::TempDir() + "touched", "would run touch");
    EXPECT_FALSE(std::filesystem::exists(testing::TempDir() + "touched"));
    change(a(), "change old --loss 9% --confirm 1h");
    expect_said("confirm", "would be confirmed; in force then: old");
    expect_said("confirm --undo", "would be undone; in force then: old");
}

TEST_F(DryRun, IsRefusedAsTheCommandIs)
{
    change(a(), "add --name old --loss 1% --port 80");
    expect_refused("add --name old --loss 5% --port 82", "a rule of this name exists");
    expect_refused("add --name new --loss 5% --dev nosuch", "nosuch");
    expect_refused("change nosuch --loss 5%", "no rule is called nosuch");
    expect_refused("change old --pass off", "--pass off");
    expect_refused("batch " + file_of("del old\ndel nosuch\n"), "no rule is called nosuch");
    expect_refused("apply --yes --owner else " + file_of("add --name old --loss 2% --port 83\n"), "old");
    expect_refused("del nosuch", "no rule is called nosuch");
    expect_refused("renew old", "has no lease");
    expect_refused("confirm", "no change waits");
    change(a(), "change old --loss 3% --confirm 1h");
    expect_refused("del old", "waits to be confirmed");
    expect_refused("clear --confirm 1h", "waits to be confirmed");
    expect_refused("del old old --confirm 1h", "named twice");
}

// Without a terminal to ask on it is refused.
TEST_F(DryRun, OfWhatWouldBeAskedAbout)
{
    const Namespace other("asked");
    ip(other, "link set lo up\nlink add tap7 type bridge\nlink set tap7 up");
    const auto real = headwind(other, "add --name all --dev tap7 --loss 30%");
    const auto rehearsal = headwind(other, "add --dry-run --name all --dev tap7 --loss 30%");
    EXPECT_EQ(real.status, 2);
    EXPECT_EQ(rehearsal.status, 2);
    EXPECT_EQ(rehearsal.err, real.err);
}

TEST_F(DryRun, OfWhatTheLastCommandLeft)
{
    change(a(), "add --name old --loss 1% --port 80 --owner else");
    const auto clear = rehearse("clear");
    EXPECT_THAT(clear.err, HasSubstr("old stays, it is of else"));
    EXPECT_THAT(clear.out, HasSubstr("no rules to remove"));
    change(a(), "panic");
    EXPECT_THAT(rehearse("change old --loss 2%").err, HasSubstr("panic is on"));
    change(a(), "panic --off");
}

// What it says is what the command then says.
TEST_F(DryRun, ForetellsWithoutAnyRule)
{
    const auto before = footprint(a());
    const std::vector<std::string> commands{"add --name new --loss 5% --port 82", "change new --loss 6%",
                                            "batch " + file_of("add --name more --loss 2% --port 83\n"), "del new"};
    for (const auto& command : commands) {
        SCOPED_TRACE(command);
        const auto foretold = rehearse(command);
        EXPECT_TRUE(command[0] != 'a' || footprint(a()) == before);
        const auto done = headwind(a(), command);
        EXPECT_EQ(foretold.status, 0) << foretold.err;
        EXPECT_EQ(done.status, 0) << done.err;
        EXPECT_EQ(foretold.out, command[0] == 'd' ? "would remove new\n" : done.out);
    }
}

}  // namespace
}  // namespace headwind::test::dry_run_test

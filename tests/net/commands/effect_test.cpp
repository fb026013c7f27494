// SPDX-License-Identifier: MIT
// A command has the effect that was asked for, no more and no less, or it is refused.
#include "net_test.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace headwind::test::effect_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Effect : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    // Runs headwind with these words as a shell passes them on; some of them may be empty.
    Output headwind_with(const Arguments& arguments, const std::vector<std::string>& variables = {}) const
    {
        Arguments command{headwind_binary()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return run(&a(), command, variables);
    }
    void expect_refused(const Arguments& arguments, const std::string& flag, int status = 2) const
    {
        const auto output = headwind_with(arguments);
        EXPECT_EQ(output.status, status) << flag << output.out;
        EXPECT_THAT(output.err, HasSubstr(flag));
        EXPECT_EQ(footprint(a()), before_);
        EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    }

    std::string before_;
};

RUNS_IN("Effect.*", native, sanitized);
RUNS_IN("Effect.LookingIsSilent", native | linux_6_12 | linux_6_1);

// Messages of libraries (as when a device without clsact is asked for its filters) become part of errors, if there are
// any.
TEST_F(Effect, LookingIsSilent)
{
    for (const std::string command : {"list", "stats", "doctor", "clear --all", "list"})
        EXPECT_EQ(headwind(a(), command).err, "") << command;
}

// An ignored empty value (--container "$UNSET") would impair the whole namespace, for ever.
TEST_F(Effect, AnEmptyValueIsRefused)
{
    for (const char* flag : {"--container", "--pod", "--pid", "--netns", "--for", "--lease", "--cgroup", "--dev",
                             "--port", "--remote", "--owner", "--delay", "--host-root"})
        expect_refused({"add", "--name", "x", "--loss", "1%", flag, ""}, flag);
    for (const char* command : {"list", "stats", "clear"})
        for (const char* flag : {"--container", "--pod", "--pid", "--netns"}) expect_refused({command, flag, ""}, flag);
    expect_refused({"change", "x", "--for", ""}, "--for");
    const auto file = testing::TempDir() + "headwind-effect";
    std::ofstream(file) << "add --name x --loss 1% --container \"\"\n";
    expect_refused({"batch", file}, "--container");
    std::filesystem::remove(file);
}

// In `--owner $UNSET --hold` the next option must not become the owner.
TEST_F(Effect, AnOptionIsNoValueOfAnother)
{
    for (const char* flag : {"--container", "--netns", "--for", "--lease", "--dev", "--port", "--owner", "--stop-if"})
        for (const char* next : {"--hold", "-y", "--replace"})
            expect_refused({"add", "--name", "x", "--loss", "1%", "--dev", "va", flag, next}, flag);
    for (const char* command : {"list", "clear"}) expect_refused({command, "--netns", "--json"}, "--netns");
    for (const char* word : {"--owner=", "--all=", "--json="}) expect_refused({"clear", word}, std::string(word, 5));
    expect_refused({"del", "--if-exists", ""}, "name");
    const auto file = testing::TempDir() + "headwind-effect";
    for (const std::string line :
         {"add --name x --loss 1% --dev \"\" --replace", "add --name x --loss 1% --owner --pass", "del '' x",
          "add --name x --loss= 1%", "add --name 'x --loss 1%"}) {
        std::ofstream(file) << line << "\n";
        expect_refused({"batch", file}, file + ":1");
    }
    std::filesystem::remove(file);
}

TEST_F(Effect, AVariableDoesNotKeepFromClearingAll)
{
    for (const char* flag : {"--all", "--anyone"}) {
        change(a(), "add --name x --dev va --loss 5%");
        expect_ok(headwind_with({"clear", flag}, {"HEADWIND_OWNER=ci"}));
        EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    }
    expect_ok(headwind_with({"add", "--name", "x", "--dev", "va", "--loss", "5%"}, {"HEADWIND_OWNER=ci"}));
    change(a(), "clear");
    EXPECT_EQ(rule_of(a(), "x")["owner"], "ci");
    expect_ok(headwind_with({"clear"}, {"HEADWIND_OWNER=ci"}));
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    for (const char* root : {"/", "//"})
        expect_ok(headwind_with({"list"}, {"HEADWIND_HOST_ROOT=" + std::string(root)}));
}

TEST_F(Effect, OfAUserThatIsThereOnly)
{
    for (const char* user : {"0x", "65534junk", "nobody-of-that-name"}) {
        const auto output = headwind_with({"run", "--loss", "50%", "--user", user, "--", "id"});
        EXPECT_EQ(output.status, 125) << user;
        EXPECT_EQ(output.out, "");
        EXPECT_THAT(output.err, HasSubstr("no such user"));
    }
}

// `panic --off` must not put anything in force that was not there before.
TEST_F(Effect, NothingIsMadeWorseInAPanic)
{
    change(a(), "add --name x --dev va --loss 5% --owner scenario-set");
    expect_ok(headwind(a(), "panic"));
    const auto file = testing::TempDir() + "set.rules";
    const auto refused = [&](const std::string& command, const std::string& line) {
        std::ofstream(file) << line << "\n";
        const auto output = headwind_with({command, file});
        EXPECT_NE(output.status, 0) << command << " " << line;
        EXPECT_THAT(output.err, HasSubstr("panic is on"));
    };
    refused("batch", "change x --loss 60%");
    refused("batch", "add --name y --dev va --loss 5%");
    refused("apply", "add --name x --dev va --loss 60%");
    EXPECT_THAT(headwind(a(), "stats --everywhere").out, HasSubstr("panic is on"));
    std::ofstream(file) << "del x\n";
    expect_ok(headwind_with({"batch", file}));
    expect_ok(headwind(a(), "panic --off"));
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    std::filesystem::remove(file);
}

TEST_F(Effect, ATraceThatCannotBeReadToItsEndIsRefused)
{
    for (const auto& [file, status] : {std::pair{"/tmp", 2}, {"/proc/self/mem", 1}, {"/nowhere", 3}})
        expect_refused({"add", "--name", "x", "--dev", "va", "--trace", file}, "--trace", status);
}

TEST_F(Effect, ABatchThatCannotBeReadToItsEndIsRefusedWhole)
{
    for (const std::string file : {"/tmp", "/proc/self/mem"}) {
        const auto output = headwind_with({"batch", file});
        EXPECT_EQ(output.status, 1) << output.out;
        EXPECT_THAT(output.err, AllOf(HasSubstr(file), HasSubstr("nothing was changed")));
    }
    const auto stdin_is_a_folder = run(&a(), {"bash", "-c", headwind_binary() + " batch - < /tmp"});
    EXPECT_EQ(stdin_is_a_folder.status, 1);
    EXPECT_THAT(stdin_is_a_folder.err, HasSubstr("nothing was changed"));
}

// The first -- ends our options, whatever they are and whatever comes after it.
TEST_F(Effect, RunGivesTheCommandItsWords)
{
    const Arguments command{"printf", "<%s>", "server", "--port", "1", "--name", "x",       "-n",
                            "--json", "--",   "--user", "root",   "",  "a b",    "--dev=lo"};
    std::string expected;
    for (std::size_t i = 2; i < command.size(); ++i) expected += "<" + command[i] + ">";
    for (const Arguments& last :
         {Arguments{"--dev", "va"}, Arguments{"--port", "1"}, Arguments{"--local-port", "1"},
          Arguments{"--remote-port", "1"}, Arguments{"--proto", "udp"}, Arguments{"--remote", "10.0.0.0/8"},
          Arguments{"--local", "10.0.0.0/8"}, Arguments{"--protect", "22"}, Arguments{"--loss", "50%"}, Arguments{}}) {
        Arguments arguments{"run", "--loss", "50%"};
        if (!last.empty() && last.front() == "--loss") arguments = {"run"};
        arguments.insert(arguments.end(), last.begin(), last.end());
        arguments.emplace_back("--");
        arguments.insert(arguments.end(), command.begin(), command.end());
        const auto output = headwind_with(arguments);
        expect_ok(output, last.empty() ? "" : last.front());
        EXPECT_EQ(output.out, expected) << (last.empty() ? "" : last.front());
    }
    for (const Arguments& without :
         {Arguments{"run", "--loss", "50%", "true"}, Arguments{"run", "--loss", "50%", "--"}}) {
        const auto output = headwind_with(without);
        EXPECT_EQ(output.status, 125);
        EXPECT_THAT(output.err, HasSubstr("--"));
    }
}

TEST_F(Effect, VerifyRefusesByNameWhatItDoesNotMeasure)
{
    const Arguments given[] = {{"--flap", "up=1s,down=1s"},
                               {"--between", "09:00-17:00"},
                               {"--days", "mon"},
                               {"--ramp", "loss=0%..1%,over=1s"},
                               {"--max-share", "20%"},
                               {"--stop-if", "false"},
                               {"--xdp", "off"},
                               {"--queue", "10KB"},
                               {"--pass"}};
    for (const auto& words : given) {
        Arguments arguments{"verify"};
        arguments.insert(arguments.end(), words.begin(), words.end());
        if (words.front() != "--pass") arguments.insert(arguments.end(), {"--loss", "10%"});
        expect_refused(arguments, words.front() + ": verify measures");
    }
}

TEST_F(Effect, TextFromTheEnvironmentIsShownEscaped)
{
    const std::string evil = "ev\x1b[31mil\nroot";
    const auto added =
        headwind_with({"add", "--name", "x", "--dev", "va", "--partition", "--proto", "udp"}, {"SUDO_USER=" + evil});
    expect_ok(added);
    for (const auto& output :
         {added, headwind(a(), "list"), headwind_with({"clear"}), headwind_with({"list", "--netns", evil}),
          headwind_with({"clear", "--all"}, {"SUDO_USER=" + evil})})
        EXPECT_THAT(output.out + output.err, Not(HasSubstr("\x1b")));
}

// The kernel accepts any bytes in the name of a device, and a container can give one.
TEST_F(Effect, NamesOfDevicesAreNoText)
{
    ip(b(), std::string("link add e\x1b[31m type veth peer name x\xfe\x0f"));
    change(b(), "add --yes --name pod --dev ?* --loss 5%");
    for (const std::string command : {"list", "list --json", "stats --json", "doctor --json", "change pod --loss 6%",
                                      "add --name lo --dev lo --loss 5%", "list --everywhere", "del pod lo"}) {
        const auto output = headwind(b(), command);
        if (command.find("doctor") == std::string::npos) expect_ok(output, command);
        EXPECT_THAT(output.out + output.err, Not(HasSubstr("\x1b"))) << command;
        EXPECT_THAT(output.err, Not(HasSubstr("json"))) << command;
        const bool json = command.find("--json") != std::string::npos;
        EXPECT_TRUE(!json || nlohmann::json::accept(output.out)) << command;
    }
    EXPECT_EQ(headwind(b(), "list").out, "no rules\n");
}

TEST_F(Effect, AFifoAsNetnsDoesNotHang)
{
    const auto fifo = testing::TempDir() + "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    Process list(&a(), {headwind_binary(), "list", "--netns", fifo});
    const auto output = list.wait();
    EXPECT_FALSE(output.timed_out);
    EXPECT_EQ(output.status, 2);
    EXPECT_THAT(output.err, HasSubstr("no network namespace"));
    std::filesystem::remove(fifo);
}

TEST_F(Effect, OutputThatCannotBeWrittenIsAnError)
{
    for (const std::string command : {"list", "list --json", "doctor", "stats"}) {
        const auto output = run(&a(), {"bash", "-c", headwind_binary() + " " + command + " > /dev/full"});
        EXPECT_NE(output.status, 0) << command;
        EXPECT_THAT(output.err, HasSubstr("could be written")) << command;
    }
    for (const std::string closed : {" > /dev/full", " >&-"}) {
        const auto output = run(&a(), {"bash", "-c", headwind_binary() + " --help" + closed});
        EXPECT_NE(output.status, 0) << closed;
    }
    Process watch(&a(), {"bash", "-c", headwind_binary() + " stats --watch > /dev/full"});
    EXPECT_EQ(watch.wait().status, 1) << "it goes on for nobody";
}

// A command that cannot write its messages does its work to the end all the same.
TEST_F(Effect, ALostMessageStopsNothing)
{
    for (const std::string lost : {" 2> /dev/full", " 2>&-", " > /dev/full 2>&1", " 2>&1 | true"}) {
        SCOPED_TRACE(lost);
        const auto with = [&](const std::string& command) {
            return run(&a(), {"bash", "-c", headwind_binary() + " " + command + lost});
        };
        with("add --name x --dev va --duplicate 5%");
        EXPECT_EQ(rule_of(a(), "x")["state"], "live");
        with("clear");
        EXPECT_EQ(footprint(a()), before_);
    }
    const auto ran = run(&a(), {"bash", "-c", headwind_binary() + " run --loss 5% --dev va -- echo ran 2> /dev/full"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_EQ(ran.out, "ran\n");
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
}

// A command whose reader goes away ends by SIGPIPE, as any other program: `headwind list | head` prints no error.
TEST_F(Effect, AReaderThatGoesAwayEndsItAsAnyProgram)
{
    const auto output =
        run(&a(), {"bash", "-c", "exec 3> >(true); wait $!; " + headwind_binary() + " list >&3; echo $? >&2"});
    EXPECT_EQ(output.err, "141\n");
    const auto child = run(&a(), {"bash", "-c", headwind_binary() + " run --loss 5% --dev va -- bash -c 'trap'"});
    EXPECT_EQ(child.out, "") << "SIGPIPE is as it was for its command";
}

// Four clients send a byte a second each, of requests that never end.
TEST_F(Effect, WhoDripsDoesNotStopTheExporter)
{
    Process exporter(&a(), {headwind_binary(), "exporter", "--listen", "127.0.0.1:9431"});
    const auto scrape = [this] {
        return run(&a(), {"curl", "-s", "--max-time", "30", "http://127.0.0.1:9431/metrics"});
    };
    ASSERT_TRUE(eventually([&] { return scrape().status == 0; })) << exporter.err();
    std::vector<std::unique_ptr<Process>> drips;
    for (int i = 0; i < 4; ++i)
        drips.push_back(std::make_unique<Process>(
            &a(),
            Arguments{
                "bash", "-c",
                "while :; do exec 3<>/dev/tcp/127.0.0.1/9431; for i in {1..60}; do printf x >&3 || break; sleep 1; done; done 2>/dev/null"}));
    usleep(500'000);
    for (int i = 0; i < 5; ++i) {
        const auto output = scrape();
        EXPECT_EQ(output.status, 0);
        EXPECT_THAT(output.out, HasSubstr("headwind_panic"));
    }
}

}  // namespace
}  // namespace headwind::test::effect_test

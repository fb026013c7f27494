// SPDX-License-Identifier: MIT
// Declared sets: `headwind apply` again and again, ended rules that stay ended in this boot, the unit for boot time.
#include "net_test.h"

#include <filesystem>
#include <fstream>

#include "pod.h"

namespace headwind::test::apply_test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Apply : public PairTest {
protected:
    void TearDown() override
    {
        std::error_code error;
        fs::remove(file(), error);
        fs::remove(memory(), error);
        fs::remove("/run/headwind", error);  // only if it is empty
        PairTest::TearDown();
    }
    static std::string file() { return testing::TempDir() + "lab.rules"; }
    std::string memory() const { return "/run/headwind/applied-" + std::to_string(a().inode()) + "-scenario-lab.json"; }
    static void declare(const std::string& lines) { std::ofstream(file()) << lines; }
    // Applies the file, and returns the command's report as JSON.
    nlohmann::json apply(const std::string& options = "") const
    {
        return parse_json(change(a(), "apply --json " + options + " " + file()));
    }
    // Changes the memory of the set as if the host had been started anew since; /run and the rules stay.
    void write_another_boot_id() const
    {
        std::ifstream in(memory());
        auto value = nlohmann::json::parse(in);
        value["boot_id"] = "00000000-0000-0000-0000-000000000000";
        std::ofstream(memory()) << value;
    }
    static constexpr const char* two =
        "# the lab\nadd --name cut --partition --remote-port 5000\nadd --name some --loss 10% --remote-port 7\n";
};

TEST_F(Apply, TwiceIsOnce)
{
    declare(two);
    change(a(), "add --name mine --loss 1% --remote-port 9");
    EXPECT_EQ(apply()["added"].size(), 2U);
    EXPECT_EQ(arrive({.count = 20}), 0U);
    const auto before = rules_of(a());
    const auto second = apply();
    EXPECT_THAT(second["unchanged"], UnorderedElementsAre("cut", "some"));
    EXPECT_THAT(second["added"], IsEmpty());
    EXPECT_EQ(rules_of(a()), before);
    EXPECT_EQ(counters_of(a(), "cut").partition, 20U);
    EXPECT_EQ(rule_of(a(), "cut")["owner"], "scenario-lab");
}

TEST_F(Apply, AChangedFileInOneInstant)
{
    declare(two);
    change(a(), "add --name mine --loss 1% --remote-port 9");
    apply();
    EXPECT_EQ(arrive({.count = 20}), 0U);
    declare("add --name cut --loss 100% --remote-port 5000\nadd --name new --loss 1% --remote-port 8\n");
    const auto done = apply();
    EXPECT_EQ(done["changed"][0]["name"], "cut");
    EXPECT_EQ(done["added"][0]["name"], "new");
    EXPECT_THAT(done["removed"], ElementsAre("some"));
    EXPECT_THAT(names_of(a()), UnorderedElementsAre("cut", "new", "mine"));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(counters_of(a(), "cut").packets, 40U) << "its counters go on";
    EXPECT_THAT(apply("--remove")["removed"], UnorderedElementsAre("cut", "new"));
    EXPECT_THAT(names_of(a()), ElementsAre("mine"));
    EXPECT_THAT(apply("--remove")["removed"], IsEmpty());
}

TEST_F(Apply, NoPacketSlipsThroughAChangedFile)
{
    declare("add --name r --proto udp --partition --direction out\n");
    apply();
    UdpSink sink(b(), {Pair::b4, 5000});
    std::atomic<bool> stop{false};
    std::size_t sent = 0;
    std::thread sender([&] {
        sent = send_udp(a(), {Pair::b4, 5000},
                        {.count = 1'000'000'000, .per_second = slow_machine() ? 2'000U : 50'000U, .stop = &stop})
                   .packets;
    });
    for (unsigned i = 0; i < 20; ++i) {
        declare(i % 2 == 0 ? "add --name r --proto udp --loss 100%\n"
                           : "add --name r --proto udp --partition --direction out\n");
        apply();
    }
    stop = true;
    sender.join();
    EXPECT_EQ(sink.finish().size(), 0U);
    EXPECT_EQ(counters_of(a(), "r").packets, sent);
}

TEST_F(Apply, WhatEndedStaysEndedUntilTheNextBoot)
{
    declare(
        "add --name short --partition --remote-port 5000 --for 1s\n"
        "add --name long --partition --remote-port 5001 --for 1h\n");
    apply();
    const auto until = rule_of(a(), "long")["until_unix_s"].get<std::int64_t>();
    usleep(1'100'000);
    EXPECT_THAT(apply()["ended"], ElementsAre("short"));
    // The service is restarted.
    apply("--remove");
    const auto restarted = apply();
    EXPECT_THAT(restarted["ended"], ElementsAre("short"));
    EXPECT_EQ(restarted["added"][0]["name"], "long");
    EXPECT_NEAR(static_cast<double>(rule_of(a(), "long")["until_unix_s"].get<std::int64_t>() - until), 0, 1)
        << "its time went on";
    EXPECT_EQ(arrive({.count = 20}), 20U);
    // A rule that was deleted by hand does not come back.
    change(a(), "del long");
    EXPECT_THAT(apply()["ended"], UnorderedElementsAre("short", "long"));
    EXPECT_THAT(names_of(a()), IsEmpty());
    EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 20U);
    EXPECT_EQ(apply("--again")["added"].size(), 2U);
    EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 0U);
    // After another boot the rules come back.
    change(a(), "clear --all");
    EXPECT_EQ(apply()["ended"].size(), 2U);
    write_another_boot_id();
    EXPECT_EQ(apply()["added"].size(), 2U);
}

TEST_F(Apply, AMissingDeviceIsWaitedFor)
{
    declare("add --name there --partition --remote-port 5000\nadd --name later --partition --dev w0\n");
    const auto done = change(a(), "apply " + file());
    EXPECT_THAT(done.out, HasSubstr("added there"));
    EXPECT_THAT(done.err, HasSubstr("later: no such device is there yet"));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(rule_of(a(), "later")["state"], "no device");
    ip(a(), "link add w0 type veth peer name w1\nlink set w0 up");
    apply();
    EXPECT_EQ(rule_of(a(), "later")["state"], "live");
}

TEST_F(Apply, ABadFileNamesTheLineAndChangesNothing)
{
    const auto clean = footprint(a());
    const auto expect_refused = [this](const std::string& lines, const std::string& text,
                                       const std::string& options = "") {
        declare(lines);
        const auto before = rules_of(a());
        const auto output = headwind(a(), "apply " + options + " " + file());
        EXPECT_EQ(output.status, 2) << lines << output.out;
        EXPECT_THAT(output.err, HasSubstr(text));
        EXPECT_EQ(rules_of(a()), before);
    };
    const auto line = [](int number) { return file() + ":" + std::to_string(number) + ": "; };
    expect_refused("add --name x --loss 1%\n\nadd --name y --loss 1\n", line(3));
    expect_refused("add --name x --loss 1%\ndel x\n", line(2));
    expect_refused("add --name x --loss 1%\nadd --name x --loss 2%\n", line(2));
    expect_refused("add --name x --loss 1% --owner eve\n", line(1));
    EXPECT_EQ(footprint(a()), clean);
    EXPECT_EQ(headwind(a(), "apply /nowhere/x.rules").status, 1);
    EXPECT_EQ(headwind(a(), "apply -").status, 2);
    change(a(), "add --name x --loss 3% --owner alice");
    expect_refused("# mine\nadd --name x --loss 1%\n",
                   line(2) + "--name x: there is a rule of this name that is not of this set but of alice");
}

// ---- at boot ----

TEST(ServiceUnit, SystemdUnderstandsThem)
{
    if (access("/usr/bin/systemd-analyze", X_OK) != 0) GTEST_SKIP() << "no systemd-analyze";
    const fs::path directory = testing::TempDir() + "headwind-units-" + std::to_string(getpid());
    fs::create_directories(directory);
    for (const std::string unit : {"headwind-agent.service", "headwind@.service"}) {
        std::ifstream in(repository_file("tools/" + unit + ".in"));
        std::string text{std::istreambuf_iterator<char>(in), {}};
        for (std::size_t at = 0; (at = text.find("@HEADWIND@")) != std::string::npos;)
            text.replace(at, 10, headwind_binary());
        std::ofstream(directory / unit) << text;
    }
    fs::copy_file(directory / "headwind@.service", directory / "headwind@lab.service");
    const auto output = run(nullptr, {"systemd-analyze", "verify", "--man=no", directory / "headwind-agent.service",
                                      directory / "headwind@lab.service"});
    fs::remove_all(directory);
    if (output.err.find("Failed to initialize manager") != std::string::npos) GTEST_SKIP() << output.err;
    EXPECT_EQ(output.status, 0) << output.err;
    EXPECT_EQ(output.out + output.err, "");
}

// Runs the commands of ExecStart, ExecReload and ExecStop with no more than the capabilities of the unit.
TEST_F(Apply, TheCapabilitiesOfTheUnitAreEnough)
{
    std::ifstream in(repository_file("tools/headwind@.service.in"));
    std::string capabilities = "-all";
    std::vector<std::string> commands;
    for (std::string text; std::getline(in, text);) {
        if (text.starts_with("CapabilityBoundingSet="))
            for (const auto& name : words(text.substr(text.find('=') + 1))) {
                capabilities += ",+";
                for (const char letter : name.substr(4)) capabilities += static_cast<char>(std::tolower(letter));
            }
        for (const std::string key : {"ExecStart=", "ExecReload=", "ExecStop="})
            if (text.starts_with(key)) commands.push_back(text.substr(text.find(' ') + 1));
    }
    ASSERT_EQ(commands.size(), 3U);
    declare(two);
    for (auto& command : commands) {
        command.replace(command.find("/etc/headwind/%i.rules"), 22, file());
        expect_ok(run(&a(), words("setpriv --no-new-privs --bounding-set " + capabilities + " " + headwind_binary() +
                                  " " + command)),
                  command);
        EXPECT_EQ(names_of(a()).size(), command.find("--remove") == std::string::npos ? 2U : 0U);
    }
}

}  // namespace
}  // namespace headwind::test::apply_test

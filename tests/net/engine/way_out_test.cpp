// SPDX-License-Identifier: MIT
// Tests the ways out of any damage to the pins: messages, `panic` and `clear --all`.
//
// Nobody is told that there are no rules while traffic is impaired, `panic` works or says that it does not,
// and `clear --all` needs nothing but the devices.
#include "net_test.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <filesystem>
#include <functional>

#include <bpf/bpf.h>

#include "datapath/link.h"

namespace headwind::test::way_out_test {
namespace {

namespace fs = std::filesystem;

using testing::HasSubstr;

constexpr const char* mount_point = "/sys/fs/bpf";

struct Damage {
    const char* name;
    std::function<void(const std::string&instance)> done, undone;
    bool to_all = false;  // the old values of sysctls are lost, too
};

void PrintTo(const Damage& damage, std::ostream* out)
{
    *out << damage.name;
}

void nothing(const std::string&)
{
}

void unmount(const std::string&)
{
    ASSERT_EQ(umount2(mount_point, MNT_DETACH), 0) << std::strerror(errno);
}

void mount_anew(const std::string&)
{
    umount2(mount_point, MNT_DETACH);  // a command may have mounted one
    ASSERT_EQ(mount("bpf", mount_point, "bpf", 0, "mode=0700"), 0) << std::strerror(errno);
}

void uncover(const std::string&)
{
    for (int i = 0; i < 2; ++i) umount2(mount_point, MNT_DETACH);
    ASSERT_EQ(mount("bpf", mount_point, "bpf", 0, "mode=0700"), 0) << std::strerror(errno);
}

void make_abi_foreign(const std::string& instance)
{
    const Fd map(bpf_obj_get((instance + "/control").c_str()));
    auto control = map_global<hw_control>(map, "control", Access::change);
    ASSERT_TRUE(control) << control.error().message;
    (*control)->abi = HW_ABI_VERSION + 1;
}

const Damage damages[] = {
    {"AllPins", [](const std::string& instance) { fs::remove_all(fs::path(instance).parent_path()); }, nothing, true},
    {"InstanceDirectory", [](const std::string& instance) { fs::remove_all(instance); }, nothing, true},
    {"Links", [](const std::string& instance) { fs::remove_all(instance + "/links"); }, nothing},
    {"Unmounted", unmount, mount_anew, true},
    {"CoveredByAnother",
     [](const std::string&) { ASSERT_EQ(mount("tests", mount_point, "tmpfs", 0, ""), 0) << std::strerror(errno); },
     uncover},
    {"CoveredByAnotherBpfFileSystem",
     [](const std::string&) { ASSERT_EQ(mount("bpf", mount_point, "bpf", 0, "mode=0700"), 0) << std::strerror(errno); },
     uncover},
    {"ReadOnly",
     [](const std::string&) {
         ASSERT_EQ(mount(nullptr, mount_point, nullptr, MS_REMOUNT | MS_RDONLY, "mode=0700"), 0)
             << std::strerror(errno);
     },
     [](const std::string&) {
         ASSERT_EQ(mount(nullptr, mount_point, nullptr, MS_REMOUNT, "mode=0700"), 0) << std::strerror(errno);
     }},
    {"AbiOfAnotherVersion", make_abi_foreign, nothing, true},
};

class WayOut : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    std::string instance() const { return fmt::format("{}/{}", pins, a().inode()); }
    // Adds rules in both directions, with the line, and one at lo, which changes sysctls.
    void add_rules(bool lo = true) const
    {
        change(a(), "add --name out --dev va --loss 100% --proto udp --direction both");
        if (lo) change(a(), "add --name lo --dev lo --partition --proto tcp");
        EXPECT_EQ(arrive({.count = 20}), 0U);
    }
    bool is_impaired() const { return arrive({.count = 20}) == 0; }

    // Expects, after some damage, that commands say so instead of claiming that there are no rules.
    void expect_told() const
    {
        bool impaired = is_impaired();
        const auto list = headwind(a(), "list");
        const auto all = list.out + list.err;
        EXPECT_TRUE(list.status == 0 || all.find("clear --all") != std::string::npos) << all;
        const auto doctor = headwind(a(), "doctor").out;
        impaired = impaired && is_impaired();  // the kernel takes a link that lost its pin off a moment later
        EXPECT_FALSE(impaired && all.find("no rules") != std::string::npos) << "while 100% are lost";
        EXPECT_FALSE(impaired && doctor.find("none in this network namespace") != std::string::npos) << doctor;
        if (impaired && list.status != 0) {
            const auto added = headwind(a(), "add --name more --dev va --partition --proto tcp");
            EXPECT_NE(added.status, 0) << "beside programs that nobody can see";
            EXPECT_THAT(added.err, HasSubstr("clear --all"));
        }
    }
    void expect_panic_works_or_says_so() const
    {
        const bool impaired = is_impaired();
        const auto panic = headwind(a(), "panic");
        EXPECT_FALSE(panic.status == 0 && is_impaired()) << panic.out << panic.err;
        EXPECT_FALSE(impaired && panic.status == 0 && panic.out.find("no rules") != std::string::npos) << panic.out;
        headwind(a(), "panic --off");
        EXPECT_EQ(is_impaired(), impaired);
    }
    void expect_way_out(bool pins_may_stay = false) const
    {
        const auto cleared = headwind(a(), "clear --all");
        if (!pins_may_stay) expect_ok(cleared);
        EXPECT_FALSE(is_impaired()) << cleared.out << cleared.err;
        expect_footprint(a(), before_);
    }
    void expect_nothing_left() const
    {
        expect_footprint(a(), before_);
        EXPECT_FALSE(fs::exists(pins));
        EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
        add_rules();
        change(a(), "clear");
    }

private:
    std::string before_;
};

RUNS_IN("WayOut*:*/WayOutOf*", native, linux_6_12 | linux_6_1 | sanitized);

class WayOutOf : public WayOut, public testing::WithParamInterface<Damage> {};

// These tests also run on Linux 6.1, where filters at clsact outlive the pins.
RUNS_IN("*/WayOutOf.*/AllPins", native | linux_6_1, linux_6_12 | sanitized);

INSTANTIATE_TEST_SUITE_P(Damages, WayOutOf, testing::ValuesIn(damages), [](const auto& one) { return one.param.name; });

TEST_P(WayOutOf, LeavesHealthyTraffic)
{
    add_rules(!GetParam().to_all);
    const auto instance = this->instance();
    GetParam().done(instance);
    expect_told();
    expect_panic_works_or_says_so();
    const bool read_only = std::string(GetParam().name) == "ReadOnly";
    if (std::string(GetParam().name) == "AbiOfAnotherVersion" && !kernel_has_tcx()) {
        change(a(), "clear --all");  // the clsact may stay: nobody can tell whose it is
        EXPECT_FALSE(is_impaired());
        return;
    }
    expect_way_out(read_only);
    GetParam().undone(instance);
    if (read_only) change(a(), "clear --all");
    expect_nothing_left();
}

// Each pin is removed alone.
TEST_F(WayOut, OfEachPinThatIsGone)
{
    add_rules();
    std::vector<std::string> names{"../host"};
    for (const auto& entry : fs::directory_iterator(instance()))
        if (entry.path().filename() != "links") names.push_back(entry.path().filename());
    EXPECT_GE(names.size(), 18U);
    change(a(), "clear");
    for (const auto& name : names) {
        SCOPED_TRACE(name);
        add_rules();
        ASSERT_EQ(unlink((instance() + "/" + name).c_str()), 0);
        expect_told();
        expect_panic_works_or_says_so();
        expect_way_out();
        EXPECT_FALSE(fs::exists(pins));
    }
    expect_nothing_left();
}

// ---- namespaces ----------------------------------------------------------------------------------------------------

// Only an open descriptor holds the namespace, and neither mount nor process names it. Its rules live.
TEST_F(WayOut, ANamespaceThatOnlyADescriptorHoldsIsNotSwept)
{
    Fd netns;
    std::string error;
    {
        const Namespace here("short");
        netns = Fd(open(here.path().c_str(), O_RDONLY | O_CLOEXEC));
        change(here, "add --name cut --dev lo --partition --proto udp");
        umount2(here.path().c_str(), MNT_DETACH);  // else ~Namespace() would clear it
    }
    ASSERT_TRUE(netns);
    change(a(), "add --name sweeps --dev va --partition --proto tcp");
    Process list(netns.get(), {headwind_binary(), "list"}, {});
    EXPECT_THAT(list.wait().out, HasSubstr("cut"));
    Process clear(netns.get(), {headwind_binary(), "clear"}, {});
    expect_ok(clear.wait());
    change(a(), "clear");
}

TEST_F(WayOut, EverywhereIsEveryNamespaceAndAnyoneIsEveryOwner)
{
    change(a(), "add --name mine --dev va --partition --proto udp");
    change(a(), "add --name hers --owner her --dev va --partition --proto tcp");
    change(b(), "add --name other --dev vb --partition --proto tcp");
    const auto list = headwind(a(), "list --everywhere");
    for (const char* name : {"mine", "hers", "other"}) EXPECT_THAT(list.out, HasSubstr(name));
    EXPECT_THAT(headwind(a(), "stats --everywhere").out, HasSubstr("other"));
    EXPECT_EQ(parse_json(headwind(a(), "stats --everywhere --json"))["namespaces"].size(), 2U);
    const auto own = change(a(), "clear --everywhere");
    EXPECT_THAT(own.err, HasSubstr("hers stays, it is of her"));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("hers"));
    EXPECT_THAT(headwind(b(), "list").out, testing::StartsWith("no rules here\n"));
    // It works without pins, too.
    fs::remove_all(fmt::format("{}/{}", pins, a().inode()));
    change(a(), "clear --everywhere --anyone");
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

// ---- panic ---------------------------------------------------------------------------------------------------------

TEST_F(WayOut, PanicCanBePressedBeforeThereAreRules)
{
    EXPECT_THAT(change(a(), "panic").out, HasSubstr("none can be added"));
    for (const std::string command : {"add --name cut --dev va --partition", "run --partition --dev va -- true"}) {
        const auto refused = headwind(a(), command);
        EXPECT_EQ(refused.status, command.starts_with("run") ? 125 : 1) << command;
        EXPECT_THAT(refused.err, HasSubstr("panic is on")) << command;
    }
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("panic is on"));
    change(a(), "panic --off");
    EXPECT_FALSE(fs::exists(pins));
    change(a(), "add --name cut --dev va --partition --proto udp");
    EXPECT_TRUE(is_impaired());
    change(a(), "clear");
}

TEST_F(WayOut, PanicOutlivesTheLastRule)
{
    change(a(), "add --name cut --dev va --partition --proto udp");
    change(a(), "panic");
    EXPECT_FALSE(is_impaired());
    EXPECT_THAT(headwind(a(), "stats").out, HasSubstr("panic is on"));
    EXPECT_THAT(change(a(), "change cut --proto tcp").err, HasSubstr("panic is on"));
    change(a(), "clear");
    EXPECT_EQ(headwind(a(), "add --name cut --dev va --partition").status, 1);
    change(a(), "panic --off");
    EXPECT_FALSE(fs::exists(pins));
}

}  // namespace
}  // namespace headwind::test::way_out_test

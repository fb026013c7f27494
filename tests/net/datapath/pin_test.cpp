// SPDX-License-Identifier: MIT
// Tests that foreign objects in the place of pins are refused by name, with advice, and that nothing is changed.
#include "net_test.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <bpf/bpf.h>

namespace headwind::test::pin_test {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr uid_t nobody = 65534;

// All commands that read or change rules.
const std::vector<std::string> every_command{"list --all",
                                             "stats",
                                             "add --name two --dev va --partition",
                                             "change cut --loss 1%",
                                             "del cut",
                                             "clear --all",
                                             "panic",
                                             "upgrade",
                                             "run --loss 1% -- true"};

// Tests with a rule that cuts off UDP from a to b.
class Pin : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        change(a(), "add --name cut --dev va --partition --proto udp");
        expect_cut();
    }
    void TearDown() override
    {
        if (IsSkipped()) return;
        change(a(), "clear --all");
        EXPECT_FALSE(fs::exists(pins));
        PairTest::TearDown();
    }
    std::string directory() const { return fmt::format("{}/{}", pins, a().inode()); }
    std::string pin(const std::string& name) const { return directory() + "/" + name; }
    // Expects that a panic has stopped the impairment, whatever is where the pins should be, and ends it with this
    // status.
    void end_panic(int status) const
    {
        EXPECT_EQ(arrive({.count = 20}), 20U);
        EXPECT_EQ(headwind(a(), "panic --off").status, status);
        expect_cut();
    }
    void expect_cut() const { EXPECT_EQ(arrive({.count = 20}), 0U); }

    // Path, inode, mode and owner of all pins; links are not followed.
    static std::set<std::string> all_pins()
    {
        std::set<std::string> out;
        std::error_code error;
        for (const auto& entry : fs::recursive_directory_iterator("/sys/fs/bpf", error)) {
            struct stat info {};
            EXPECT_EQ(lstat(entry.path().c_str(), &info), 0);
            out.insert(fmt::format("{} {} {:o} {}", entry.path().string(), info.st_ino, info.st_mode, info.st_uid));
        }
        return out;
    }

    // Expects that every command is refused with this path and these words. (Commands that only read open no programs:
    // without `by_lookers` they are left out.)
    void expect_refused(const std::string& path, const std::string& words, bool by_lookers = true, int status = 4) const
    {
        const auto before = all_pins();
        const auto devices = footprint(a());
        for (const auto& command : every_command) {
            if (command == "clear --all") continue;  // see WayOut
            const bool looks = command == "list --all" || command == "stats" || command == "panic";
            if (looks && !by_lookers) continue;
            // `panic` opens only what all instances share.
            if (command == "panic" && path.starts_with(directory())) continue;
            const auto output = headwind(a(), command);
            if (command == "panic") end_panic(status);
            EXPECT_EQ(output.status, command.starts_with("run") ? 125 : status) << command << "\n" << output.out;
            EXPECT_THAT(output.err,
                        AllOf(HasSubstr(path), HasSubstr(words), AnyOf(HasSubstr("rm "), HasSubstr("clear --all"))))
                << command;
            if (status != 4) continue;
            EXPECT_THAT(output.err, ContainsRegex("owner: user (0|65534), mode [0-7]{4}")) << command;
        }
        EXPECT_EQ(all_pins(), before);
        EXPECT_EQ(footprint(a()), devices);
        expect_cut();
    }
};

// Moves a pin to another place as long as this lives.
class Aside {
public:
    explicit Aside(std::string path) : path_(std::move(path)) { EXPECT_EQ(rename(path_.c_str(), aside().c_str()), 0); }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;
    ~Aside()
    {
        std::error_code error;
        fs::remove_all(path_, error);
        if (fs::exists(fs::path(path_).parent_path()))
            EXPECT_EQ(rename(aside().c_str(), path_.c_str()), 0);
        else
            fs::remove_all(aside(), error);  // its directory was cleared meanwhile
    }
    static std::string aside() { return "/sys/fs/bpf/aside"; }

private:
    std::string path_;
};

Fd make_map(bpf_map_type type, std::size_t key, std::size_t value)
{
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = type == BPF_MAP_TYPE_ARRAY ? BPF_F_MMAPABLE : 0;
    return Fd(bpf_map_create(type, "hostile", static_cast<__u32>(key), static_cast<__u32>(value), 1, &options));
}

Fd make_program(bpf_prog_type type)
{
    bpf_insn code[2] = {};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    code[1].code = BPF_JMP | BPF_EXIT;
    return Fd(bpf_prog_load(type, "hostile", "GPL", code, 2, nullptr));
}

RUNS_IN("Pin.*:*/PinDecoy.*", native, sanitized);
RUNS_IN("Modes/PinDecoy.*/Mode700", nowhere, native | sanitized);

TEST_F(Pin, ARootThatIsASymbolicLinkIsNotFollowed)
{
    const Aside moved(pins);
    ASSERT_EQ(symlink(Aside::aside().c_str(), pins), 0);
    expect_refused(pins, "is a symbolic link");
}

TEST_F(Pin, AnInstanceThatIsASymbolicLinkIsNotFollowed)
{
    const Aside moved(directory());
    ASSERT_EQ(symlink(Aside::aside().c_str(), directory().c_str()), 0);
    expect_refused(directory(), "is a symbolic link");
}

TEST_F(Pin, LinksThatAreASymbolicLinkAreNotFollowed)
{
    const Aside moved(pin("links"));
    ASSERT_EQ(symlink(Aside::aside().c_str(), pin("links").c_str()), 0);
    expect_refused(pin("links"), "is a symbolic link");
}

TEST_F(Pin, AnotherOwnersDirectoriesAreNotTrusted)
{
    for (const auto& path : {std::string(pins), directory(), pin("links")}) {
        ASSERT_EQ(chown(path.c_str(), nobody, 0), 0);
        expect_refused(path, "belongs to user 65534");
        ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
    }
}

TEST_F(Pin, DirectoriesThatOthersCanWriteToAreNotTrusted)
{
    for (const auto& path : {std::string(pins), directory(), pin("links")})
        for (const mode_t mode : {0720U, 0702U, 01777U}) {
            ASSERT_EQ(chmod(path.c_str(), mode), 0);
            expect_refused(path, fmt::format("mode {:04o}", mode));
            ASSERT_EQ(chmod(path.c_str(), 0700), 0);
        }
}

TEST_F(Pin, AMapOfAnotherShapeIsNotRead)
{
    const struct {
        const char* name;
        bpf_map_type type;
        std::size_t key, value;
    } wrong[] = {{"control", BPF_MAP_TYPE_ARRAY, 4, 2 * sizeof(__u32)},
                 {"control", BPF_MAP_TYPE_ARRAY, 4, sizeof(hw_control) + 4096},
                 {"control", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8},
                 {"control", BPF_MAP_TYPE_HASH, 4, sizeof(hw_control)},
                 {"texts", BPF_MAP_TYPE_HASH, sizeof(hw_text_key), 65536},
                 {"rules", BPF_MAP_TYPE_HASH, 64, sizeof(hw_lease)},
                 {"leases", BPF_MAP_TYPE_PERCPU_HASH, 4, sizeof(hw_lease)},
                 {"cpu_states", BPF_MAP_TYPE_HASH, sizeof(hw_state_key), sizeof(hw_cpu_state)},
                 {"held", BPF_MAP_TYPE_ARRAY, 4, 4},
                 {"../host", BPF_MAP_TYPE_ARRAY, 4, 4}};
    for (const auto& [name, type, key, value] : wrong) {
        SCOPED_TRACE(fmt::format("{} {} {} {}", name, static_cast<int>(type), key, value));
        const auto path = std::string(name) == "../host" ? std::string(pins) + "/host" : pin(name);
        const Aside moved(path);
        const auto map = make_map(type, key, value);
        ASSERT_TRUE(map) << std::strerror(errno);
        // The first word of a control map is the ABI version.
        if (std::string(name) == "control" && type == BPF_MAP_TYPE_ARRAY) {
            std::vector<char> bytes(value);
            const __u32 zero = 0, abi = HW_ABI_VERSION;
            std::memcpy(bytes.data(), &abi, sizeof(abi));
            ASSERT_EQ(bpf_map_update_elem(map.get(), &zero, bytes.data(), BPF_ANY), 0);
        }
        ASSERT_EQ(bpf_obj_pin(map.get(), path.c_str()), 0) << std::strerror(errno);
        expect_refused(path, "a map of another shape");
    }
}

TEST_F(Pin, ClassesOfPortsOfAnotherSizeAreNotWritten)
{
    const Aside moved(pin("port_classes"));
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4096);
    ASSERT_EQ(bpf_obj_pin(map.get(), pin("port_classes").c_str()), 0);
    expect_refused(pin("port_classes"), "a map of another shape", false);
}

TEST_F(Pin, WhatIsNoMapIsNotRead)
{
    const auto program = make_program(BPF_PROG_TYPE_SCHED_CLS);
    for (const auto& path : {pin("control"), pin("texts"), std::string(pins) + "/host"}) {
        SCOPED_TRACE(path);
        const Aside moved(path);
        ASSERT_EQ(bpf_obj_pin(program.get(), path.c_str()), 0);
        expect_refused(path, "is a BPF program, not a map of Headwind's");
        ASSERT_EQ(unlink(path.c_str()), 0);
        ASSERT_EQ(symlink(Aside::aside().c_str(), path.c_str()), 0);
        expect_refused(path, "is a symbolic link, not a map of Headwind's");
        ASSERT_EQ(unlink(path.c_str()), 0);
        ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
        expect_refused(path, "is a directory, not a map of Headwind's");
    }
    const Aside moved(pin("texts"));
    expect_refused(pin("texts"), "is not there", true, 1);
}

TEST_F(Pin, WhatIsNotItsProgramIsNotAttached)
{
    const Aside moved(pin("egress"));
    const auto other = make_program(BPF_PROG_TYPE_SOCKET_FILTER);
    ASSERT_EQ(bpf_obj_pin(other.get(), pin("egress").c_str()), 0);
    expect_refused(pin("egress"), "is a program of another type", false);
    ASSERT_EQ(unlink(pin("egress").c_str()), 0);
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4);
    ASSERT_EQ(bpf_obj_pin(map.get(), pin("egress").c_str()), 0);
    expect_refused(pin("egress"), "is a BPF map, not a program", false);
}

// A pin that stands in the place of a link, but is at no hook of ours, is replaced.
TEST_F(Pin, AMapInThePlaceOfALinkIsReplaced)
{
    const auto path = fmt::format("{}/links/{}-egress", directory(), device_index(a(), "va"));
    if (!fs::exists(path)) GTEST_SKIP() << "this kernel has no tcx links";
    ASSERT_EQ(unlink(path.c_str()), 0);
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4);
    ASSERT_EQ(bpf_obj_pin(map.get(), path.c_str()), 0);
    EXPECT_EQ(rule_of(a(), "cut")["state"], "not effective");
    change(a(), "add --name other --dev va --partition --proto tcp");
    EXPECT_EQ(rule_of(a(), "cut")["state"], "live");
    expect_cut();
}

TEST_F(Pin, WhatIsRefusedIsClearedAsItSays)
{
    const Aside moved(pin("held"));
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4);
    ASSERT_EQ(bpf_obj_pin(map.get(), pin("held").c_str()), 0);
    EXPECT_THAT(headwind(a(), "list").err, HasSubstr("`headwind clear --all`"));
    change(a(), "clear --all");
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

// A symbolic link among the instances is no instance, and what it leads to is not removed.
TEST_F(Pin, ASymbolicLinkBesideTheInstancesIsLeftAlone)
{
    const std::string elsewhere = "/sys/fs/bpf/elsewhere", link = std::string(pins) + "/1234567";
    ASSERT_EQ(mkdir(elsewhere.c_str(), 0700), 0);
    ASSERT_EQ(symlink(elsewhere.c_str(), link.c_str()), 0);
    change(a(), "add --name two --dev va --partition --proto tcp");
    EXPECT_TRUE(fs::is_symlink(link));
    change(a(), "clear");
    EXPECT_FALSE(fs::exists(directory()));
    EXPECT_FALSE(fs::exists(std::string(pins) + "/host")) << "no instance is left";
    EXPECT_TRUE(fs::is_symlink(link)) << "Headwind did not make it";
    EXPECT_TRUE(fs::exists(elsewhere));
    ASSERT_EQ(unlink(link.c_str()), 0);
    ASSERT_EQ(rmdir(elsewhere.c_str()), 0);
    ASSERT_EQ(rmdir(pins), 0);
}

// A removal that was killed after its first step leaves no instance, and the next command tidies up.
TEST_F(Pin, AnInstanceWithoutControlIsUnfinished)
{
    change(a(), "clear");
    ASSERT_EQ(mkdir(pins, 0700), 0);
    ASSERT_EQ(mkdir(directory().c_str(), 0700), 0);
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4);
    ASSERT_EQ(bpf_obj_pin(map.get(), pin("texts").c_str()), 0);
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    change(a(), "add --name cut --dev va --partition --proto udp");
    expect_cut();
}

// ---- links and directories of others lead elsewhere: nothing is followed, written to or removed ---------------------

// A tree of files outside of the BPF file system that looks like Headwind's pins.
class Decoy {
public:
    explicit Decoy(const std::string& instance) : path_(testing::TempDir() + "decoy")
    {
        for (const auto& folder :
             {std::string(), instance + "/links", std::string("4026531840/links"), std::string("links")})
            fs::create_directories(path_ + "/" + folder);
        for (const auto& file : {instance + "/control", instance + "/links/2-egress", std::string("host"),
                                 std::string("control"), std::string("links/2-egress"), std::string("precious")})
            std::ofstream(path_ + "/" + file) << "do not touch\n";
        EXPECT_EQ(chown(path_.c_str(), nobody, nobody), 0);
        before_ = snapshot();
    }
    Decoy(const Decoy&) = delete;
    Decoy& operator=(const Decoy&) = delete;
    ~Decoy()
    {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    const std::string& path() const { return path_; }
    void expect_untouched() const { EXPECT_EQ(snapshot(), before_); }

private:
    std::vector<std::string> snapshot() const
    {
        std::vector<std::string> out;
        for (const auto& entry : fs::recursive_directory_iterator(path_)) {
            struct stat info {};
            EXPECT_EQ(lstat(entry.path().c_str(), &info), 0);
            out.push_back(fmt::format("{} {} {:o} {} {} {}.{}", entry.path().string(), info.st_ino, info.st_mode,
                                      info.st_uid, info.st_size, info.st_ctim.tv_sec, info.st_ctim.tv_nsec));
        }
        std::ranges::sort(out);
        return out;
    }
    std::string path_;
    std::vector<std::string> before_;
};

class PinDecoy : public Pin, public testing::WithParamInterface<mode_t> {
protected:
    void SetUp() override
    {
        Pin::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        ASSERT_EQ(chmod("/sys/fs/bpf", GetParam()), 0);
    }
    void TearDown() override
    {
        EXPECT_EQ(chmod("/sys/fs/bpf", 0700), 0);
        Pin::TearDown();
    }
    // Expects that each command refuses `path`, and that it changes neither pins nor decoy.
    void expect_harmless(const std::string& path, const Decoy& decoy, const std::vector<std::string>& commands) const
    {
        const auto before = all_pins();
        for (const auto& command : commands) {
            if (command == "clear --all") continue;
            // `panic` opens only what all instances share.
            if (command == "panic" && path.starts_with(directory())) continue;
            const auto output = headwind(a(), command);
            if (command == "panic") end_panic(4);
            decoy.expect_untouched();
            EXPECT_EQ(all_pins(), before) << command;
            EXPECT_THAT(output.err, Not(HasSubstr("Sanitizer"))) << command;
            EXPECT_EQ(output.status, command.starts_with("run") ? 125 : 4) << command << "\n"
                                                                           << output.out << output.err;
            EXPECT_THAT(output.err, AllOf(HasSubstr(path), HasSubstr("owner: user 65534, mode "))) << command;
        }
        expect_cut();
    }
    // Expects that `clear --all` takes everything off devices and removes Headwind's pins, but not what a link leads
    // to.
    void expect_cleared(const std::string& path, const Decoy& decoy) const
    {
        const auto output = headwind(a(), "clear --all");
        decoy.expect_untouched();
        EXPECT_EQ(arrive({.count = 20}), 20U);
        EXPECT_THAT(output.err, Not(HasSubstr("Sanitizer")));
        EXPECT_TRUE(output.status == 0 || output.err.find(path) != std::string::npos) << output.err;
        EXPECT_THAT(output.status, AnyOf(0, 1, 4)) << output.err;
    }
    void begin_again() const
    {
        change(a(), "clear --all");
        change(a(), "add --name cut --dev va --partition --proto udp");
        expect_cut();
    }
    std::vector<std::string> opened_pins() const
    {
        std::vector<std::string> out{std::string(pins) + "/host"};
        for (const char* name : {"control", "held", "entries", "rules", "leases", "stops", "shares", "states",
                                 "cpu_states", "texts", "timelines"})
            out.push_back(pin(name));
        return out;
    }
    // Replaces each pin and directory that commands open, one after the other, by what `put` puts there, with another
    // owner.
    void at_each_place(const std::function<void(const std::string&, const Decoy&)>& put) const
    {
        const Decoy decoy(std::to_string(a().inode()));
        auto places = opened_pins();
        places.insert(places.begin(), {std::string(pins), directory(), pin("links")});
        for (const auto& path : places) {
            SCOPED_TRACE(path);
            begin_again();
            const Aside moved(path);
            put(path, decoy);
            ASSERT_EQ(lchown(path.c_str(), nobody, nobody), 0);
            expect_harmless(path, decoy, every_command);
            expect_cleared(path, decoy);
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Modes, PinDecoy, testing::Values(0700, 01777),
                         [](const auto& one) { return fmt::format("Mode{:o}", one.param); });

TEST_P(PinDecoy, LinksOfOthersAreNotFollowed)
{
    at_each_place([this](const std::string& path, const Decoy& decoy) {
        const auto target = path == directory() ? decoy.path() + "/" + std::to_string(a().inode()) : decoy.path();
        ASSERT_EQ(symlink(target.c_str(), path.c_str()), 0);
    });
}

TEST_P(PinDecoy, DirectoriesOfOthersAreNotEntered)
{
    at_each_place([](const std::string& path, const Decoy& decoy) {
        ASSERT_EQ(mkdir(path.c_str(), 0777), 0);
        for (const auto* inner : {"/links", "/host", "/1234567"})
            ASSERT_EQ(symlink(decoy.path().c_str(), (path + inner).c_str()), 0);
    });
}

TEST_P(PinDecoy, MapsOfEachOtherTypeAreNotRead)
{
    const Decoy decoy(std::to_string(a().inode()));
    unsigned made = 0;
    for (__u32 type = BPF_MAP_TYPE_HASH; type <= BPF_MAP_TYPE_BLOOM_FILTER; ++type) {
        const std::pair<std::string, std::size_t> places[] = {{pin("control"), sizeof(hw_control)},
                                                              {std::string(pins) + "/host", sizeof(hw_host)},
                                                              {pin("rules"), sizeof(hw_rule)},
                                                              {pin("cpu_states"), sizeof(hw_cpu_state)},
                                                              {pin("timelines"), 4}};
        for (const auto& [path, value] : places) {
            const auto map = make_map(static_cast<bpf_map_type>(type), 4, value);
            if (!map) continue;  // this type takes other sizes
            const bool right = (type == BPF_MAP_TYPE_HASH && path == pin("rules")) || (type == BPF_MAP_TYPE_ARRAY);
            if (right) continue;
            SCOPED_TRACE(fmt::format("type {} at {}", type, path));
            const Aside moved(path);
            ASSERT_EQ(bpf_obj_pin(map.get(), path.c_str()), 0) << std::strerror(errno);
            ASSERT_EQ(chown(path.c_str(), nobody, nobody), 0);
            expect_harmless(path, decoy, {"list", "clear", "del cut"});
            ++made;
        }
    }
    EXPECT_GE(made, 20U);
}

// A pin root of another user takes the place of root's, where that is possible. Root's rules stay in force, and no
// command says that there are none.
TEST_P(PinDecoy, AnotherPinRootHidesNothing)
{
    const Decoy decoy(std::to_string(a().inode()));
    const Aside moved(pins);
    ASSERT_EQ(mkdir(pins, 0755), 0);
    ASSERT_EQ(chown(pins, nobody, nobody), 0);
    for (const std::string command : {"list", "list --json", "stats", "clear", "panic", "list --all"}) {
        const auto output = headwind(a(), command);
        if (command == "panic") end_panic(4);
        EXPECT_EQ(output.status, 4) << command << output.out;
        EXPECT_THAT(output.err, AllOf(HasSubstr(pins), HasSubstr("belongs to user 65534"))) << command;
    }
    expect_cut();
}

TEST_F(Pin, TheAgentTakesNobodyElsesClaim)
{
    const std::string claim = "/sys/fs/bpf/headwind-agent";
    const auto refused = [&](const std::string& words) {
        const auto output = run(&a(), {headwind_binary(), "agent"}, {}, std::chrono::seconds(20));
        EXPECT_EQ(output.status, 4) << output.out;
        EXPECT_THAT(output.err, AllOf(HasSubstr(claim), HasSubstr(words)));
    };
    ASSERT_EQ(mkdir(Aside::aside().c_str(), 0700), 0);
    ASSERT_EQ(symlink(Aside::aside().c_str(), claim.c_str()), 0);
    refused("is a symbolic link");
    ASSERT_EQ(unlink(claim.c_str()), 0);
    ASSERT_EQ(rmdir(Aside::aside().c_str()), 0);

    ASSERT_EQ(mkdir(claim.c_str(), 0700), 0);
    ASSERT_EQ(chown(claim.c_str(), nobody, 0), 0);
    refused("belongs to user 65534");
    // Nor do commands that need an agent take it for one.
    const Fd held(open(claim.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
    EXPECT_THAT(headwind(a(), "add --name x --dev va --partition --port 1 --stop-if false").err,
                HasSubstr("none runs here"));
    ASSERT_EQ(rmdir(claim.c_str()), 0);
}

}  // namespace
}  // namespace headwind::test::pin_test

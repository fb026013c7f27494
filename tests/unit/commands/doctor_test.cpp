// SPDX-License-Identifier: MIT
// Tests what doctor says of kernel, privileges, programs and rules, and its exit code.
#include "commands/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace headwind::doctor_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::uint64_t all_capabilities = 0x1fffeffffff;

TEST(DoctorKernel, OldestIs61)
{
    EXPECT_EQ(check_kernel("6.1.0-31-amd64").status, CheckStatus::ok);
    EXPECT_EQ(check_kernel("6.18.44-fc-v657").status, CheckStatus::ok);
    EXPECT_EQ(check_kernel("10.0").status, CheckStatus::ok);
    EXPECT_EQ(check_kernel("6.0.19").status, CheckStatus::no);
    EXPECT_EQ(check_kernel("5.15.0-91-generic").lacks, Lacks::everything);
    EXPECT_EQ(check_kernel("6").status, CheckStatus::note);
    EXPECT_EQ(check_kernel("").status, CheckStatus::note);
}

TEST(DoctorPrivileges, AreReadFromTheStatusFile)
{
    EXPECT_EQ(effective_capabilities("Name:\tx\nCapPrm:\tff\nCapEff:\t000001fffeffffff\nCapBnd:\t0\n"),
              all_capabilities);
    EXPECT_EQ(effective_capabilities("Name:\tx\nCapPrm:\tff\n"), std::nullopt);
    EXPECT_EQ(effective_capabilities("Name:\tx\nCapEff:\t"), std::nullopt);
}

TEST(DoctorPrivileges, NamesTheMissingOnes)
{
    EXPECT_THAT(missing_capabilities(all_capabilities), IsEmpty());
    EXPECT_THAT(missing_capabilities(0), ElementsAre("CAP_BPF", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"));
    EXPECT_THAT(missing_capabilities(1ULL << 12), ElementsAre("CAP_BPF", "CAP_SYS_ADMIN"));
    const auto check = check_privileges(1ULL << 12 | 1ULL << 21);
    EXPECT_EQ(check.lacks, Lacks::privilege);
    EXPECT_THAT(check.detail, HasSubstr("CAP_BPF"));
    EXPECT_THAT(check.detail, Not(HasSubstr("CAP_NET_ADMIN")));
}

TEST(DoctorFailedProbe, LacksPrivilegesIfThatIsWhatItSays)
{
    EXPECT_EQ(check_failed("x", Lacks::time, {ErrorKind::permission, "no"}).lacks, Lacks::privilege);
    EXPECT_EQ(check_failed("x", Lacks::time, {ErrorKind::failed, "no"}).lacks, Lacks::time);
    EXPECT_EQ(check_failed("x", Lacks::time, {ErrorKind::failed, "no"}).status, CheckStatus::no);
}

TEST(DoctorPrograms, TellsForeignFromOwn)
{
    EXPECT_EQ(check_hook_programs({}).status, CheckStatus::ok);
    const auto own = check_hook_programs({{"eth0", "egress", "egress (program 7)", true}});
    EXPECT_EQ(own.status, CheckStatus::ok);
    EXPECT_THAT(own.detail, HasSubstr("own on eth0"));
    const auto both = check_hook_programs(
        {{"eth0", "egress", "egress (program 7)", true}, {"eth1", "ingress", "cil_from_netdev (program 3)", false}});
    EXPECT_EQ(both.status, CheckStatus::note);
    EXPECT_EQ(both.detail, "eth1 ingress: cil_from_netdev (program 3); Headwind's own on eth0");
    EXPECT_THAT(both.advice, HasSubstr("still run"));
}

TEST(DoctorRules, SaysSoIfPanicIsOn)
{
    EXPECT_EQ(check_instance({}).status, CheckStatus::ok);
    Snapshot all;
    all.exists = true;
    all.rules.resize(2);
    all.rules[1].state = RuleState::expired;
    EXPECT_EQ(check_instance(all).status, CheckStatus::ok);
    EXPECT_THAT(check_instance(all).detail, HasSubstr("2 in this network namespace, 1 live"));
    all.panic = true;
    EXPECT_EQ(check_instance(all).status, CheckStatus::note);
    EXPECT_THAT(check_instance(all).advice, HasSubstr("panic --off"));
}

TEST(DoctorRules, SaysWhatIsNotInForce)
{
    Snapshot all;
    all.exists = true;
    all.rules.resize(2);
    all.rules[1].record.rule.name = "slow";
    all.rules[1].state = RuleState::broken;
    all.rules[1].trouble = "headwind0 is down";
    const auto check = check_instance(all);
    EXPECT_EQ(check.status, CheckStatus::no);
    EXPECT_THAT(check.detail, HasSubstr("2 in this network namespace, 1 live"));
    EXPECT_THAT(check.detail, HasSubstr("; slow: headwind0 is down"));
    EXPECT_EQ(doctor_exit_code({check}), 5);
    EXPECT_EQ(conclusion({check}), "a rule is not in force: see what says no");
}

TEST(DoctorExitCode, IsOfWhatIsMissing)
{
    const auto fine = check_ok("a", "fine"), note = check_note("b", "so", "nothing to do");
    const auto no_fq = check_no("c", Lacks::time, "none", "boot another");
    const auto no_root = check_no("d", Lacks::privilege, "missing", "be root");
    const auto no_bpf = check_no("e", Lacks::everything, "none", "boot another");
    EXPECT_EQ(doctor_exit_code({fine, note}), 0);
    EXPECT_EQ(doctor_exit_code({fine, no_root}), 4);
    EXPECT_EQ(doctor_exit_code({no_fq, fine}), 5);
    EXPECT_EQ(doctor_exit_code({no_root, no_bpf}), 5);
    EXPECT_EQ(conclusion({fine, note}), "delay, rate, loss and partition work here");
    EXPECT_THAT(conclusion({fine, no_fq}), HasSubstr("loss and partition work here, delay and rate do not"));
    EXPECT_THAT(conclusion({no_root}), HasSubstr("privileges"));
    EXPECT_THAT(conclusion({no_fq, no_bpf}), HasSubstr("cannot work here"));
}

TEST(DoctorOutput, OneLineEach)
{
    EXPECT_EQ(format_check(check_ok("jit", "on"), false), "ok    jit         on");
    EXPECT_EQ(format_check(check_no("sch_fq", Lacks::time, "none", "boot another"), false),
              "no    sch_fq      none; boot another");
    EXPECT_THAT(format_check(check_ok("jit", "on"), true), HasSubstr("\033["));
}

TEST(DoctorOutput, Json)
{
    const auto json = to_json({check_ok("jit", "on"), check_no("sch_fq", Lacks::time, "none", "boot another")});
    EXPECT_EQ(json, nlohmann::json::parse(R"([
        {"check": "jit", "status": "ok", "detail": "on", "advice": ""},
        {"check": "sch_fq", "status": "no", "detail": "none", "advice": "boot another"}])"));
    EXPECT_EQ(to_json(std::vector<Check>{}).dump(), "[]");
}

}  // namespace
}  // namespace headwind::doctor_test

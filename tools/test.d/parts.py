# SPDX-License-Identifier: MIT
"""The parts of tools/test, in the order they are begun: what each runs, needs built, and takes of the machine.

Which of the net and guest tests run in which lane is said beside each test (tests/support/lane.h).
"""
import os
import subprocess
import tempfile

from jobs import Job
from results import Command, GoogleTest

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(REPO, "build")
RELEASE, ASAN = os.path.join(BUILD, "release"), os.path.join(BUILD, "asan")
NGINX, SSH = os.path.join(BUILD, "guest", "nginx"), os.path.join(BUILD, "ssh")
GUEST = os.path.join(REPO, "tools", "guest")
HEADWIND = {"HEADWIND": RELEASE + "/headwind", "HEADWIND_TESTING_BIN": RELEASE + "/headwind_testing"}

# name: (what it is, whether it takes long, whether it is a guest)
PARTS = {
    "unit": ("pure code and README's plots, no root", False, False),
    "style": ("clang-format, shellcheck, what may include what", False, False),
    "guest-6.12": ("the binary on Debian's 6.12, two CPUs", False, True),  # the longest begins first
    "guest-6.1": ("the binary on Debian's 6.1, two CPUs", False, True),
    "virtual": ("what is measured in time: Debian's 6.12 in virtual time", False, True),
    "prog": ("the BPF programs alone (BPF_PROG_TEST_RUN)", False, False),
    "net": ("the binary, on this kernel", False, False),
    "lint": ("clang-tidy", True, False),
    "install": ("what is installed works without the build folder", False, False),
    "verify": ("`headwind verify` on 6.12 and 6.1", True, True),
    "lockdown": ("a kernel that is locked down: 6.12 and 6.1", True, True),
    "bed": ("the guest itself: virtual time is exact and repeats", True, True),
    "asan": ("unit and net tests, user space built with the sanitizers", True, False),
    "fuzz": ("the parsers' fuzz targets, 10 s each", True, False),
}


class Options:
    """parts: names. only: a filter in GoogleTest's words. repeat: how often."""

    def __init__(self, parts, only="*", repeat=1, long=False):
        self.parts, self.only, self.repeat, self.long = parts, only, repeat, long

    def arguments(self, lane=None):
        """Of a test program."""
        out = ["--gtest_filter=" + self.only, f"--gtest_repeat={self.repeat}"]
        if lane:
            out += ["--lane", lane]
        if self.long:
            out.append("--long")
        return out


def build(preset, *targets):
    folder = os.path.join(BUILD, preset)
    script = f"cd {REPO} && cmake --preset {preset} && cmake --build {folder}"
    if targets:
        script += " --target " + " ".join(targets)
    return Job("build", "build-" + preset, ["bash", "-c", script], Command(), cpus=os.cpu_count())


def fetch(folder, program, *packages):
    """Unpacked, not installed: some would start a server on this machine. If it fails, the tests that want it tell."""
    if os.access(os.path.join(folder, program), os.X_OK):
        return
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as here:
        script = ('apt-get -q -o APT::Sandbox::User=root download "$@" && '
                  f'for package in *.deb; do dpkg-deb -x "$package" {folder} || exit; done')
        subprocess.run(["bash", "-c", script, "fetch", *packages], cwd=here, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)


def unit(options, built):
    jobs = [Job("unit", "unit", [RELEASE + "/tests/unit_tests", *options.arguments()], GoogleTest(), after=[built])]
    if options.only == "*":  # a filter names none but GoogleTest's tests
        jobs.append(Job("unit", "plots", [REPO + "/tools/test.d/plots.py"], Command(), after=[built], env=HEADWIND))
    return jobs


def prog(options, built):
    return [Job("prog", "prog", [RELEASE + "/tests/prog_tests", *options.arguments("native")], GoogleTest(), cpus=0.6,
                after=[built])]


def shards(part, count, cpus, program, arguments, after, env):
    """Several processes of a test program that share its tests. Each isolates itself (tests/support/namespace.h)."""
    return [Job(part, f"{part}-{index + 1}", [program, *arguments], GoogleTest(), cpus=cpus, after=after,
                env={**env, "GTEST_TOTAL_SHARDS": str(count), "GTEST_SHARD_INDEX": str(index)})
            for index in range(count)]


def net(options, built):
    fetch(SSH, "usr/bin/sudo", "openssh-server", "libwrap0", "libnsl2", "libtirpc3", "sudo")
    # They wait more than they work.
    count, cpus = (6, 0.2) if options.only == "*" else (1, 1)
    return shards("net", count, cpus, RELEASE + "/tests/net_tests", options.arguments("native"), [built], HEADWIND)


def style(_options, _built):
    script = r"""
      clang-format --dry-run -Werror $(git ls-files '*.cpp' '*.h' '*.c') &&
      shellcheck -x $(git grep -lE '^#!(/usr/bin/env bash|/bin/bash|/bin/sh)') $(git ls-files tools/guest.d) &&
      tools/test.d/arrows.py &&
      licensed=$(git ls-files '*.cpp' '*.h' '*.c' '*.py' '*CMakeLists.txt'; git grep -lE '^#!') &&
      { ! grep -L 'SPDX-License-Identifier: ' $licensed | grep .; } &&
      ! git grep -n 'remove_all' -- loader  # root removes nothing recursively: see PinDirectory"""
    return [Job("style", "style", ["bash", "-c", script], Command(), cwd=REPO)]


# In a build folder of its own: clang cannot read the compiler's precompiled headers. Several files at once, as they are
# compiled: most of the time goes into headers. Without clang's static analyzer, which takes longer than all other checks
# together: `clang-tidy -p build/lint loader/MODULE/FILE.cpp` runs it, too.
def lint(_options, _built):
    configure = """
      cmake -S . -B build/lint -G Ninja -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DCMAKE_UNITY_BUILD=ON &&
      cmake --build build/lint --target bpf_skeleton"""
    configured = Job("build", "build-lint", ["bash", "-c", configure], Command(), cwd=REPO)
    check = r"""
      set -o pipefail
      grep -oE '"file": "[^"]*/loader/[^"]*' build/lint/compile_commands.json |
        cut -d'"' -f4 | sort -u | awk "NR % $2 == $1" | xargs -n 1 clang-tidy -p build/lint --quiet \
        --checks='-clang-analyzer-*,-bugprone-suspicious-include' --extra-arg=-Wno-unknown-warning-option"""
    count = os.cpu_count()
    return [configured, *(Job("lint", f"lint-{index + 1}", ["bash", "-c", check, "lint", str(index), str(count)],
                              Command(), after=[configured], cwd=REPO) for index in range(count))]


def install(_options, built):
    script = rf"""
      root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT && cmake --install {RELEASE} --prefix "$root" || exit
      [[ $(find "$root" -type f -printf '%P\n' | sort) == $'lib/systemd/system/headwind-agent.service\nlib/systemd/system/headwind@.service\nsbin/headwind\nshare/bash-completion/completions/headwind\nshare/fish/vendor_completions.d/headwind.fish\nshare/man/man8/headwind.8\nshare/zsh/site-functions/_headwind' ]] &&
      grep -qx "ExecStart=$root/sbin/headwind agent" "$root/lib/systemd/system/headwind-agent.service" &&
      grep -qx "ExecStart=$root/sbin/headwind apply --yes /etc/headwind/%i.rules" "$root/lib/systemd/system/headwind@.service" &&
      cd / && env -i "$root/sbin/headwind" --version &&
      HEADWIND=$root/sbin/headwind {RELEASE}/tests/net_tests --gtest_filter='Loss.*'"""
    return [Job("install", "install", ["bash", "-c", script], Command(), after=[built], cwd=REPO)]


def guest_arguments(env):
    return [word for name, value in env.items() for word in ("--env", f"{name}={value}")]


def virtual(options, built):
    fetch(NGINX, "usr/sbin/nginx", "nginx")
    copies = [RELEASE + "/headwind", RELEASE + "/headwind_testing"]
    for path in [NGINX + "/usr/sbin/nginx", "/usr/bin/redis-cli", "/usr/bin/redis-benchmark", "/usr/bin/redis-check-rdb",
                 "/usr/bin/curl"]:
        if os.access(path, os.X_OK):  # if not, the test that wants it tells
            copies.append(path)
    count = 2 if options.only == "*" else 1
    out = []
    for index in range(count):
        env = {**HEADWIND, "HEADWIND_NGINX": NGINX + "/usr/sbin/nginx", "GTEST_TOTAL_SHARDS": count,
               "GTEST_SHARD_INDEX": index}
        command = [GUEST, "--virtual-time", "--timeout", "2400", "--memory", "3000", *guest_arguments(env)]
        for path in copies:
            command += ["--copy", path]
        command += ["--", RELEASE + "/tests/guest_tests", *options.arguments("virtual-6.12")]
        out.append(Job("virtual", f"virtual-{index + 1}", command, GoogleTest(), cpus=0.8, after=[built],
                       limit=2700))
    return out


def guest(kernel):
    def jobs(options, built):
        env = {**HEADWIND, "HEADWIND_NICS": "2"}  # tests that want NICs fail without them
        command = [GUEST, "--kernel", kernel, "--nics", "--timeout", "2400", *guest_arguments(env), "--",
                   RELEASE + "/tests/net_tests", *options.arguments("linux-" + kernel)]
        return [Job("guest-" + kernel, "guest-" + kernel, command, GoogleTest(), cpus=0.8, after=[built], limit=2700)]
    return jobs


def verify(_options, built):
    return [Job("verify", "verify-" + kernel, [GUEST, "--kernel", kernel, "--virtual-time", "--copy",
                                               RELEASE + "/headwind", "--", RELEASE + "/headwind", "verify"],
                Command(), after=[built]) for kernel in ("6.12", "6.1")]


def lockdown(_options, built):
    return [Job("lockdown", "lockdown-" + kernel, [GUEST, "--kernel", kernel, "--", REPO + "/tests/guest/lockdown_test.sh",
                                                   RELEASE + "/headwind"], Command(), after=[built])
            for kernel in ("6.12", "6.1")]


def bed(_options, built):
    return [Job("bed", "bed", [REPO + "/tests/guest/bed_test.sh", "6.12", "6.1"], Command(), after=[built],
                env={"HEADWIND_BUILD": BUILD})]


def asan(options, built):
    sanitized = build("asan", "unit_tests", "headwind")
    env = {**HEADWIND, "HEADWIND": ASAN + "/headwind"}
    return [sanitized, Job("asan", "asan-unit", [ASAN + "/tests/unit_tests", *options.arguments()], GoogleTest(),
                           after=[sanitized]),
            *shards("asan-net", 3, 0.5, RELEASE + "/tests/net_tests", options.arguments("sanitized"),
                    [built, sanitized], env)]


def fuzz(_options, _built):
    return [Job("fuzz", "fuzz", [REPO + "/tools/fuzz"], Command(), cpus=os.cpu_count())]


MAKERS = {"unit": unit, "prog": prog, "net": net, "style": style, "lint": lint, "install": install, "virtual": virtual,
          "guest-6.12": guest("6.12"), "guest-6.1": guest("6.1"), "verify": verify, "lockdown": lockdown, "bed": bed, "asan": asan,
          "fuzz": fuzz}
NEED_NO_BUILD = {"style", "lint", "fuzz"}


def plan(options):
    """The jobs, builds first."""
    targets = ["unit_tests", "headwind"] if options.parts == ["unit"] else []
    built = build("release", *targets)
    jobs = [job for name in options.parts for job in MAKERS[name](options, built)]
    if set(options.parts) - NEED_NO_BUILD:
        jobs.insert(0, built)
    return jobs


def traces():
    """What Headwind could leave behind on this machine."""
    script = r"""
      ip -br link | sed -n 's/^\(headwind[^ ]*\).*/device \1/p'
      find /sys/fs/bpf -maxdepth 2 -name 'headwind*'
      find /sys/fs/cgroup -maxdepth 3 -type d -name 'headwind*'"""
    return set(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False).stdout.splitlines())

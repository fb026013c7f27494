# SPDX-License-Identifier: MIT
"""tools/test: runs the parts, says what failed and why, what was slow, what could not run here."""
import argparse
import collections
import os
import re
import subprocess
import sys
import time

import jobs as job_runner
import parts
from jobs import Job
from results import FAILED, PASSED, SKIPPED, GoogleTest, why

LOGS = os.path.join(parts.BUILD, "test-logs")
FLAGS_OF_A_CPU = 0x3f7fd7  # the bits of EFLAGS that can be set (Intel SDM 1, 3.4.3); all others are 0


def parse_arguments():
    table = "\n".join(f"  {name:<11} {what}{' (with --long)' if long else ''}"
                      for name, (what, long, _) in parts.PARTS.items())
    parser = argparse.ArgumentParser(
        prog="tools/test", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Installs what is missing, builds and tests Headwind, as root on Debian 12. Logs: build/test-logs/.",
        epilog=f"""parts:
{table}

examples:
  tools/test                                     what CI runs
  tools/test --long                              everything
  tools/test unit                                no root, no guest, seconds once built
  tools/test net --only 'Run.*' --repeat 20 --busy

Exit status 0 if nothing failed. What could not run here is listed as skipped, with its reason. A test that fails is run
again once, alone; one that then passes is listed as a defect.""")
    parser.add_argument("part", nargs="*", choices=[[], *parts.PARTS], metavar="PART", help="default: all that are not long")
    parser.add_argument("--long", action="store_true", help="also the parts and tests that take long")
    parser.add_argument("--only", default="*", metavar="FILTER", help="tests, in GoogleTest's words: 'Run.*:Loss.*'")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run each test N times; no second chance")
    parser.add_argument("--busy", action="store_true", help="with a busy loop for each CPU beside the tests")
    parser.add_argument("--no-guest", action="store_true", help="without the QEMU guests")
    options = parser.parse_args()
    names = options.part or [name for name, (_, long, _) in parts.PARTS.items() if options.long or not long]
    if options.no_guest:
        names = [name for name in names if not parts.PARTS[name][2]]
    return options, parts.Options(names, options.only, options.repeat, options.long)


def say(text):
    print(text, flush=True)


def report(job):
    """One line when a job has ended; why, if it failed."""
    counts = collections.Counter(test.outcome for test in job.results.tests)
    if counts[FAILED]:
        say(f"FAIL {job.name} ({job.seconds:.0f} s): {job.log.name}")
        for line in why(job.log.name):
            say("       " + line)
    elif job.part == "build":
        say(f"built {job.name.removeprefix('build-')} in {job.seconds:.0f} s, {job.cpu_seconds:.0f} s of CPU time")
    else:
        skipped = f", {counts[SKIPPED]} skipped" if counts[SKIPPED] else ""
        say(f"ok   {job.name} ({job.seconds:.0f} s, {job.cpu_seconds:.0f} s of CPU time): {counts[PASSED]} passed{skipped}")


def was_emulators_fault(log):
    """Whether a guest ended in a panic that shows flags which no CPU has: QEMU had lost track of its own CPU."""
    with open(log, errors="replace") as file:
        content = file.read()
    flags = [int(word, 16) for word in re.findall(r"EFLAGS: ([0-9a-f]{8})", content)]
    return "Kernel panic" in content and any(word & ~FLAGS_OF_A_CPU for word in flags)


def begin_again(job, name, command, env):
    again = Job(job.part, name, command, GoogleTest(), limit=job.limit, env=env, cwd=job.cwd)
    job_runner.run([again], LOGS, 1, report)
    return again


def second_chance(jobs):
    """A guest that QEMU broke once more, and up to three failed tests, each alone. The names of those that passed now:
    defects all the same. Returns them, and the jobs with those that took another's place."""
    defects, now = set(), []
    for job in jobs:
        if job.status and isinstance(job.results, GoogleTest) and not job.results.closed and was_emulators_fault(job.log.name):
            say(f"again: {job.name}, whose guest ended by a fault of QEMU's")
            defects.add(f"{job.name} (QEMU)")
            job = begin_again(job, job.name + "-again", job.command, job.env)
        now.append(job)
    failed = [(job, test) for job in now for test in job.results.tests
              if test.outcome == FAILED and isinstance(job.results, GoogleTest)]
    # Of a program that did not come to its end nobody knows what else would have failed.
    if len(failed) > 3 or any(not job.results.closed or test.name.startswith(job.name) for job, test in failed):
        return defects, now
    for job, test in failed:
        say(f"again, alone: {test.name}")
        command = [f"--gtest_filter={test.name}" if word.startswith("--gtest_filter=") else word for word in job.command]
        command = [word.replace("GTEST_", "WAS_") if word.startswith("GTEST_") else word for word in command]  # of guests
        env = {name: value for name, value in job.env.items() if not name.startswith("GTEST_")}
        again = begin_again(job, job.name + "-again", command, env)
        if again.results.closed and not any(one.outcome == FAILED for one in again.results.tests):
            defects.add(test.name)
    return defects, now


def summarize(jobs, defects, left_behind, start):
    tests = [test for job in jobs if job.part != "build" for test in job.results.tests]
    failed = [test for test in tests if test.outcome == FAILED and test.name not in defects]
    failed_builds = [job for job in jobs if job.part == "build" and job.status]
    not_run = [job.name for job in jobs if job.status == -1]
    say(f"\n{time.monotonic() - start:.0f} s in all, at {commit()}; the slowest tests:")
    for test in sorted(tests, key=lambda test: -test.seconds)[:10]:
        say(f"  {test.seconds:6.1f} s  {test.name}")
    reasons = collections.Counter(test.reason for test in tests if test.outcome == SKIPPED)
    for reason, count in sorted(reasons.items()):
        say(f"skipped {count}: {reason}")
    for name in sorted(defects):
        say(f"DEFECT: {name} failed, and passed when run again")
    for test in failed:
        say(f"FAILED: {test.name}")
    for name in not_run:
        say(f"NOT RUN: {name}, since what it needs was not built")
    for trace in sorted(left_behind):
        say(f"LEFT BEHIND: {trace}")
    failures = len(failed) + len(failed_builds) + len(not_run) + len(left_behind)
    passed = sum(test.outcome == PASSED or test.name in defects for test in tests)
    say(f"{passed} passed, {failures} failed, {sum(reasons.values())} skipped")
    return failures


def write_times(jobs):
    """How long each test took, for who wants to make it faster."""
    with open(os.path.join(LOGS, "times.tsv"), "w") as file:
        for job in jobs:
            for test in job.results.tests:
                print(f"{test.seconds:.2f}", job.name, test.name, test.outcome, sep="\t", file=file)


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", parts.REPO, *words], capture_output=True, text=True, check=False).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def main():
    start = time.monotonic()
    arguments, options = parse_arguments()
    os.makedirs(LOGS, exist_ok=True)
    before = parts.traces()
    busy = []
    jobs = parts.plan(options)
    try:
        if arguments.busy:
            builds = [job for job in jobs if job.part == "build"]
            job_runner.run(builds, LOGS, os.cpu_count(), report)
            jobs = [job for job in jobs if job.part != "build"]
            busy = [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"])
                    for _ in range(os.cpu_count())]
        job_runner.run(jobs, LOGS, os.cpu_count(), report)
        defects, jobs = second_chance(jobs) if arguments.repeat == 1 else (set(), jobs)
    finally:
        for loop in busy:
            loop.kill()
    write_times(jobs)
    return 1 if summarize(jobs, defects, parts.traces() - before, start) else 0


if __name__ == "__main__":
    sys.exit(main())

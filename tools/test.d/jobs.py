# SPDX-License-Identifier: MIT
"""Runs commands side by side, as many as the machine has CPUs for, with their output in logs."""
import os
import resource
import select
import selectors
import signal
import subprocess
import time


class Job:
    """A command that is to run once all of `after` have ended well.

    cpus     how much of the machine it takes: the sum of what runs at once is at most the number of CPUs
    results  results.GoogleTest or results.Command, which its output is fed to
    limit    seconds; so long that it only ends what hangs
    """

    def __init__(self, part, name, command, results, cpus=1.0, after=(), limit=1800, env=None, cwd=None):
        self.part, self.name, self.command, self.results = part, name, command, results
        self.cpus, self.after, self.limit, self.env, self.cwd = cpus, after, limit, env or {}, cwd
        self.log = self.status = self.start = self.seconds = self.process = None
        self.cpu_seconds = 0  # of its processes, without those that it did not wait for
        self._rest = ""

    def ended(self):
        return self.status is not None

    def begin(self, logs):
        self.log = open(os.path.join(logs, self.name.replace("/", "-") + ".log"), "w")
        self.start = time.monotonic()
        # A group of its own, to be killed as a whole; and nothing survives this process, however it ends.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, **self.env}, cwd=self.cwd, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        """Whether there may be more."""
        try:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        text = data.decode(errors="replace")
        self.log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.results.feed(line)
        return bool(data)

    def drain(self):
        """What its output holds; false."""
        while select.select([self.process.stdout], [], [], 0)[0] and self.read():
            pass
        return False

    def kill(self):
        if self.process and self.status is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def has_exited(self):
        """Whether the command itself has."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if self.process.poll() is None:
            return False
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return True

    def end(self):
        while not self.has_exited():  # it closed its output a moment ago
            time.sleep(0.01)
        self.status = self.process.returncode
        self.kill_rest()
        self.seconds = time.monotonic() - self.start
        self.log.close()
        self.results.finish(self.name, self.status, self.seconds)

    def kill_rest(self):
        """What the command left running in its group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(jobs, logs, cpus, on_end):
    """Runs all of them, in their order where there is a choice; on_end(job) after each. A job whose predecessor failed is
    not run: its status is -1."""
    waiting, running = list(jobs), []
    selector = selectors.DefaultSelector()
    try:
        while waiting or running:
            for job in [job for job in waiting if any(before.ended() and before.status for before in job.after)]:
                waiting.remove(job)
                job.status = -1
            for job in list(waiting):
                free = cpus - sum(other.cpus for other in running)
                if all(before.ended() for before in job.after) and (not running or job.cpus <= free + 1e-6):
                    waiting.remove(job)
                    running.append(job)
                    job.begin(logs)
                    selector.register(job.process.stdout, selectors.EVENT_READ, job)
            ended = [key.data for key, _ in selector.select(timeout=1) if not key.data.read()]
            # What the command left running may hold its output open.
            ended += [job for job in running if job not in ended and job.has_exited() and not job.drain()]
            for job in ended:
                selector.unregister(job.process.stdout)
                job.end()
                running.remove(job)
                on_end(job)
            for job in running:
                if time.monotonic() - job.start > job.limit:
                    job.log.write(f"\nFAIL stopped after {job.limit} s\n")
                    job.kill()
    finally:
        for job in running:
            job.kill()

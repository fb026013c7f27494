# SPDX-License-Identifier: MIT
"""Runs in the tests' containers. serve PORT: answers each UDP request. ask ADDRESS PORT COUNT SECONDS: prints how many
of COUNT requests were answered, each within SECONDS; 0: sends them all first, then waits 0.3 s for answers.
watch ADDRESS PORT: until SIGTERM, then prints when (CLOCK_MONOTONIC) each request was sent and when answered, ns."""

import signal
import socket
import sys
import time


def serve(port):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    print("ready", flush=True)
    while True:
        request, sender = listener.recvfrom(64)
        try:
            listener.sendto(request, sender)
        except OSError:
            pass


def answers(asker, request):
    """True once this very request was answered; False: an earlier one's answer, late, or none."""
    try:
        asker.send(request)
        while asker.recv(64) != request:
            pass
        return True
    except OSError:
        return False


def answered_later(asker):
    count = 0
    try:
        while asker.recv(64):
            count += 1
    except OSError:
        pass
    return count


def connected(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    asker = socket.socket(family, socket.SOCK_DGRAM)
    asker.connect((address, port))
    return asker


def watch(address, port):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    asker = connected(address, port)
    asker.settimeout(10)
    seen = []
    while not stopped:
        sent = time.monotonic_ns()
        if answers(asker, b"%d" % sent):
            seen.append((sent, time.monotonic_ns()))
        time.sleep(0.0002)
    print("".join("%d %d\n" % one for one in seen), end="")


def ask(address, port, count, seconds):
    asker = connected(address, port)
    asker.settimeout(seconds or 0.3)
    if seconds:
        print(sum(answers(asker, b"%d" % i) for i in range(count)))
        return
    for i in range(count):
        try:
            asker.send(b"%d" % i)
        except OSError:
            pass
    print(answered_later(asker))


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
elif sys.argv[1] == "watch":
    watch(sys.argv[2], int(sys.argv[3]))
else:
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))

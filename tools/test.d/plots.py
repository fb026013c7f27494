#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks tools/plots: HEADWIND=PATH plots.py. It draws (here few packets) just what README.md shows, with figures near
what was asked. Of those that it draws with wrong-headwind none is near: a wrong figure is noticed."""
import bisect
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

TESTS = os.path.dirname(os.path.realpath(__file__))
REPO = os.path.realpath(os.path.join(TESTS, "..", ".."))
FOLDER = os.path.join(REPO, "tools", "plots.d")
sys.path.insert(0, FOLDER)
sys.dont_write_bytecode = True  # nothing appears beside the plots that are committed

from delay_plots import LONGEST
from fate import Headwind, with_seed
from laws import DELAY, LAWS

PACKETS = 4000
# How far so few packets may be from what was asked: 3 standard errors and more; wrong-headwind's are farther.
ALLOWED = {"mean": 1, "sd": 3.5, "share": 0.04, "lost": 4, "correlation": 8, "mean burst": 0.2, "of 1%": 0.9, "of 10%": 4,
           "of 50%": 6}


def draw(headwind, folder):
    command = [os.path.join(REPO, "tools", "plots"), "--headwind", headwind, "--packets", str(PACKETS), "--to", folder]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def wrong_files(drawn):
    """What of the files in the folder `drawn` is not there, not committed, not linked or not XML."""
    command = ["git", "-C", FOLDER, "ls-files", "*.svg"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    with open(os.path.join(REPO, "README.md"), encoding="utf-8") as file:
        linked = set(re.findall(r"\]\(tools/plots\.d/([^)]*)\)", file.read()))
    names = {"drawn": set(os.listdir(drawn)), "committed": set(listed.split()), "linked in README.md": linked}
    for name in sorted(set().union(*names.values())):
        missing = [what for what, those in names.items() if name not in those]
        if missing:
            yield f"{name} is not {' and not '.join(missing)}"
    for folder, which in ((drawn, "drawn"), (FOLDER, "committed")):
        for name in sorted(names[which]):
            try:
                xml.parse(os.path.join(folder, name))
            except (OSError, xml.ParseError) as error:
                yield f"{name}, as it is {which}: {error}"


def wrong_lines():
    """The line of a law and the share in its legend are of one law if that share falls as fast as the line is high."""
    hair = 1e-4  # ms
    for law in LAWS:
        for ms in (half / 2 + 0.2 for half in range(1, 2 * LONGEST)):
            slope = (law.beyond(ms - hair) - law.beyond(ms + hair)) / (2 * hair)
            if abs(slope - law.density(ms)) > 1e-6:
                yield f"{law.name}: at {ms} ms the line is at {law.density(ms):.6f} per ms, the law at {slope:.6f}"
                break


def numbers(words):
    """Of "mean 50.0, sd 10.0": {"mean": 50.0, "sd": 10.0}."""
    pairs = (each.rsplit(" ", 1) for each in words.split(", "))
    return {name: 0 if value == "none" else float(value.rstrip("%")) for name, value in pairs}


def described(folder):
    """(plot, figure, asked, given), by what each plot says of itself."""
    for name in sorted(os.listdir(folder)):
        plot = name.removesuffix(".svg")
        words = xml.parse(os.path.join(folder, name)).findtext("{http://www.w3.org/2000/svg}desc")
        if plot == "delay-correlation":
            asked, given = re.search(r"correlation is (.*)%, as asked.* it is (.*)% by Headwind", words).groups()
            yield plot, "correlation", float(asked), float(given)
            continue
        asked, given = map(numbers, re.search(r".*asked: (.*)\. Headwind: (.*)\. netem: ", words).groups())
        asked.pop(f"> {LONGEST} ms", None)  # too few are, to tell
        yield from ((plot, figure, asked[figure], given[figure]) for figure in asked)


def shares(headwind):
    """The same of the share of delays above so many ms, where it is farthest from what was asked."""
    for law in LAWS:
        delays = sorted(Headwind(headwind, PACKETS).delays(with_seed([*DELAY, "--distribution", law.name]), PACKETS))
        both = [(law.beyond(ms), 1 - bisect.bisect(delays, ms) / PACKETS) for ms in range(1, LONGEST)]
        yield law.name, "share", *max(both, key=lambda pair: abs(pair[0] - pair[1]))


def wrong_figures(headwind, folder, right):
    for plot, figure, asked, given in (*described(folder), *shares(headwind)):
        if (abs(given - asked) <= ALLOWED[figure]) != right:
            yield f"{plot}: {figure} {given:g}, asked {asked:g}" + ("" if right else " (wrong-headwind's: not noticed)")


def main():
    headwind, wrong = os.environ["HEADWIND"], os.path.join(TESTS, "wrong-headwind")
    with tempfile.TemporaryDirectory() as drawn, tempfile.TemporaryDirectory() as drawn_wrong:
        draw(headwind, drawn)
        draw(wrong, drawn_wrong)
        faults = [*wrong_files(drawn), *wrong_lines()]
        if not faults:  # all can be read
            faults = [*wrong_figures(headwind, drawn, True), *wrong_figures(wrong, drawn_wrong, False)]
    for fault in faults:
        print("FAIL", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

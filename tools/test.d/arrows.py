#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the layout of loader/: arrows.py [REPOSITORY]. A module (folder) includes only what it links, and what that links
(loader/CMakeLists.txt); files name headers by their module; no two files need each other, be it through others; no
folder but commands/ has more than 25 files; engine.h stays plain."""
import glob
import graphlib
import os
import re
import sys

MOST_FILES = 25
MOST_BEHIND_ENGINE = 5  # headers of ours


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def linked_by_module(loader):
    """module -> modules that it links, directly or not."""
    direct = {match[1]: set(re.findall(r"headwind_(\w+)", match[2])) for match in
              re.finditer(r"^headwind_module\((\w+)([^)]*)\)", read(os.path.join(loader, "CMakeLists.txt")), re.M)}

    def closure(module):
        return direct[module].union(*(closure(below) for below in direct[module]))
    return {module: closure(module) for module in direct}


def faults(loader):
    linked = linked_by_module(loader)
    for module in sorted(os.listdir(loader)):
        folder = os.path.join(loader, module)
        if not os.path.isdir(folder):
            continue
        if module not in linked:
            yield f"{module}/ is no headwind_module of CMakeLists.txt"
            continue
        files = sorted(os.listdir(folder))
        if len(files) > MOST_FILES and module != "commands":
            yield f"{module}/ has {len(files)} files: at most {MOST_FILES} can be overlooked"
        for name in files:
            for header in re.findall(r'^#include "([^"]+)"', read(os.path.join(folder, name)), re.M):
                target = header.split("/")[0] if "/" in header else None
                generated = header.endswith(".skel.h") and "datapath" in linked[module] | {module}
                if target is None and not generated:
                    yield f'{module}/{name}: "{header}" without its module'
                elif target is not None and target != module and target not in linked[module]:
                    yield f"{module}/{name}: {header} is not below {module} (CMakeLists.txt)"


def included_by(path, loader):
    """headers of ours, by their paths below loader/."""
    return set(re.findall(r'^#include "(\w+/\w+\.h)"', read(os.path.join(loader, path)), re.M))


def rings(loader):
    """A header and its source are one: a ring is one of calls, too."""
    needs = {}
    for path in sorted(glob.glob(os.path.join(loader, "*", "*.cpp")) + glob.glob(os.path.join(loader, "*", "*.h"))):
        path = os.path.relpath(path, loader)
        one = os.path.splitext(path)[0]
        needs.setdefault(one, set()).update({header[:-2] for header in included_by(path, loader)} - {one})
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        yield "these files need each other: " + " -> ".join(error.args[1])


def behind_engine(loader):
    behind, unread = set(), ["engine/engine.h"]
    while unread:
        for header in included_by(unread.pop(), loader) - behind:
            behind.add(header)
            unread.append(header)
    if len(behind) > MOST_BEHIND_ENGINE:
        yield f"engine.h has {len(behind)} headers behind it, at most {MOST_BEHIND_ENGINE}: {', '.join(sorted(behind))}"
    for header in sorted(behind | {"engine/engine.h"}):
        for foreign in re.findall(r"^#include <((?:bpf|linux|libmnl|CLI|headwind)/[^>]*)>", read(os.path.join(loader, header)),
                                  re.M):
            yield f"{header}, which is behind engine.h, includes <{foreign}>"


def main():
    repository = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    loader = os.path.join(repository, "loader")
    found = [*faults(loader), *rings(loader), *behind_engine(loader)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Checks the layout of loader/: arrows.py [REPOSITORY]. A module (folder) includes only what it links, and what that links
(loader/CMakeLists.txt); files name headers by their module; no folder but commands/ has more than 25 files."""
import os
import re
import sys

MOST_FILES = 25


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


def main():
    repository = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    found = list(faults(os.path.join(repository, "loader")))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that no files of the library include or call each other in a circle.
Usage: circles.py SOURCE_ROOT BUILD_ROOT

Includes are read from the sources. Calls are read from the objects of the library: an object calls
another one if it needs a symbol that the other one defines."""

import pathlib
import re
import subprocess
import sys


def symbols(paths, option):
    """The names that each object defines, or needs. Each line of nm begins with the object."""
    lines = subprocess.run(["nm", "-A", option, *map(str, paths)], check=True, capture_output=True, text=True).stdout
    found = {path: set() for path in paths}
    for line in lines.splitlines():
        path, rest = line.split(":", 1)
        found[pathlib.Path(path)].add(rest.split()[-1])
    return found


def includes(root):
    edges = {}
    for path in sorted((root / "lib").rglob("*.[ch]")):
        name = str(path.relative_to(root / "lib"))
        found = re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M)
        edges[name] = set(found) - {name}
    return edges


def calls(build):
    folders = [path for path in sorted(build.glob("libsse-emitter.*.p")) if any(path.glob("lib_*.o"))]
    objects = sorted(folders[0].glob("lib_*.o")) if folders else []
    defined = symbols(objects, "--defined-only") if objects else {}
    needed = symbols(objects, "--undefined-only") if objects else {}
    owner = {symbol: path for path, names in defined.items() for symbol in names if symbol.startswith("sse_")}
    name = {path: re.sub(r"^lib_([a-z]+)_(.*)\.c\.o$", r"\1/\2.c", path.name) for path in objects}
    return {name[path]: {name[owner[symbol]] for symbol in needed[path] if symbol in owner}
            for path in objects}


def circle(edges):
    """The names on one circle, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for target in sorted(edges.get(node, ())):
            found = visit(target)
            if found:
                return found
        done.add(path.pop())
        return None

    for node in sorted(edges):
        found = visit(node)
        if found:
            return found
    return None


def main():
    root, build = (pathlib.Path(argument) for argument in sys.argv[1:3])
    graphs = {"include": includes(root), "call": calls(build)}
    faults = [f"these files {verb} each other in a circle: {' -> '.join(found)}"
              for verb, edges in graphs.items() if (found := circle(edges))]
    faults += [f"no {verb} graph: nothing was read" for verb, edges in graphs.items() if not any(edges.values())]
    counts = ", ".join(f"{sum(map(len, edges.values()))} {verb} edges between {len(edges)} files"
                       for verb, edges in graphs.items())
    print("\n".join(faults) or f"{counts}: no circle")
    return 1 if faults else 0


sys.exit(main())

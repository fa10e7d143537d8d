#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds what the unit tests reach of the library to the figures in gate.txt.
Usage: gate.py ROOT BUILD. The tests have run in the build. LLVM_PROFDATA and LLVM_COV name the tools."""

import os
import sys

sys.dont_write_bytecode = True
import export  # noqa: E402
import marks  # noqa: E402
from conditions import Conditions  # noqa: E402
from lines import Lines  # noqa: E402


def read_gate(root):
    with open(os.path.join(root, "test", "coverage", "gate.txt")) as gate:
        pairs = (line.split() for line in gate if line.strip() and not line.startswith("#"))
        return {name: int(figure) for name, figure in pairs}


def source_lines(root, file):
    with open(os.path.join(root, file)) as source:
        return source.read().split("\n")


def text_at(root, file, place):
    """The source of a condition, in one line."""
    first, from_column, last, to_column = place
    lines = source_lines(root, file)[first - 1:last]
    lines[-1] = lines[-1][:to_column - 1]
    lines[0] = lines[0][from_column - 1:]
    return " ".join(line.strip() for line in lines)


class Kind:
    """Lines, branches or conditions: how many there are, and what was missed."""

    def __init__(self, name, total, missed):
        self.name = name
        self.total = total
        self.missed = missed  # (file, line, what it is)
        self.excluded = []

    def exclude(self, known):
        self.excluded = [place for place in self.missed if marks.excluded(known, place[0], place[1])]
        self.missed = [place for place in self.missed if place not in self.excluded]

    def report(self):
        for file, line, what in self.missed:
            print(f"missed {self.name}: {file}:{line}: {what}")
        reached = self.total - len(self.missed) - len(self.excluded)
        total = self.total - len(self.excluded)
        print(f"{self.name}: {reached} of {total} reached, {len(self.excluded)} excluded")


def tool(variable, name):
    return os.environ.get(variable, name)


def kinds(root, build):
    seen = Lines()
    decided = Conditions()
    for part in export.exports(tool("LLVM_PROFDATA", "llvm-profdata"), tool("LLVM_COV", "llvm-cov"), build, root):
        seen.add(part)
        decided.add(part)
    return [
        Kind("lines", len(seen.counts),
             [(file, line, source_lines(root, file)[line - 1].strip()) for file, line in seen.missed_lines()]),
        Kind("branches", seen.branch_count(),
             [(file, place[0], f"never {outcome}: {text_at(root, file, place)}")
              for file, place, outcome in seen.missed_branches()]),
        Kind("conditions", decided.count(),
             [(file, place[0], f"condition {index} of {text_at(root, file, place)}")
              for file, place, index in decided.missed()]),
    ]


def hold(gate, figures):
    over = 0
    for name, figure in figures.items():
        over += figure > gate[name]
        print(f"{name}: {figure}, gate {gate[name]}, {'over' if figure > gate[name] else 'within'}")
    return over


def main():
    root, build = (os.path.abspath(path) for path in sys.argv[1:])
    known = marks.read(root)
    measured = kinds(root, build)
    figures = {}
    for kind in measured:
        kind.exclude(known)
        kind.report()
        figures[f"missed_{kind.name}"] = len(kind.missed)
        figures[f"excluded_{kind.name}"] = len(kind.excluded)
    for mark in known:
        print(f"excluded {mark.used}: {mark.file}:{mark.line}: {mark.reason}")
    # A test reaches it after all: the mark is to go.
    figures["unused_marks"] = sum(1 for mark in known if not mark.used)
    return 1 if hold(read_gate(root), figures) else 0


sys.exit(main())

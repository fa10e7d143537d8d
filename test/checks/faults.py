#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that test/README.md lists every fault, and that the tests that it names exist.
Usage: faults.py SOURCE_ROOT"""

import pathlib
import re
import sys

# The rows of the faults of 0.1, and the numbers of the faults of others.
ROWS = [f"{letter}{number}"
        for letter, count in [("H", 2), ("M", 9), ("L", 17), ("C", 2), ("P", 6), ("B", 4), ("N", 23)]
        for number in range(1, count + 1)]
NUMBERS = [str(number) for number in range(1, 53)]

# `file.c: test, test` in backquotes; a file without a folder is a unit test.
NAMED = re.compile(r"`([\w./-]+\.(?:c|py|sh|mjs))(?:: ([\w, ]+))?`")
COMMENT = re.compile(r"\b(?:Row|Fault) (\w+)\.")


def table_rows(text):
    """The rows of all tables whose first cell is a label, in order."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]?\d+", cells[0]):
            yield cells[0], cells[-1]


def faults_of_row(test, label, cell):
    names = NAMED.findall(cell)
    if not names and not cell.startswith("none: "):
        yield f"{label}: names no test"
    for file, tests in names:
        path = test / file if "/" in file else test / "unit" / file
        if not path.is_file():
            yield f"{label}: there is no {path}"
            continue
        text = path.read_text()
        for name in filter(None, tests.split(", ")):
            if not re.search(rf"^static (void|uint64_t) {name}\((void \*\*|size_t )\w+\)$", text, re.M):
                yield f"{label}: there is no test {name} in {path}"


def faults_of_comments(test, named):
    """A comment with the label of a fault must be in a file that the row names."""
    for path in sorted([*(test / "unit").glob("*.c"), *(test / "complexity").glob("*.c")]):
        for label in COMMENT.findall(path.read_text()):
            if path.name not in named.get(label, ""):
                yield f"{path}: says {label}, whose row does not name it"


def main():
    test = pathlib.Path(sys.argv[1]) / "test"
    rows = list(table_rows((test / "README.md").read_text()))
    labels = [label for label, _ in rows]
    faults = [f"{label}: stands {labels.count(label)} times in a table of test/README.md"
              for label in ROWS + NUMBERS if labels.count(label) != 1]
    faults += [f"{label}: is no fault that is known" for label in labels if label not in ROWS + NUMBERS]
    for label, cell in rows:
        faults += faults_of_row(test, label, cell)
    faults += faults_of_comments(test, dict(rows))
    tests = sum(len(tests.split(", ")) for _, cell in rows for _, tests in NAMED.findall(cell) if tests)
    print("\n".join(faults) or f"{len(rows)} faults, {tests} tests named")
    return 1 if faults else 0


sys.exit(main())

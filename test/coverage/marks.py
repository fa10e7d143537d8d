# SPDX-License-Identifier: MIT
"""The marks of what no test can reach:

    /* not reached: REASON */

A mark belongs to the statement on its own line, or, if it stands alone, to the one below it: up to the last line
that is indented further."""

import os
import re

BEGINNING = "/* not reached: "


def indentation(line):
    return len(line) - len(line.lstrip(" "))


def end_of_comment(lines, first):
    last = first
    while "*/" not in lines[last]:
        last += 1
    return last


def end_of_statement(lines, first):
    beginning = indentation(lines[first])
    last = first
    while last + 1 < len(lines) and lines[last + 1].strip() and indentation(lines[last + 1]) > beginning:
        last += 1
    return last


class Mark:
    def __init__(self, file, line, first, last, reason):
        self.file = file
        self.line = line    # of the mark
        self.first = first  # of the statement
        self.last = last
        self.reason = reason
        self.used = 0

    def covers(self, file, line):
        return self.file == file and self.first <= line <= self.last


def marks_in(file, lines):
    for number, line in enumerate(lines):
        if BEGINNING not in line:
            continue
        end = end_of_comment(lines, number)
        text = " ".join(part.strip().lstrip("*").strip() for part in lines[number:end + 1])
        reason = re.search(re.escape(BEGINNING) + r"(.*?) *\*/", text).group(1)
        first = end + 1 if line.lstrip().startswith(BEGINNING) else number
        yield Mark(file, number + 1, first + 1, end_of_statement(lines, first) + 1, reason)


def read(root):
    marks = []
    for directory, _, names in os.walk(os.path.join(root, "lib")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                path = os.path.join(directory, name)
                with open(path) as source:
                    marks += marks_in(os.path.relpath(path, root), source.read().split("\n"))
    return marks


def excluded(marks, file, line):
    """Whether a mark excludes what is missed there; the mark then is used."""
    for mark in marks:
        if mark.covers(file, line):
            mark.used += 1
            return True
    return False

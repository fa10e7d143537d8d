# SPDX-License-Identifier: MIT
"""Lines and branches of the library that gcc's counters saw, over all objects that were built from them."""

import json
import os
import subprocess

# gcov names many files in one command.
BATCH = 50


def notes_of(build):
    """The objects that may hold code of the library: its own, and those of tests, which include its headers."""
    for directory, _, names in os.walk(build):
        for name in sorted(names):
            if name.endswith(".gcno"):
                yield os.path.join(directory, name)


def reports(gcov, build):
    notes = list(notes_of(build))
    for first in range(0, len(notes), BATCH):
        command = [gcov, "--json-format", "--stdout", "--branch-probabilities", *notes[first:first + BATCH]]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                                cwd=build)
        for line in result.stdout.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


class Lines:
    def __init__(self):
        self.counts = {}    # (file, line): how often it ran
        self.branches = {}  # (file, line, function, number of branches): how often each was taken

    def add(self, file, line):
        place = (file, line["line_number"])
        self.counts[place] = self.counts.get(place, 0) + line["count"]
        taken = [branch["count"] for branch in line["branches"]]
        if taken:
            # Variants of the library are compiled with other macros: a line may have other branches there.
            key = (*place, line.get("function_name"), len(taken))
            before = self.branches.get(key, [0] * len(taken))
            self.branches[key] = [sum(pair) for pair in zip(before, taken)]

    def missed_lines(self):
        return sorted(place for place, count in self.counts.items() if not count)

    def missed_branches(self):
        """(file, line, number of the branch) for each that was never taken."""
        return sorted((file, line, index + 1) for (file, line, _, _), taken in self.branches.items()
                      for index, count in enumerate(taken) if not count)

    def branch_count(self):
        return sum(len(taken) for taken in self.branches.values())


def measure(gcov, build, root):
    lines = Lines()
    library = os.path.join(root, "lib") + os.sep
    for report in reports(gcov, build):
        for file in report["files"]:
            path = os.path.normpath(os.path.join(report["current_working_directory"], file["file"]))
            if path.startswith(library):
                for line in file["lines"]:
                    lines.add(os.path.relpath(path, root), line)
    return lines

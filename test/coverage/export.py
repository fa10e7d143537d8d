# SPDX-License-Identifier: MIT
"""What clang counted in the library, as llvm-cov exports it."""

import glob
import json
import os
import subprocess

# llvm-cov takes a function that is in several programs from the first. The tests that compile a part of the library
# with other macros are a group of their own, so that it does not hide what differs there.
VARIANTS = ["_bare", "test_no_epoll"]


def merge(profdata, build):
    merged = os.path.join(build, "all.profdata")
    profiles = glob.glob(os.path.join(build, "profiles", "*.profraw"))
    subprocess.run([profdata, "merge", "-o", merged, *profiles], check=True)
    return merged


def programs_of(build):
    """The tests, by the intermediate files beside them."""
    for directory, names, _ in os.walk(os.path.join(build, "test")):
        for name in sorted(names):
            program = os.path.join(directory, name[:-len(".p")])
            if name.endswith(".p") and os.access(program, os.X_OK) and not program.endswith((".a", ".so")):
                yield program


def variant_of(program):
    return next((variant for variant in VARIANTS if program.endswith(variant)), None)


def groups_of(build):
    programs = list(programs_of(build))
    groups = ([program for program in programs if variant_of(program) == variant]
              for variant in [None, *VARIANTS])
    return [group for group in groups if group]


class Export:
    """The records of one group. Places are (file, (line, column, last line, column)), with the file below `root`."""

    def __init__(self, data, root):
        self.root = root
        self.library = os.path.join(root, "lib") + os.sep
        self.data = data

    def name_of(self, path):
        """None for a file that is not the library's."""
        path = os.path.normpath(path)
        return os.path.relpath(path, self.root) if path.startswith(self.library) else None

    def segments(self):
        """(file, segments) for each file. A segment is (line, column, count, has a count, begins a region, is a
        gap)."""
        for record in self.data["files"]:
            file = self.name_of(record["filename"])
            if file:
                yield file, record["segments"]

    def branches(self):
        """(place, how often it was true, how often it was false)"""
        for function in self.data["functions"]:
            for record in function["branches"]:
                file = self.name_of(function["filenames"][record[6]])
                if file:
                    yield (file, tuple(record[:4])), record[4], record[5]

    def decisions(self):
        """(name of the function, place, [whether each condition was seen to decide])"""
        for function in self.data["functions"]:
            file = self.name_of(function["filenames"][0])
            if file:
                for record in function["mcdc_records"]:
                    yield function["name"], (file, tuple(record[:4])), record[-1]


def exports(profdata, cov, build, root):
    merged = merge(profdata, build)
    for programs in groups_of(build):
        command = [cov, "export", "-format=text", f"-instr-profile={merged}", programs[0]]
        for program in programs[1:]:
            command += ["-object", program]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        yield Export(json.loads(result.stdout)["data"][0], root)

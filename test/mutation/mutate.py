#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts faults into the library, one at a time, and checks whether a test notices.

Usage: mutate.py ROOT BUILD COUNT SEED [FILE...]
       mutate.py ROOT, which only looks whether each guard is there

Always: the guards of guards.tsv, each of which must be noticed. Then COUNT faults by chance, of FILE... alone if
any is named. Those of equivalent.tsv change nothing that a test could see."""

import os
import queue
import random
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import operators  # noqa: E402
import programs  # noqa: E402

WORKERS = 2
# Of the faults that a test could notice, per cent.
KILLED_MIN = 96
# Enough to reach every branch; what takes longer is the simulation suite's.
SIMULATION = ["1", "300"]


def read_library(root):
    files = {}
    for directory, _, names in os.walk(os.path.join(root, "lib")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                path = os.path.join(directory, name)
                with open(path) as source:
                    files[os.path.relpath(path, root)] = source.read()
    return dict(sorted(files.items()))


def read_list(root, name, library):
    """[(file, statement, mutant, reason)], parted by tabs. A statement that is not in its file is an error."""
    entries = []
    with open(os.path.join(root, "test", "mutation", name)) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                entries.append(tuple(line.rstrip("\n").split("\t")))
    for file, before, *_ in entries:
        if before not in " ".join(library[file].split()):
            sys.exit(f"{name}: not in {file}: {before}")
    return entries


class Guard:
    """A fault from a file: one statement replaces another."""

    def __init__(self, file, before, after):
        self.file = file
        self.before = before
        self.after = after

    def apply(self, source):
        words = self.before.split()
        begin = end = -1
        at = 0
        while begin < 0:
            begin = end = source.index(words[0], at)
            at = begin + 1
            for word in words:
                while source[end].isspace():
                    end += 1
                if not source.startswith(word, end):
                    begin = -1
                    break
                end += len(word)
        return source[:begin] + self.after + source[end:]

    def key(self):
        return (self.file, self.before, self.after)

    def __str__(self):
        return f"{self.file}: {self.before} -> {self.after}"


class Hunt:
    def __init__(self, build, library, programs_by_name):
        self.build = build
        self.library = library
        self.programs = programs_by_name
        self.kills = {}  # (file, program): how many of its mutants it has noticed
        self.lock = threading.Lock()

    def order(self, file, objects):
        """The programs with this file. Those that have noticed its mutants, or are fast, come first."""
        linked = [program for program in self.programs if set(objects) & set(program.objects)]
        with self.lock:
            return sorted(linked, key=lambda program: (program.arguments != [],
                                                       -self.kills.get((file, program.target), 0),
                                                       len(program.objects) > 20, program.duration))

    def note_kill(self, pair):
        with self.lock:
            self.kills[pair] = self.kills.get(pair, 0) + 1

    def kill(self, mutant, directory):
        """Returns what noticed it: a test, "compiler" or None."""
        text = mutant.apply(self.library[mutant.file])
        overlay = os.path.join(directory, "overlay")
        path = os.path.join(overlay, os.path.relpath(mutant.file, "lib"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        objects = self.build.objects_of(mutant.file)
        replaced = {}
        try:
            for program in self.order(mutant.file, objects):
                for name in set(objects) & set(program.objects) - set(replaced):
                    output = os.path.join(directory, f"{len(replaced)}.o")
                    if not self.build.compile(name, output, mutant.file, path, overlay):
                        return "compiler"
                    replaced[name] = output
                binary = os.path.join(directory, "program")
                self.build.link(program, binary, replaced)
                status, _ = self.build.run(program, binary, directory)
                if status != 0:
                    self.note_kill((mutant.file, program.target))
                    return os.path.basename(program.target) + programs.manner(status)
            return None
        finally:
            os.remove(path)


def find_programs(build):
    return [build.program(target) for target in build.unit_tests()] + \
        [build.program("test/simulation/simulation", SIMULATION)]


def time_programs(build, found):
    """How long each takes, and that all pass."""
    with tempfile.TemporaryDirectory() as directory:
        for program in found:
            program.duration = programs.TIMEOUT_MIN * 2
            status, program.duration = build.run(program, os.path.join(build.directory, program.target), directory)
            if status != 0:
                with open(os.path.join(directory, "printed"), errors="replace") as printed:
                    sys.exit(f"{printed.read()[-4000:]}\n{program.target} fails without a fault: {status}")


def hunt_all(hunt, mutants):
    """[(mutant, what noticed it)]"""
    waiting = queue.Queue()
    results = []
    for mutant in mutants:
        waiting.put(mutant)

    def work():
        with tempfile.TemporaryDirectory() as directory:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                killer = hunt.kill(mutant, directory)
                with hunt.lock:
                    results.append((mutant, killer))
                    if killer != "compiler":
                        print(f"{'survived' if killer is None else 'killed by ' + killer}: {mutant}", flush=True)

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def main():
    root = os.path.abspath(sys.argv[1])
    library = read_library(root)
    guards = [Guard(*entry[:3]) for entry in read_list(root, "guards.tsv", library)]
    equivalent = {entry[:3] for entry in read_list(root, "equivalent.tsv", library)}
    if len(sys.argv) == 2:
        print(f"{len(guards)} guards")
        return 0
    directory = os.path.abspath(sys.argv[2])
    count, seed, files = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
    os.nice(10)
    build = programs.Build(directory, root)
    found = find_programs(build)
    time_programs(build, found)
    hunt = Hunt(build, library, found)

    possible = [mutant for file, source in library.items() if not files or file in files
                for mutant in operators.mutants_of(file, source)]
    sample = random.Random(seed).sample(possible, min(count, len(possible)))
    chosen = [mutant for mutant in sample if mutant.key() not in equivalent]
    print(f"seed {seed}: {len(sample)} of {len(possible)} possible mutants, "
          f"{len(sample) - len(chosen)} equivalent; {len(guards)} guards", flush=True)
    unnoticed = [guard for guard, killer in hunt_all(hunt, guards) if killer in (None, "compiler")]
    results = [(mutant, killer) for mutant, killer in hunt_all(hunt, chosen) if killer != "compiler"]
    survived = [mutant for mutant, killer in results if killer is None]
    killed = len(results) - len(survived)
    for mutant in unnoticed + survived:
        print(f"not noticed: {mutant}")
    print(f"guards: {len(guards) - len(unnoticed)} of {len(guards)} killed")
    print(f"mutants: {killed} of {len(results)} killed, {len(chosen) - len(results)} did not compile")
    enough = 100 * killed >= KILLED_MIN * len(results)
    return 0 if enough and not unnoticed else 1


sys.exit(main())

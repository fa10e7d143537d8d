#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the user instructions of a server's most frequent calls with gates. They need no clock and have no
noise. Usage: gate.py COMPILER PROGRAM, which is test/bench/instructions. Needs valgrind."""

import platform
import sys

sys.dont_write_bytecode = True
import counting  # noqa: E402

# What was reached with REFERENCE at -O2, and a few per cent. Each delivery counts with its part of the publish and
# of the loop's turn; "publish" is one publish to a topic of one, with the turn that writes it.
REFERENCE = ["gcc 12", "glibc 2.36", "x86_64"]
GATES = {"broadcast": 650, "broadcast_callback": 670, "batch_of_16": 660, "burst_of_16": 590, "send": 885,
         "publish": 4040, "turn": 590}
# Other compilers and libraries have other numbers, though not by so much.
ELSEWHERE = 1.25


def surroundings(compiler):
    macros = counting.run([compiler, "-dM", "-E", "-x", "c", "/dev/null"]).stdout
    values = dict(line.split(" ", 2)[1:] for line in macros.splitlines() if line.count(" ") >= 2)
    name = "clang" if "__clang__" in values else "gcc"
    version = values.get("__clang_major__" if name == "clang" else "__GNUC__", "?")
    return [f"{name} {version}", " ".join(platform.libc_ver()), platform.machine()]


def main():
    here = surroundings(sys.argv[1])
    widened = here != REFERENCE
    if widened:
        print(f"{', '.join(here)}: gates {ELSEWHERE} times those of {', '.join(REFERENCE)}")
    over = 0
    for shape, gate in GATES.items():
        gate *= ELSEWHERE if widened else 1
        value = counting.instructions(sys.argv[2], shape)
        over += value > gate
        print(f"{shape}: {value:.1f} user instructions, gate {gate:g}, {'over' if value > gate else 'within'}")
    return 1 if over else 0


sys.exit(main())

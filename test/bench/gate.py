#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the user instructions of a server's most frequent calls with gates, and the cache misses and atomic
operations of a delivery. They need no clock and have no noise.
Usage: gate.py COMPILER PROGRAM, which is test/bench/instructions. Needs valgrind."""

import platform
import sys

sys.dont_write_bytecode = True
import counting  # noqa: E402

# What was reached with REFERENCE at -O2, and a few per cent. Each delivery counts with its part of the publish and
# of the loop's turn; "publish" is one publish to a topic of one, with the turn that writes it.
REFERENCE = ["gcc 12", "glibc 2.36", "x86_64"]
GATES = {"broadcast": 610, "broadcast_callback": 625, "batch_of_16": 615, "burst_of_16": 530, "send": 885,
         "publish": 4010, "turn": 585}
# Where in a cache line an emitter begins is malloc's to say: each of the four places comes as often.
MISSES = {"broadcast": 7.0}
# One a delivery would mean that a line which all cores write is written for each client.
ATOMICS = {"broadcast": 0.2, "burst_of_16": 0.3}
# Other compilers and libraries have other numbers, though not by so much.
ELSEWHERE = 1.25


def surroundings(compiler):
    macros = counting.run([compiler, "-dM", "-E", "-x", "c", "/dev/null"]).stdout
    values = dict(line.split(" ", 2)[1:] for line in macros.splitlines() if line.count(" ") >= 2)
    name = "clang" if "__clang__" in values else "gcc"
    version = values.get("__clang_major__" if name == "clang" else "__GNUC__", "?")
    return [f"{name} {version}", " ".join(platform.libc_ver()), platform.machine()]


def compare(gates, count, unit, factor):
    """Counts each shape, and returns how many are over their gates."""
    over = 0
    for shape, gate in gates.items():
        value, limit = count(sys.argv[2], shape), gate * factor
        over += value > limit
        print(f"{shape}: {value:.2f} {unit}, gate {limit:g}, {'over' if value > limit else 'within'}")
    return over


def main():
    here = surroundings(sys.argv[1])
    factor = 1 if here == REFERENCE else ELSEWHERE
    if factor != 1:
        print(f"{', '.join(here)}: gates {ELSEWHERE} times those of {', '.join(REFERENCE)}")
    over = compare(GATES, counting.instructions, "user instructions", factor)
    over += compare(MISSES, counting.misses, "cache misses", factor)
    if platform.machine() == "x86_64" and counting.available("objdump"):
        over += compare(ATOMICS, counting.atomics, "atomic operations", 1)
    return 1 if over else 0


sys.exit(main())

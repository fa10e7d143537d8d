#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""User instructions of what a server does most: no clock and no noise, so a gate can hold them.
Usage: instructions.py SOURCE_ROOT PROGRAM, which is test/bench/instructions. Needs valgrind."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[1]) / "test" / "bench"))
import counting  # noqa: E402

# What was reached with gcc 12 at -O2, and a few per cent. A broadcast to sockets never above 400.
GATES = {"broadcast": 400, "broadcast_callback": 425, "batch_of_16": 470, "send": 1960, "flush": 385}

# What meson takes for a skipped test.
SKIPPED = 77


def main():
    if not counting.available("valgrind"):
        print("instructions: skipped, there is no valgrind")
        return SKIPPED
    over = 0
    for shape, gate in GATES.items():
        value = counting.instructions(sys.argv[2], shape)
        over += value > gate
        print(f"{shape}: {value:.1f} user instructions, gate {gate}{', over' if value > gate else ''}")
    return 1 if over else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""User instructions of what a server does most: no clock and no noise, so a gate can hold them.
Usage: gate.py PROGRAM, which is test/bench/instructions. Needs valgrind."""

import sys

import counting

# What was reached with gcc 12 at -O2, and a few per cent. A broadcast to sockets never above 400.
GATES = {"broadcast": 400, "broadcast_callback": 425, "batch_of_16": 470, "send": 1140, "flush": 385}


def main():
    if not counting.available("valgrind"):
        print("instructions: there is no valgrind")
        return 1
    over = 0
    for shape, gate in GATES.items():
        value = counting.instructions(sys.argv[1], shape)
        over += value > gate
        print(f"{shape}: {value:.1f} user instructions, gate {gate}{', over' if value > gate else ''}")
    return 1 if over else 0


sys.exit(main())

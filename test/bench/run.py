#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures, one line a figure: name value unit goal pass|miss. Times are medians of interleaved pairs of the
bench server and the limit server, unless streams.py says otherwise. The status is 1 only if an event was lost or a program failed."""

import argparse
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
import counting  # noqa: E402
import streams  # noqa: E402
from report import broken, figure  # noqa: E402

# Programs that print their figures themselves: each is a group of its own.
FIGURE_PROGRAMS = ("exact", "framing", "scale", "threads", "loops")

WRITES = ("sendto", "sendmsg", "write", "writev")


def instructions(programs):
    program = str(programs / "instructions")
    for shape in ("broadcast", "broadcast_callback", "batch_of_16", "burst_of_16", "send", "send_callback", "bare"):
        value = counting.instructions(program, shape) if counting.available("valgrind") else None
        goal = 150 if shape in ("broadcast", "batch_of_16", "burst_of_16") else None
        figure(f"user_instructions_per_delivery_{shape}", value, "instructions", goal)
    for shape in ("publish", "turn", "info"):
        value = counting.instructions(program, shape) if counting.available("valgrind") else None
        figure(f"user_instructions_per_call_{shape}", value, "instructions")


def calls(programs):
    program = str(programs / "instructions")
    # How many deliveries to a client one thing is: a batch counts as one, a burst as the publishes that it is.
    for shape, deliveries in (("broadcast", 1), ("batch_of_16", 1), ("burst_of_16", 16), ("send", 1)):
        value = counting.system_calls(program, shape, WRITES) if counting.available("strace") else None
        figure(f"writes_per_client_{shape}", value and value * deliveries, "writes", 1)
    value = counting.system_calls(program, "burst_of_16_polled", WRITES) if counting.available("strace") else None
    # The count is for each delivery, of which a burst makes sixteen thousand.
    figure("wakes_per_burst_of_16_publishes", value and round(value * 16000, 3), "wakes", 1)
    for shape in ("broadcast", "send", "publish", "turn", "info"):
        value = counting.system_calls(program, shape, ("getpid",)) if counting.available("strace") else None
        figure(f"getpid_per_{shape}", value, "calls")


def run_program(path):
    result = subprocess.run([path], capture_output=True, text=True, timeout=600)
    print(result.stdout, end="", flush=True)
    if result.returncode:
        broken.append(f"{path.name}: status {result.returncode}: {result.stderr.strip()}")


def groups(programs, pairs):
    """What each group runs, by name, in the order of a whole run."""
    runs = streams.Streams(programs, pairs)
    found = {"instructions": lambda: instructions(programs), "calls": lambda: calls(programs)}
    found |= {name: lambda name=name: run_program(programs / name) for name in FIGURE_PROGRAMS}
    found |= {name: lambda group=group: group(runs) for name, group in streams.GROUPS.items()}
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=pathlib.Path, help="directory of the programs")
    parser.add_argument("pairs", type=int, nargs="?", default=int(os.environ.get("SSE_BENCH_PAIRS", "9")),
                        help="of runs; or SSE_BENCH_PAIRS; else 9")
    parser.add_argument("--only", metavar="GROUP", help="one group of figures")
    return parser.parse_intermixed_args()


def main():
    asked = arguments()
    known = groups(asked.programs, asked.pairs)
    if asked.only and asked.only not in known:
        sys.exit(f"no group {asked.only}: there are {', '.join(known)}")
    for name, measure in known.items():
        if asked.only not in (None, name):
            continue
        try:
            measure()
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            broken.append(f"{name}: {error}")
    for what in broken:
        print(f"broken: {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

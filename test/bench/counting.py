# SPDX-License-Identifier: MIT
"""Counts of test/bench/instructions: the cost of one more call is the difference of two runs."""

import os
import re
import shutil
import subprocess
import tempfile

# Lengths of the two runs; shapes with a thousand emitters need few.
LENGTHS = {"broadcast": (2, 6), "broadcast_callback": (2, 6), "batch_of_16": (2, 6), "burst_of_16": (2, 6), "send": (2, 6),
           "send_callback": (2, 6), "bare": (2, 6)}
CALL_LENGTHS = (500, 1500)


def available(tool):
    return shutil.which(tool) is not None


def run(command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {result.returncode}\n{result.stderr[-2000:]}")
    return result


def instructions_of(program, shape, length):
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "callgrind.out")
        result = run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, shape,
                      str(length)])
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def system_calls_of(program, shape, length):
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "strace.out")
        run(["strace", "-f", "-o", out, program, shape, str(length)])
        with open(out) as lines:
            return [m.group(1) for m in (re.match(r"\d+ +(\w+)\(", line) for line in lines) if m]


def one_more(measure, program, shape):
    """The cost of one more delivery or call."""
    short, long = LENGTHS.get(shape, CALL_LENGTHS)
    each = int(run([program, shape, "1"]).stdout)
    return (measure(program, shape, long) - measure(program, shape, short)) / ((long - short) * each)


def instructions(program, shape):
    return one_more(instructions_of, program, shape)


def system_calls(program, shape, names):
    def count(*arguments):
        return sum(1 for call in system_calls_of(*arguments) if call in names)
    return one_more(count, program, shape)

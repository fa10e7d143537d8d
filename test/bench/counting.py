# SPDX-License-Identifier: MIT
"""Counts of test/bench/instructions: the cost of one more call is the difference of two runs. Instructions are
those of the whole program. Atomic operations are those of the library. Misses are those of a first cache for data
of 32 KiB, which valgrind simulates."""

import os
import re
import shutil
import subprocess
import tempfile

# Lengths of the two runs; shapes with a thousand emitters need few.
LENGTHS = {"broadcast": (2, 6), "broadcast_callback": (2, 6), "batch_of_16": (2, 6), "burst_of_16": (2, 6),
           "burst_of_16_polled": (2, 6), "send": (2, 6), "send_callback": (2, 6), "bare": (2, 6)}
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


def misses_of(program, shape, length):
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "cachegrind.out")
        result = run(["valgrind", "--tool=cachegrind", "--cache-sim=yes", "--D1=32768,8,64", "--I1=32768,8,64",
                      "--LL=8388608,16,64", f"--cachegrind-out-file={out}", program, shape, str(length)])
    return int(re.search(r"D1 +misses: +([0-9,]+)", result.stderr).group(1).replace(",", ""))


def library_of(program):
    return re.search(r"=> (\S*libsse-emitter\S*)", run(["ldd", program]).stdout).group(1)


def atomic_instructions(library):
    """The addresses of those that lock the bus: by a prefix, or, for an exchange with memory, without one."""
    code = run(["objdump", "-d", "--no-show-raw-insn", library]).stdout
    found = re.findall(r"^ *([0-9a-f]+):\s+(?:lock |xchg .*\()", code, re.MULTILINE)
    return {int(address, 16) for address in found}


def executions(lines, name, addresses):
    """How often instructions of an object were executed, in what callgrind has written. The line behind one with
    "calls" tells what the called function cost."""
    total, inside, called = 0, False, False
    for line in lines:
        if line.startswith("ob="):
            inside = name in line
        elif line.startswith("0x") and not called and inside:
            address, count = line.split()[:2]
            total += int(count) if int(address, 16) in addresses else 0
        called = line.startswith("calls=")
    return total


def atomics_of(program, shape, length):
    library = library_of(program)
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "callgrind.out")
        run(["valgrind", "--tool=callgrind", "--dump-instr=yes", "--dump-line=no", "--compress-pos=no",
             "--compress-strings=no", f"--callgrind-out-file={out}", program, shape, str(length)])
        with open(out) as lines:
            return executions(lines, os.path.basename(library), atomic_instructions(library))


def one_more(measure, program, shape):
    """The cost of one more delivery or call."""
    short, long = LENGTHS.get(shape, CALL_LENGTHS)
    each = int(run([program, shape, "1"]).stdout)
    return (measure(program, shape, long) - measure(program, shape, short)) / ((long - short) * each)


def instructions(program, shape):
    return one_more(instructions_of, program, shape)


def misses(program, shape):
    """Of longer runs: a few more or less in all are noise."""
    short, long = (5 * length for length in LENGTHS[shape])
    each = int(run([program, shape, "1"]).stdout)
    return (misses_of(program, shape, long) - misses_of(program, shape, short)) / ((long - short) * each)


def atomics(program, shape):
    return one_more(atomics_of, program, shape)


def system_calls(program, shape, names):
    def count(*arguments):
        return sum(1 for call in system_calls_of(*arguments) if call in names)
    return one_more(count, program, shape)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures, one line a figure: name value unit goal pass|miss. Times are medians of interleaved pairs of the
bench server and the limit server. The status is 1 only if an event was lost or a program failed.
Usage: run.py DIRECTORY_OF_THE_PROGRAMS [PAIRS]"""

import os
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
import counting  # noqa: E402

PROGRAMS = pathlib.Path(sys.argv[1])
PAIRS = int(sys.argv[2]) if len(sys.argv) > 2 else 9

# clients, events, size of the data, rate, burst; each run some 200 000 deliveries.
BROADCASTS = {
    "1000_clients_100_B": (1000, 200, 100, 0, 1),
    "1000_clients_1_KiB": (1000, 200, 1024, 0, 1),
    "10000_clients_100_B": (10000, 20, 100, 0, 1),
    "10000_clients_1_KiB": (10000, 20, 1024, 0, 1),
}
BURSTS = (1000, 3200, 100, 0, 16)
PACED = (1000, 100, 100, 50, 1)
TOKENS = (1000, 200, 20, 0, 1, "per-client")

# One core for the server and one for the clients, where there are two.
CORES = sorted(os.sched_getaffinity(0))
broken = []


def figure(name, value, unit, goal=None, at_least=False):
    if value is None:
        print(f"{name} - {unit} - skipped", flush=True)
        return
    met = goal is None or (value >= goal if at_least else value <= goal)
    sign = "-" if goal is None else f"{'>=' if at_least else '<='}{goal:g}"
    word = "-" if goal is None else "pass" if met else "miss"
    print(f"{name} {value:.3f} {unit} {sign} {word}", flush=True)


def pinned(core, command):
    return ["taskset", "-c", str(CORES[core % len(CORES)])] + [str(word) for word in command]


def load(server, shape):
    """One run of the load against a new server: what the load has printed, as a dictionary."""
    process = subprocess.Popen(pinned(0, [PROGRAMS / server]), stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip()
        result = subprocess.run(pinned(-1, [PROGRAMS / "load", port, process.pid, *shape]),
                                capture_output=True, text=True, timeout=200)
    finally:
        process.terminate()
        status = process.wait(timeout=60)
    if result.returncode or status:
        broken.append(f"{server} {shape}: load {result.returncode}, server {status}: {result.stderr.strip()}")
        return None
    return {name: float(value) for name, value in (word.split("=") for word in result.stdout.split())}


def pairs(shape, count=None):
    """(server, limit) of each pair, in turns."""
    found = []
    for number in range(count or PAIRS):
        order = ("server", "limit") if number % 2 else ("limit", "server")
        both = {name: load(name, shape) for name in order}
        if both["server"] and both["limit"]:
            found.append((both["server"], both["limit"]))
    return found


def median_ratio(found, key):
    return statistics.median(ours[key] / limit[key] for ours, limit in found) if found else None


def mean(found, key):
    return statistics.fmean(ours[key] for ours, _ in found) if found else None


def measure_broadcasts():
    user = {}
    memory = None
    for name, shape in BROADCASTS.items():
        found = pairs(shape)
        figure(f"cpu_per_delivery_over_limit_{name}", median_ratio(found, "cpu_ns"), "ratio", 1.05)
        user[name] = mean(found, "user_ns")
        if shape[0] == 10000 and found:
            memory = found
    few, many = user["1000_clients_100_B"], user["10000_clients_100_B"]
    if few and many:
        figure("user_time_per_delivery_10000_over_1000", many / few, "ratio", 1.2)
    if memory:
        figure("clients_of_the_memory_figures", memory[0][0]["clients"], "connections")
        idle = statistics.median(ours["idle_rss"] for ours, _ in memory)
        figure("rss_per_idle_connection", idle, "bytes", 400)
        figure("rss_growth_from_idle_to_peak", statistics.median(ours["growth"] for ours, _ in memory) / 1024,
               "KiB", 256)


def measure_others():
    found = pairs(BURSTS)
    if found:
        single = pairs(BROADCASTS["1000_clients_100_B"])
        limit = statistics.median(limit["cpu_ns"] for _, limit in single) if single else None
        ours = statistics.median(ours["cpu_ns"] for ours, _ in found)
        figure("cpu_per_event_in_bursts_of_16_over_limit", ours / limit if limit else None, "ratio", 0.12)
    found = pairs(TOKENS)
    figure("cpu_per_token_over_limit", median_ratio(found, "cpu_ns"), "ratio", 1.10)
    found = pairs(PACED)
    figure("p99_at_50_broadcasts_a_second_over_limit", median_ratio(found, "p99_ns"), "ratio", 1.05)


def measure_instructions():
    program = str(PROGRAMS / "instructions")
    for shape in ("broadcast", "broadcast_callback", "batch_of_16", "send", "send_callback", "bare"):
        value = counting.instructions(program, shape) if counting.available("valgrind") else None
        goal = 150 if shape in ("broadcast", "batch_of_16") else None
        figure(f"user_instructions_per_delivery_{shape}", value, "instructions", goal)
    for shape in ("publish", "flush", "next_ready", "info", "tick"):
        value = counting.instructions(program, shape) if counting.available("valgrind") else None
        figure(f"user_instructions_per_call_{shape}", value, "instructions")


def measure_system_calls():
    program = str(PROGRAMS / "instructions")
    for shape in ("broadcast", "batch_of_16", "send"):
        value = counting.system_calls(program, shape, "sendto") if counting.available("strace") else None
        figure(f"writes_per_client_{shape}", value, "writes", 1)
    for shape in ("broadcast", "send", "publish", "flush", "next_ready", "info"):
        value = counting.system_calls(program, shape, "getpid") if counting.available("strace") else None
        figure(f"getpid_per_{shape}", value, "calls")


def run_program(name):
    result = subprocess.run([PROGRAMS / name], capture_output=True, text=True, timeout=300)
    print(result.stdout, end="", flush=True)
    if result.returncode:
        broken.append(f"{name}: status {result.returncode}: {result.stderr.strip()}")


def main():
    for measure in (measure_instructions, measure_system_calls):
        try:
            measure()
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            broken.append(str(error))
    for name in ("exact", "framing", "scale"):
        run_program(name)
    measure_broadcasts()
    measure_others()
    print("\n".join(f"broken: {what}" for what in broken))
    return 1 if broken else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the bench server with servers that a user can install, one line a figure: name value unit - -.
Ratios are medians over rounds, in each of which every server has one run, and the limit program is what the
others are divided by. The status is 1 only if an event was lost or a program failed.
Then the modules of nginx again, with a worker for each of two cores, which the clients use too.
Usage: run.py DIRECTORY_OF_THE_PROGRAMS WORKPLACE [ROUNDS]"""

import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
import servers  # noqa: E402

PROGRAMS = pathlib.Path(sys.argv[1])
WORKPLACE = pathlib.Path(sys.argv[2])
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3

LIMIT = "limit"
COMPARED = ("sse_emitter", "libwebsockets", "nginx_module", "nchan", "better_sse")
ON_TWO_CORES = ("nginx_module", "nchan")

# clients, events, size of the data, rate, burst; each run some 200 000 deliveries.
SHAPES = {
    "1000_clients_100_B": (1000, 200, 100, 0, 1),
    "1000_clients_1_KiB": (1000, 200, 1024, 0, 1),
    "10000_clients_100_B": (10000, 20, 100, 0, 1),
    "10000_clients_1_KiB": (10000, 20, 1024, 0, 1),
}
# Files that a server has open beside its clients.
OTHER_FILES = 100
broken = []


def figure(name, value, unit):
    print(f"{name} {value:.3f} {unit} - -" if value is not None else f"{name} - {unit} - skipped", flush=True)


def load(name, shape, cores):
    """One run of the load against a new server: what the load has printed, as a dictionary."""
    load_client = PROGRAMS / "peers/load_peers"
    try:
        with servers.start(name, PROGRAMS, WORKPLACE, cores) as (port, processes):
            command = servers.pinned(-1 if cores == 1 else servers.ALL, [load_client, port, processes, *shape])
            result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        broken.append(f"{name} {shape}: {error}")
        return None
    if result.returncode:
        broken.append(f"{name} {shape}: load {result.returncode}: {result.stderr.strip()}")
        return None
    return {key: float(value) for key, value in (word.split("=") for word in result.stdout.split())}


def rounds(names, shape, cores):
    """What each server has given in each round; who comes first changes."""
    found = []
    for number in range(ROUNDS):
        turn = number % len(names)
        found.append({name: load(name, shape, cores) for name in names[turn:] + names[:turn]})
    return found


def runs_of(found, name):
    return [each[name] for each in found if each.get(name)]


def median(values):
    return statistics.median(values) if values else None


def whole_rounds(found, name):
    """(server, limit) of each round in which neither failed."""
    return [(each[name], each[LIMIT]) for each in found if each.get(name) and each[LIMIT]]


def median_ratio(found, name):
    return median([run["cpu_ns"] / limit["cpu_ns"] for run, limit in whole_rounds(found, name)])


def ratio_of_user_time(found, name):
    """The kernel tells user time in samples of some milliseconds, too coarse for a single run."""
    both = whole_rounds(found, name)
    return sum(run["user_ns"] for run, _ in both) / sum(limit["cpu_ns"] for _, limit in both) if both else None


def compare(names, compared, shape_name, shape, cores=1):
    """The figures of one shape; what has been measured, or nothing if there are too few files for it."""
    found = rounds(names, shape, cores) if shape[0] + OTHER_FILES <= servers.FILES else []
    for name in compared:
        figure(f"peer_cpu_per_delivery_over_limit_{name}_{shape_name}", median_ratio(found, name), "ratio")
    for name in compared:
        figure(f"peer_user_time_over_cpu_of_limit_{name}_{shape_name}", ratio_of_user_time(found, name), "ratio")
    return found


def tell_memory(found):
    for name in COMPARED:
        idle = median([run["idle_rss"] for run in runs_of(found, name)])
        figure(f"peer_rss_per_idle_connection_{name}", idle, "bytes")
    for name in COMPARED:
        growth = median([run["growth"] / 1024 for run in runs_of(found, name)])
        figure(f"peer_rss_growth_from_idle_to_peak_{name}", growth, "KiB")


def present(compared, reasons):
    return [LIMIT] + [name for name in compared if not reasons[name]]


def main():
    reasons = {name: servers.missing(name, PROGRAMS, WORKPLACE) for name in COMPARED}
    print("".join(f"{name}: {reason}\n" for name, reason in reasons.items() if reason), end="")
    found = [compare(present(COMPARED, reasons), COMPARED, *each) for each in SHAPES.items()]
    # Of the most clients that there was room for.
    tell_memory(next((each for each in reversed(found) if each), []))
    for shape_name, shape in SHAPES.items():
        compare(present(ON_TWO_CORES, reasons), ON_TWO_CORES, f"{shape_name}_on_two_cores", shape, 2)
    print("".join(f"broken: {what}\n" for what in broken), end="")
    return 1 if broken else 0


sys.exit(main())

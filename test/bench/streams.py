# SPDX-License-Identifier: MIT
"""Figures with real sockets: a server on one core, the load on the other, and the limit server in turns with
the bench server. Every figure is a ratio of two runs of one pair, or a count."""

import os
import statistics
import subprocess

from report import broken, figure

# One core for the server and one for the clients, where there are two.
CORES = sorted(os.sched_getaffinity(0))

# clients, events, size of the data, rate, burst; each run is some 500 000 deliveries.
BROADCASTS = {
    "1000_clients_100_B": (1000, 500, 100, 0, 1),
    "1000_clients_1_KiB": (1000, 500, 1024, 0, 1),
    "10000_clients_100_B": (10000, 50, 100, 0, 1),
    "10000_clients_1_KiB": (10000, 50, 1024, 0, 1),
}
SINGLES = BROADCASTS["1000_clients_100_B"]
BURSTS = (1000, 6400, 100, 0, 16)
PACED = (1000, 100, 100, 50, 1)
TOKENS = (1000, 500, 20, 0, 1, "per-client")
# The kernel tells user time in samples of some milliseconds: these runs are long enough for a few hundred in all.
USER_TIMES = {1000: (1000, 2000, 100, 0, 1), 10000: (10000, 200, 100, 0, 1)}
MANY = {"50000_clients_100_B": (50000, 40, 100, 0, 1), "50000_clients_1_KiB": (50000, 40, 1024, 0, 1)}

# Each stalled client is sent several times what the kernel and its emitter may hold: what would be held without
# a bound is some three times what is configured for all of them.
STALLED = (1000, 500, 1024, 0, 1)
STALLED_QUEUE_BYTES = 16384
STALLED_SERVER = (f"queue_bytes={STALLED_QUEUE_BYTES}", "send_buffer=16384")


class Streams:
    """Runs of the load against servers."""

    def __init__(self, programs, pairs):
        self.programs = programs
        self.pair_count = pairs

    def load(self, server, shape, arguments=()):
        """One run of the load against a new server: what the load has printed, as a dictionary."""
        process = subprocess.Popen(pinned(0, [self.programs / server, *arguments]), stdout=subprocess.PIPE,
                                   text=True)
        try:
            port = process.stdout.readline().strip()
            result = subprocess.run(pinned(-1, [self.programs / "load", port, process.pid, *shape]),
                                    capture_output=True, text=True, timeout=300)
        finally:
            process.terminate()
            status = process.wait(timeout=60)
        if result.returncode or status:
            broken.append(f"{server} {shape}: load {result.returncode}, server {status}: {result.stderr.strip()}")
            return None
        return {name: float(value) for name, value in (word.split("=") for word in result.stdout.split())}

    def turns(self, first, second):
        """Two runs, each a tuple of arguments for load, in turns: the pairs in which neither failed."""
        found = []
        for number in range(self.pair_count):
            both = [None, None]
            for which in (0, 1) if number % 2 else (1, 0):
                both[which] = self.load(*(first, second)[which])
            if all(both):
                found.append(tuple(both))
        return found

    def pairs(self, shape):
        """(server, limit) of each pair."""
        return self.turns(("server", shape), ("limit", shape))


def pinned(core, command):
    return ["taskset", "-c", str(CORES[core % len(CORES)])] + [str(word) for word in command]


def median_ratio(found, key):
    """Of the first of each pair over the second."""
    return statistics.median(one[key] / other[key] for one, other in found) if found else None


def ratio_of_sums(found, key):
    """The same for what is too coarse in a single run."""
    below = sum(other[key] for _, other in found)
    return sum(one[key] for one, _ in found) / below if below else None


def median_of_first(found, key):
    return statistics.median(one[key] for one, _ in found) if found else None


def figure_cpu(name, found):
    figure(f"cpu_per_delivery_over_limit_{name}", median_ratio(found, "cpu_ns"), "ratio", 1.03)


def broadcasts(streams):
    for name, shape in BROADCASTS.items():
        found = streams.pairs(shape)
        figure_cpu(name, found)
    growth = median_of_first(found, "growth")
    figure("clients_of_the_memory_figures", median_of_first(found, "clients"), "connections")
    figure("rss_per_idle_connection", median_of_first(found, "idle_rss"), "bytes", 400)
    figure("rss_growth_from_idle_to_peak", growth / 1024 if found else None, "KiB", 256)


def memory(streams):
    """What the memory of the emitters costs: the limit, which touches as much memory for each client, over the
    limit."""
    for name, shape in BROADCASTS.items():
        found = streams.turns(("limit", shape, ("state",)), ("limit", shape))
        figure(f"cpu_per_delivery_with_state_over_limit_{name}", median_ratio(found, "cpu_ns"), "ratio")


def user_times(streams):
    found = streams.turns(("server", USER_TIMES[10000]), ("server", USER_TIMES[1000]))
    figure("user_time_per_delivery_10000_over_1000", ratio_of_sums(found, "user_ns"), "ratio", 1.2)


def bursts(streams):
    for name, kind in (("bursts_of_16", "batch"), ("publishes_of_16", "publishes")):
        found = streams.turns(("server", BURSTS, (f"bursts={kind}",)), ("limit", SINGLES))
        figure(f"cpu_per_event_in_{name}_over_limit", median_ratio(found, "cpu_ns"), "ratio", 0.12)


def tokens(streams):
    for name, sender in (("", "loop"), ("_from_another_thread", "thread")):
        found = streams.turns(("server", TOKENS, (f"sender={sender}",)), ("limit", TOKENS))
        figure(f"cpu_per_token{name}_over_limit", median_ratio(found, "cpu_ns"), "ratio", 1.10)


def paced(streams):
    figure("p99_at_50_broadcasts_a_second_over_limit", median_ratio(streams.pairs(PACED), "p99_ns"), "ratio",
           1.05)


def stalled(streams):
    """Every hundredth client reads nothing. Throughput is what the others get; memory is at its peak."""
    for overflow in ("end", "drop-oldest"):
        server = (*STALLED_SERVER, f"overflow={overflow}")
        found = streams.turns(("server", STALLED, server), ("server", (*STALLED, "stall=100"), server))
        name = overflow.replace("-", "_")
        figure(f"throughput_with_1_percent_stalled_{name}", median_ratio(found, "wall_ns"), "ratio", 0.98, True)
        figure(f"throughput_per_cpu_second_with_1_percent_stalled_{name}", median_ratio(found, "cpu_ns"), "ratio",
               0.98, True)
        over = max((with_stalled["growth"] / (with_stalled["stalled"] * STALLED_QUEUE_BYTES)
                    for _, with_stalled in found), default=None)
        figure(f"stalled_memory_over_configured_{name}", over, "ratio", 1)


def many(streams):
    """As many connections as the limit of open files allows."""
    for name, shape in MANY.items():
        found = streams.pairs(shape)
        figure_cpu(name, found)
    figure("clients_of_50000", median_of_first(found, "clients"), "connections")
    figure("rss_per_idle_connection_of_50000", median_of_first(found, "idle_rss"), "bytes", 400)
    found = streams.turns(("server", MANY["50000_clients_100_B"]), ("server", USER_TIMES[1000]))
    figure("user_time_per_delivery_50000_over_1000", ratio_of_sums(found, "user_ns"), "ratio")


GROUPS = {group.__name__: group for group in (broadcasts, memory, user_times, bursts, tokens, paced, stalled, many)}

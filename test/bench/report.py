# SPDX-License-Identifier: MIT
"""The lines that the bench prints, and what went wrong beside them: name value unit goal pass|miss."""

# What has failed: a lost event, a program that ended badly. A goal that is missed does not belong here.
broken = []


def figure(name, value, unit, goal=None, at_least=False):
    """One line. `goal` is the most that the value may be, or with `at_least` the least."""
    if value is None:
        print(f"{name} - {unit} - skipped", flush=True)
        return
    met = goal is None or (value >= goal if at_least else value <= goal)
    sign = "-" if goal is None else f"{'>=' if at_least else '<='}{goal:g}"
    word = "-" if goal is None else "pass" if met else "miss"
    print(f"{name} {value:.3f} {unit} {sign} {word}", flush=True)

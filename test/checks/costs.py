#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the section "Costs" of lib/README.md is complete. Usage: costs.py SOURCE_ROOT [COMPLEXITY]

Every row of its first table is measured, and says what is measured (`complexity --list`); every public function
is in the table, or is named below it. Every loop in lib/, but for the layers wire and output, is in its second
table, with the function that it is in."""

import pathlib
import re
import subprocess
import sys

# Loops over the bytes of a text, or around one system call.
LAYERS_LEFT_OUT = {"wire", "output"}
LOOP = re.compile(r"^\s*(for|while|do)\b", re.M)


def section(readme):
    return readme.partition("\n## Costs\n")[2].partition("\n## ")[0]


def tables(text):
    """Each table as a list of rows, which are lists of cells, without its head."""
    found, rows = [], []
    for line in text.splitlines() + [""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found


def functions_named(cell):
    """The functions of a cell: `emitter_peek, read; loop_run` are three. The first of each group has the prefix."""
    for group in cell.split(";"):
        names = [name.strip() for name in group.split(",")]
        prefix = names[0].partition("_")[0]
        yield from (f"sse_{name}" if name.startswith(prefix + "_") else f"sse_{prefix}_{name}" for name in names)


def faults_of_calls(root, rows, prose, program):
    declared = {name for path in sorted((root / "include/sse").glob("*.h"))
                for name in re.findall(r"^SSE_API [^;(]*?\b(\w+)\(", path.read_text(), re.M)}
    named = {name for row in rows for name in functions_named(row[0])} | set(re.findall(r"`(sse_\w+)`", prose))
    yield from (f"{name}: not in the table of calls, nor below it" for name in sorted(declared - named))
    yield from (f"{name}: in the table of calls, but not public" for name in sorted(named - declared))
    if not program:
        return
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.splitlines()
    measured = {tuple(line.split("|")) for line in listed}
    said = {tuple(row[:3]) for row in rows}
    yield from (f"{' | '.join(row)}: measured, but not in the table" for row in sorted(measured - said))
    yield from (f"{' | '.join(row)}: in the table, but not measured" for row in sorted(said - measured))


def functions_with_loops(source):
    """Functions begin and end with a brace in the first column."""
    for match in re.finditer(r"^(\w[^;{}]*?)\n\{\n(.*?)^\}", source, re.M | re.S):
        if LOOP.search(match.group(2)):
            yield re.findall(r"\b(\w+)\(", match.group(1))[0]


def faults_of_loops(root, rows):
    said = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    present = {}
    for path in sorted((root / "lib").rglob("*.[ch]")):
        name = str(path.relative_to(root / "lib").with_suffix(""))
        if name.split("/")[0] not in LAYERS_LEFT_OUT:
            present.setdefault(name, set()).update(functions_with_loops(path.read_text()))
    for name in sorted(set(said) | set(present)):
        here, there = present.get(name, set()), said.get(name, set())
        yield from (f"lib/{name}: the loop in {function} is not in the table" for function in sorted(here - there))
        yield from (f"lib/{name}: no loop is in {function}" for function in sorted(there - here))


def main():
    root, program = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    text = section((root / "lib/README.md").read_text())
    found = tables(text)
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    if len(found) != 2:
        print(f"{len(found)} tables in the section Costs of lib/README.md, where there should be 2")
        return 1
    faults = [*faults_of_calls(root, found[0], prose, program), *faults_of_loops(root, found[1])]
    print("\n".join(faults) or f"{len(found[0])} rows of calls{'' if program else ', not measured here'}, "
                               f"{len(found[1])} files with loops")
    return 1 if faults else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that layers include only downwards. Usage: layers.py SOURCE_ROOT"""

import pathlib
import re
import sys

LAYERS = ["base", "wire", "data", "output", "connection", "loop", "fanout"]

# The layer that implements each public header. sse.h is for users only.
PUBLIC = {
    "base": "base", "platform": "base",
    "event": "wire", "http": "wire",
    "message": "data",
    "emitter": "connection",
    "loop": "loop",
    "registry": "fanout",
}

# Functions that are declared to the world live in the layer of their header; whatever may not block,
# allocate or keep time must not even see how.
FORBIDDEN = {"wire": ["stdlib.h", "stdio.h", "time.h", "pthread.h", "unistd.h", "stdatomic.h"]}


SYSTEM = ("sys/", "netinet/", "arpa/")


def layer_of_include(name):
    if name.startswith("sse/"):
        return PUBLIC.get(name[len("sse/"):-len(".h")], "the umbrella")
    return name.split("/")[0] if "/" in name and not name.startswith(SYSTEM) else None


def faults_of(path, layer, known):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
        if not match:
            continue
        name = match.group(1)
        target = layer_of_include(name)
        where = f"{path}:{number}: {layer} includes {name}"
        if name in FORBIDDEN.get(layer, []):
            yield where
        if target is None:
            continue
        if target not in LAYERS or LAYERS.index(target) > LAYERS.index(layer):
            yield where + f", of {target}"
        if not name.startswith("sse/"):
            known.add(name)


def public_faults(path):
    layer = PUBLIC.get(path.stem)
    if path.stem == "sse":
        return
    if layer is None:
        yield f"{path}: no layer is known for this header"
        return
    yield from faults_of(path, layer, set())


def main():
    root = pathlib.Path(sys.argv[1])
    files = [p for p in sorted((root / "lib").rglob("*.[ch]"))]
    included = set()
    faults = []
    for path in files:
        layer = path.relative_to(root / "lib").parts[0]
        if layer not in LAYERS:
            faults.append(f"{path}: in no layer")
            continue
        faults += faults_of(path, layer, included)
    for path in sorted((root / "include" / "sse").glob("*.h")):
        faults += public_faults(path)
    headers = {str(p.relative_to(root / "lib")) for p in files if p.suffix == ".h"}
    faults += [f"lib/{name}: included by nobody" for name in sorted(headers - included)]
    print("\n".join(faults) or f"{len(files)} files, layers {' < '.join(LAYERS)}: no edge upwards")
    return 1 if faults or not files else 0


sys.exit(main())

# SPDX-License-Identifier: MIT
"""Conditions of the library that clang saw decide alone (MC/DC): every condition of a decision of several must
have turned the decision by itself."""

import glob
import json
import os
import subprocess


def merge(profdata, build):
    merged = os.path.join(build, "all.profdata")
    profiles = glob.glob(os.path.join(build, "profiles", "*.profraw"))
    subprocess.run([profdata, "merge", "-o", merged, *profiles], check=True)
    return merged


def programs_of(build):
    """The tests, by the intermediate files beside them."""
    for directory, names, _ in os.walk(os.path.join(build, "test")):
        for name in sorted(names):
            program = os.path.join(directory, name[:-len(".p")])
            if name.endswith(".p") and os.access(program, os.X_OK) and not program.endswith((".a", ".so")):
                yield program


def functions_of(cov, merged, programs):
    """One record for each function of each object; the same one in several programs comes once."""
    command = [cov, "export", "-format=text", f"-instr-profile={merged}", programs[0]]
    for program in programs[1:]:
        command += ["-object", program]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(result.stdout)["data"][0]["functions"]


def text_at(root, file, place):
    """The source of a decision, in one line."""
    first, from_column, last, to_column = place
    with open(os.path.join(root, file)) as source:
        lines = source.read().split("\n")[first - 1:last]
    lines[-1] = lines[-1][:to_column - 1]
    lines[0] = lines[0][from_column - 1:]
    return " ".join(line.strip() for line in lines)


def measure(profdata, cov, build, root):
    """{(file, (line, column, last line, column)): [whether each condition was seen to decide]}"""
    decisions = {}
    owners = {}
    library = os.path.join(root, "lib") + os.sep
    for function in functions_of(cov, merge(profdata, build), list(programs_of(build))):
        path = os.path.normpath(function["filenames"][0])
        if not path.startswith(library):
            continue
        file = os.path.relpath(path, root)
        # Clang names static functions by the last part of the path alone.
        if owners.setdefault(function["name"], file) != file:
            raise RuntimeError(f"{function['name']} is in {file} and in {owners[function['name']]}: rename one")
        for record in function["mcdc_records"]:
            key = (file, tuple(record[:4]))
            seen = record[-1]
            before = decisions.get(key, [False] * len(seen))
            decisions[key] = [now or then for now, then in zip(seen, before)]
    return decisions


def missed(decisions):
    """(file, line, place, number of the condition)"""
    return sorted((file, place[0], place, index + 1) for (file, place), seen in decisions.items()
                  for index, decided in enumerate(seen) if not decided)

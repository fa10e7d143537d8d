#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every public header compiles alone, as C11 and as C++. Usage: headers.py SOURCE_ROOT CC [CXX]"""

import pathlib
import shlex
import subprocess
import sys


def compiles(command, header, root):
    source = f"#include <sse/{header.name}>\n#include <sse/{header.name}>\nint main(void) {{ return 0; }}\n"
    run = subprocess.run([*command, "-I", str(root / "include"), "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror",
                          "-fsyntax-only", "-"], input=source, capture_output=True, text=True)
    if run.returncode:
        print(f"{' '.join(command)} <sse/{header.name}>\n{run.stderr}")
    return run.returncode == 0


def main():
    root, c_compiler, cxx_compiler = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:4]
    headers = sorted((root / "include/sse").glob("*.h"))
    commands = [[*shlex.split(c_compiler), "-x", "c", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]]
    if cxx_compiler:
        commands.append([cxx_compiler[0], "-x", "c++", "-std=c++11"])
    results = [compiles(command, header, root) for command in commands for header in headers]
    print(f"{sum(results)} of {len(results)} compile")
    return 0 if results and all(results) else 1


sys.exit(main())

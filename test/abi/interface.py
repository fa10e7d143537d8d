#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints a C file that defines every function of the public headers with an empty body. Compiled, it contains
the interface and no internals. Usage: interface.py INCLUDE"""

import pathlib
import re
import sys


def main():
    text = "".join(path.read_text() for path in sorted((pathlib.Path(sys.argv[1]) / "sse").glob("*.h")))
    functions = re.findall(r"^SSE_API [^;{]*?\([^;{]*\);", text, re.M)
    if len(functions) < 40:
        sys.exit(f"only {len(functions)} functions found")
    print("#include <sse/sse.h>")
    print("\n".join(function[:-1] + " { for (;;); }" for function in functions))


main()

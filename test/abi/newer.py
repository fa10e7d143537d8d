#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes headers of a future version: every struct that may grow has one more member, `later`.
Usage: newer.py FROM TO"""

import pathlib
import re
import shutil
import sys

GROWING = ["sse_platform", "sse_http_options", "sse_emitter_options", "sse_registry_options", "sse_loop_options",
           "sse_shutdown_options", "sse_emitter_info", "sse_completion"]


def main():
    source, target = (pathlib.Path(argument) for argument in sys.argv[1:3])
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    grown = 0
    for path in sorted(target.rglob("*.h")):
        text = path.read_text()
        for name in GROWING:
            text, count = re.subn(r"(^struct " + name + r" \{$.*?)(^\};$)", r"\1    uint64_t later[4];\n\2", text,
                                  flags=re.M | re.S)
            grown += count
        path.write_text(text)
    if grown != len(GROWING):
        sys.exit(f"{grown} structs found, not {len(GROWING)}")


main()

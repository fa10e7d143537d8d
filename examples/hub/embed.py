#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a C file of the hub's web page: embed.py page.html page.c

The style sheet and the scripts that the page names are put into it; the scripts become one module. The
C file defines what page.h declares: the bytes of the page, their number, and the Content-Security-Policy
that admits this script and this style, by their hashes, and nothing else. The same page always gives the
same file.
"""

import base64
import hashlib
import os.path
import re
import sys

BYTES_PER_LINE = 18
STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">\n')
SCRIPT = re.compile(r'<script type="module" src="([^"]+)"></script>\n')


def read_text(path):
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    # A browser turns CR LF into LF before it hashes.
    if "\r" in text:
        sys.exit(f"embed.py: {path}: line ends must be LF")
    return text


def inline(page, pattern, tag, directory):
    """Replaces what the pattern finds by one element with the texts of the files. Returns page and hash."""
    names = pattern.findall(page)
    text = "\n" + "\n".join(read_text(os.path.join(directory, name)) for name in names)
    first = pattern.search(page).start()
    rest = pattern.sub("", page)
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    element = f"<{tag}>{text}</{tag.split()[0]}>\n"
    return rest[:first] + element + rest[first:], f"'sha256-{digest}'"


def c_byte(byte):
    # A character constant has the value that the byte has as a char, signed or not.
    return str(byte) if byte < 0x80 else f"'\\x{byte:02x}'"


def c_source(page, policy):
    values = [c_byte(byte) for byte in page] + ["0"]
    lines = [values[start : start + BYTES_PER_LINE] for start in range(0, len(values), BYTES_PER_LINE)]
    return "\n".join(
        [
            "/* SPDX-License-Identifier: MIT */",
            "/* Made by embed.py: change the page instead. */",
            '#include "page.h"',
            "",
            "const char hub_page[] = {",
            *(f"    {', '.join(line)}," for line in lines),
            "};",
            "",
            "const size_t hub_page_size = sizeof(hub_page) - 1;",
            "",
            "const char hub_page_content_security_policy[] =",
            f'    "{policy}";',
            "",
        ]
    )


def main(page_path, source_path):
    directory = os.path.dirname(page_path)
    page, style_hash = inline(read_text(page_path), STYLE, "style", directory)
    page, script_hash = inline(page, SCRIPT, 'script type="module"', directory)
    policy = (
        f"default-src 'none'; script-src {script_hash}; style-src {style_hash}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    with open(source_path, "w", encoding="ascii", newline="\n") as file:
        file.write(c_source(page.encode("utf-8"), policy))


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a C file of the hub's web page: embed.py page.html page.c

The style sheet and the scripts that the page names are put into it: scripts that follow each other
as one module. The C file defines what page.h declares: the bytes of the page, their number, and the
Content-Security-Policy that admits the page's own script and style, by their hashes, and
nothing else. The same page always gives the same file.
"""

import base64
import hashlib
import html.parser
import os.path
import re
import sys

BYTES_PER_LINE = 18
STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
SCRIPT = re.compile(r'<script type="module" src="([^"]+)"></script>\n')
SCRIPTS = re.compile(f"(?:{SCRIPT.pattern.replace('(', '(?:')})+")


class PageError(Exception):
    """The page holds something that its own policy would block."""


class InlineCode(html.parser.HTMLParser):
    """Collects the text of each inline script and style, and refuses what the policy forbids."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.texts = {"script": [], "style": []}
        self.inside = None

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "style" or name.startswith("on"):
                self.refuse(f"attribute {name} of <{tag}>: the policy blocks inline {name}")
            if name in ("src", "href") and not (value or "").startswith(("data:", "#")):
                self.refuse(f"attribute {name} of <{tag}>: the page must not load anything")
        if tag in self.texts:
            self.inside = tag
            self.texts[tag].append("")

    def handle_data(self, data):
        if self.inside is not None:
            self.texts[self.inside][-1] += data

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def refuse(self, message):
        raise PageError(f"line {self.getpos()[0]}: {message}")


def read_part(path):
    with open(path, "rb") as file:
        part = file.read()
    # A browser turns CR LF into LF before it hashes, and a byte order mark is not part of the text.
    if b"\r" in part or part.startswith(b"\xef\xbb\xbf"):
        raise PageError(f"{path}: line ends must be LF alone, without a byte order mark")
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PageError(f"{path}: not UTF-8: {error}") from error


def read_page(path):
    directory = os.path.dirname(path)

    def read(name):
        return read_part(os.path.join(directory, name))

    def inline_scripts(match):
        parts = [read(name) for name in SCRIPT.findall(match.group())]
        return "<script type=\"module\">\n" + "\n".join(parts) + "</script>\n"

    page = STYLE.sub(lambda match: f"<style>\n{read(match.group(1))}</style>", read_part(path))
    return SCRIPTS.sub(inline_scripts, page)


def hash_sources(texts):
    digests = [hashlib.sha256(text.encode("utf-8")).digest() for text in texts]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests) or "'none'"


def policy_directives(text):
    code = InlineCode()
    code.feed(text)
    code.close()
    if code.inside is not None:
        code.refuse(f"<{code.inside}> is not closed")
    return [
        "default-src 'none'",
        f"script-src {hash_sources(code.texts['script'])}",
        f"style-src {hash_sources(code.texts['style'])}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def c_byte(byte):
    # A character constant has the value that the byte has as a char, signed or not.
    return str(byte) if byte < 0x80 else f"'\\x{byte:02x}'"


def c_source(page, directives):
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
            "\n".join(f'    "{directive}; "' for directive in directives[:-1]),
            f'    "{directives[-1]}";',
            "",
        ]
    )


def main(arguments):
    if len(arguments) != 3:
        print("usage: embed.py page.html page.c", file=sys.stderr)
        return 2
    _, page_path, source_path = arguments
    try:
        page = read_page(page_path)
        source = c_source(page.encode("utf-8"), policy_directives(page))
        with open(source_path, "w", encoding="ascii", newline="\n") as file:
            file.write(source)
    except PageError as error:
        print(f"embed.py: {page_path}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"embed.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

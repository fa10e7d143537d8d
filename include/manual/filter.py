#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints a header as Doxygen is to read it: with a group for each function, so that each has its own manual page,
and with a paragraph for each part of a comment. Usage: filter.py HEADER"""

import re
import sys

COMMENT = re.compile(r"/\*\*(?!<)(.*?)\*/", re.S)
# A comment with the function that it describes.
FUNCTION = re.compile(r"^/\*\*((?:(?!\*/).)*?)\*/\n((?:SSE_API|static inline)[^;{]*?\b(sse_\w+)\([^;{]*)", re.S | re.M)
PARTS = r"(Effect|Ownership|Threads|Locks|Callbacks|Errors(?:, with[^:]*)?|Specification|Example): "
# Doxygen writes ' in place of " into manual pages. So this stands for it, and make.py puts the " back.
QUOTE = "xQUOTEx"


def parts(comment):
    """The comment with each of its parts in a paragraph with a title."""
    text = re.sub(r"(?<=[.]) (?=" + PARTS + ")", "\n * ", comment)
    text = re.sub(r"^ \* " + PARTS.rstrip(" ") + r"[ ]?", r" * \\par \1\n * ", text, flags=re.M)
    return text


def title(comment):
    text = " ".join(line.strip(" *") for line in comment.strip().split("\n"))
    return text.split(". ")[0].rstrip(".:").replace("`", "")


def grouped(match):
    comment, declaration, name = match.groups()
    return f"/** \\defgroup {name} {title(comment)} */\n/** \\ingroup {name}\n{comment}*/\n{declaration}"


def main():
    path = sys.argv[1]
    with open(path) as header:
        text = FUNCTION.sub(grouped, header.read())
    text = COMMENT.sub(lambda match: f"/**{parts(match.group(1))}*/", text)
    text = re.sub(r"/\*\*.*?\*/", lambda match: match.group().replace('"', QUOTE), text, flags=re.S)
    if path.endswith("/sse.h"):
        text = text.replace("/**", "/** \\page sse-emitter Server-Sent Events for HTTP servers written in C\n", 1)
    sys.stdout.write(text)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Executes the snippets of README and guides.

Usage: snippets.py ROOT WORK

- C is compiled, with every warning an error, behind what the page has shown before. A snippet without functions is
  the body of one.
- JavaScript is parsed.
- Shell commands run in a copy of the sources, block by block, as a reader would type them. A block `text` behind one
  is what it prints: it is waited for, and then the block is ended, as a reader would end curl.
- The examples of the headers are compiled as bodies of functions.
- Links to files and to headings lead somewhere, also those in the README files of lib and test.

Each prints a line; the status is 1 if one failed."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
EXAMPLE = re.compile(r"^ \* Example:\n \*\n((?: \*     .*\n)+)", re.M)
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`[^`]*`")
HEADING = re.compile(r"^#+ (.+)$", re.M)
FILE_SCOPE = re.compile(r"^(static |#include|/\* SPDX)|^\w[^;=\n]*\)\n\{", re.M)
PATIENCE = 120

# Commands that would change the machine only change a directory here.
SHELL = """
set -e
sudo() { "$@"; }
ldconfig() { :; }
meson() {
    if [ "$1" = setup ]; then command meson "$@" --prefix="$PREFIX" -Dlibdir=lib -Ddocs=disabled; else command meson "$@"; fi
}
"""


def documents(root):
    return [root / "README.md", *sorted((root / "examples").rglob("*.md"))]


def other_documents(root):
    return [root / "lib/README.md", *sorted((root / "test").rglob("*.md"))]


def anchors(path):
    """The names of the headings of a page, as GitHub makes them."""
    headings = (re.sub(r"\]\([^)]*\)", "", heading) for heading in HEADING.findall(BLOCK.sub("", path.read_text())))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def note(self, document, line, what, error=None):
        self.passed += error is None
        self.failed += error is not None
        print(f"{'ok' if error is None else 'not ok'}: {document}:{line}: {what}")
        if error is not None:
            print("    " + error.strip().replace("\n", "\n    "))


class Document:
    def __init__(self, path, root, work, report):
        self.path, self.root, self.report = path, root, report
        self.name = path.relative_to(root)
        self.work = work / str(self.name).replace("/", "-")
        self.work.mkdir(parents=True)
        self.text = path.read_text()
        self.shown = ""  # C of this page so far

    def note(self, at, what, error=None):
        self.report.note(self.name, self.text.count("\n", 0, at) + 1, what, error)

    def run_c(self, at, code):
        if "main(" in code:
            options = []
        else:
            options = ["-include", str(self.root / "test/docs/snippets.h")]
            if FILE_SCOPE.search(code):
                code = self.shown = self.shown + code
            else:
                code = self.shown + self.body(code)
        source = self.work / "snippet.c"
        source.write_text(code)
        done = subprocess.run(
            [os.environ.get("CC", "cc"), "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror",
             "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unused-but-set-variable",
             "-Wno-unused-parameter", "-Wno-unused-but-set-parameter",
             f"-I{self.root / 'include'}", *options, "-c", str(source), "-o", str(self.work / "snippet.o")],
            capture_output=True, text=True)
        self.note(at, "C", done.stderr if done.returncode else None)

    @staticmethod
    def body(code):
        return ("void snippet(struct sse_registry *registry, struct sse_loop *loop, struct sse_emitter *emitter,\n"
                "             struct sse_emitter_options options, struct sse_http_options http, struct sse_text topic,\n"
                "             struct sse_text header, struct sse_text query, struct sse_event event, uint64_t random_bits,\n"
                "             struct pollfd *fds, nfds_t count, int client, int error)\n{\n{\n" + code + "}\n}\n")

    def run_js(self, at, code):
        source = self.work / "snippet.mjs"
        source.write_text(code)
        done = subprocess.run(["node", "--check", str(source)], capture_output=True, text=True)
        self.note(at, "JavaScript", done.stderr if done.returncode else None)

    def run_sh(self, at, code, expected):
        copy = self.copy()
        output = self.work / "output"
        prefix = self.work / "prefix"
        environment = dict(os.environ, PREFIX=str(prefix), PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig"),
                           LD_LIBRARY_PATH=str(prefix / "lib"))
        with open(output, "w") as file:
            process = subprocess.Popen(["sh", "-c", SHELL + code], cwd=copy, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        error = self.await_output(process, output, expected)
        # It has not been waited for, so its number is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.note(at, "commands" if expected is None else "commands and their output", error)

    @staticmethod
    def await_output(process, output, expected):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            text = output.read_text(errors="replace")
            if expected is not None and expected in text:
                return None
            if ended and (expected is not None or ended.si_status != 0):
                return f"status {ended.si_status}:\n{text}"
            if ended:
                return None
            time.sleep(0.05)
        return f"not ended after {PATIENCE} s:\n{output.read_text(errors='replace')}"

    def copy(self):
        copy = self.work / "sources"
        if not copy.exists():
            copy.mkdir()
            for name in ("include", "lib", "examples", "meson.build", "meson_options.txt"):
                subprocess.run(["cp", "-R", str(self.root / name), str(copy)], check=True)
        return copy

    def run(self):
        blocks = [(match.start(), match.group(1), match.group(2)) for match in BLOCK.finditer(self.text)]
        for (at, language, code), following in zip(blocks, blocks[1:] + [(0, "", "")]):
            if language == "c":
                self.run_c(at, code)
            elif language == "js":
                self.run_js(at, code)
            elif language == "sh":
                self.run_sh(at, code, following[2] if following[1] == "text" else None)
        self.check_links()

    def check_links(self):
        for match in LINK.finditer(CODE.sub(lambda code: " " * len(code.group()), self.text)):
            name, heading = match.groups()
            target = (self.path.parent / name).resolve() if name else self.path
            if not target.exists():
                self.note(match.start(), f"link to {name}", "there is no such file")
            elif heading and heading not in anchors(target):
                self.note(match.start(), f"link to {name}#{heading}", "there is no such heading")


def run_header(path, root, work, report):
    header = Document(path, root, work, report)
    for match in EXAMPLE.finditer(header.text):
        header.run_c(match.start(), match.group(1).replace(" *     ", ""))


def main():
    root, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    report = Report()
    for path in documents(root):
        Document(path, root, work, report).run()
    for path in other_documents(root):
        Document(path, root, work, report).check_links()
    for path in sorted((root / "include/sse").glob("*.h")):
        run_header(path, root, work, report)
    print(f"snippets: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


sys.exit(main())

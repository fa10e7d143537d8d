#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the manual pages and the reference in HTML from the headers, with Doxygen.
Usage: make.py DOXYGEN VERSION INCLUDE OUTPUT. It makes man3, man7 and html in OUTPUT."""

import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Pages of files and folders are left out, because functions and structs have their own pages.
NOT_WANTED = re.compile(r"^(_.*|.*\.h)\.3$")

# What filter.py has put in place of ".
QUOTE = "xQUOTEx"


def configure(version, include, work):
    values = {"VERSION": version, "HEADERS": include / "sse", "INCLUDE": include, "OUTPUT": work,
              "PYTHON": sys.executable, "FILTER": HERE / "filter.py"}
    text = (HERE / "Doxyfile.in").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def today():
    """Today's date. A reproducible build sets another one in the environment."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).date() if epoch else datetime.date.today()


def without_blank(lines):
    kept, verbatim = [], False
    for line in lines:
        verbatim = line == ".nf" or (verbatim and line != ".fi")
        if line or verbatim:
            kept.append(line)
    return kept


def is_superfluous(line, before, after):
    """Whether a line is a break beside a heading, which mandoc warns of."""
    before, after = before[:3], after[:3]
    if line == ".PP":
        return before in (".SH", ".SS", ".PP") or after in (".SH", ".SS", ".PP", ".sp", ".IP", "")
    return line in (".sp", ".br") and (before in (".SH", ".SS", ".PP") or after in (".SH", ".SS", ""))


def clean(page, section):
    """The page without what mandoc warns of: fonts that it lacks, a date in words, breaks beside headings."""
    page = re.sub(r'^\.TH "([^"]*)" 3 "[^"]*"', rf'.TH "\1" {section} "{today()}"', page, flags=re.M)
    page = page.replace(r"\fC", r"\fB").replace(QUOTE, r"\(dq")
    page = re.sub(r'^\.SH "Author".*', "", page, flags=re.M | re.S)
    if section == 7:
        page = re.sub(r"^(\.SH NAME\n.*\n)", r"\1.SH DESCRIPTION\n", page, flags=re.M)
    kept = [""]
    lines = without_blank([line.rstrip() for line in page.split("\n")])
    for line, after in zip(lines, lines[1:] + [""]):
        if not is_superfluous(line, kept[-1], after):
            kept.append(line)
    page = "\n".join(kept[1:]) + "\n"
    return page.replace("\n.RS 4\n.RE", "").replace('.SH "Detailed Description"\n.SH', ".SH")


def copy_html(source, target):
    shutil.copytree(source, target)
    for path in [*target.rglob("*.html"), *target.rglob("*.js")]:
        text = path.read_text()
        if QUOTE in text:
            path.write_text(text.replace(QUOTE, "&quot;"))


def main():
    doxygen, version = sys.argv[1:3]
    include, output = (pathlib.Path(path).resolve() for path in sys.argv[3:5])
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        subprocess.run([doxygen, "-"], input=configure(version, include, work), text=True, check=True)
        for name in ("man3", "man7", "html"):
            shutil.rmtree(output / name, ignore_errors=True)
        (output / "man3").mkdir(parents=True)
        (output / "man7").mkdir()
        for path in (work / "man" / "man3").iterdir():
            if NOT_WANTED.match(path.name):
                continue
            section = 7 if path.name.startswith("sse-emitter") else 3
            target = output / f"man{section}" / f"{path.stem}.{section}"
            target.write_text(clean(path.read_text(), section))
        copy_html(work / "html", output / "html")


main()

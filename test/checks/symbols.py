#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what the library exports and imports. Usage: symbols.py SOURCE_ROOT LIBRARY.so BUILD_ROOT"""

import pathlib
import re
import subprocess
import sys

# The pure layer may only move and compare bytes. (Compilers make bcmp of memcmp.)
PURE = {"bcmp", "memcpy", "memchr", "memcmp", "memmove", "memset", "strlen"}

# The permitted imports: libc and POSIX threads. Everything else is a new dependency.
IMPORTS_PATTERN = re.compile(
    r"^(bcmp|(__)?pthread_\w+|__register_atfork|__sigsetjmp|sig\w+|mem\w+|str\w+|malloc|free|clock_gettime|open|open64|read|close|getpid|poll|"
    r"__poll_chk|send|sendmsg|recv|shutdown|getsockopt|setsockopt|getsockname|write|writev|pipe|fcntl|fcntl64|fstat|fstat64|"
    r"__fxstat\w*|epoll_create1|epoll_ctl|epoll_wait|eventfd|eventfd_\w+|timerfd_create|timerfd_settime|"
    r"__errno_location|__\w+_chk|__stack_chk_fail|"
    # the start-up code of the compiler and its runtime
    r"_ITM_\w+|__gmon_start__|__cxa_finalize)$")

# Calls that fail only over a bad argument, or never. Every other import must be one that
# test/support/faulty_calls.c lets fail, and test/injection does.
NEVER_FAIL_PATTERN = re.compile(
    r"^(bcmp|mem\w+|str\w+|free|getpid|clock_gettime|timerfd_settime|sig\w+|__sigsetjmp|__errno_location|"
    r"(__)?pthread_(cond|mutex)_(lock|trylock|unlock|wait|timedwait|signal|broadcast|destroy)|"
    r"pthread_condattr_(destroy|setclock)|pthread_(self|setcancelstate|sigmask)|"
    r"__pthread_((un)?register_cancel|unwind_next)|__\w+_chk|__stack_chk_fail|_ITM_\w+|__gmon_start__|__cxa_finalize)$")


def calls_that_fail(root):
    text = (root / "test/support/faulty_calls.c").read_text()
    # The platform's allocator fails instead of malloc. pthread_atfork fails in test_fork_number.
    return set(re.findall(r"^\w+ __wrap_(\w+)\(.*\)$", text, re.M)) | {"malloc", "__register_atfork"}


def names(*arguments):
    lines = subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines if len(line.split()) > 1}


def main():
    root, library, build = (pathlib.Path(argument) for argument in sys.argv[1:4])
    faults = []

    headers = "".join(p.read_text() for p in sorted((root / "include/sse").glob("*.h")))
    declared = set(re.findall(r"^SSE_API [^;(]*?\b(\w+)\(", headers, re.M))
    mapped = set(re.findall(r"^\s+(sse_\w+);", (root / "lib/libsse-emitter.map").read_text(), re.M))
    exported = names("-D", "--defined-only", str(library)) - {"SSE_EMITTER_0"}
    faults += [f"{name}: not declared in a header and named in the map alike" for name in declared ^ mapped]
    faults += [f"{name}: exported, but not in the map, or the reverse" for name in exported ^ mapped]
    faults += [f"{name}: exported without the prefix sse_" for name in exported if not name.startswith("sse_")]

    # A program that links the static library shares one name space with it.
    archive = build / "libsse-emitter.a"
    clashing = {name for name in names("--defined-only", "--extern-only", str(archive)) if not name.startswith("sse_")}
    faults += [f"{name}: global in the static library without the prefix sse_" for name in clashing]

    imported = names("-D", "--undefined-only", str(library))
    faults += [f"{name}: imported" for name in imported if not IMPORTS_PATTERN.match(name)]
    failing = calls_that_fail(root)
    faults += [f"{name}: no test lets it fail" for name in imported
               if name not in failing and not NEVER_FAIL_PATTERN.match(name)]
    needed = subprocess.run(["readelf", "-d", str(library)], check=True, capture_output=True, text=True).stdout
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", needed):
        if not re.match(r"(libc|libpthread|ld-)[\w.-]*$", name):
            faults.append(f"{name}: needed")
    if not re.search(r"\(SONAME\).*\[libsse-emitter\.so\.0\]", needed):
        faults.append("the soname is not libsse-emitter.so.0")

    # A program that exports a name of ours would be called from inside the library. Row L15.
    relocations = subprocess.run(["readelf", "-rW", str(library)], check=True, capture_output=True, text=True).stdout
    faults += [f"{name}: found through the dynamic symbol table"
               for name in sorted(set(re.findall(r"\b(sse_\w+)", relocations)))]

    wire = sorted(build.glob("libsse-emitter.so*.p/lib_wire_*.o"))
    if not wire:
        faults.append(f"no object of the wire layer in {build}")
    own = set().union(*(names("--defined-only", str(p)) for p in wire)) if wire else set()
    for path in wire:
        foreign = names("--undefined-only", str(path)) - PURE - own - {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
        faults += [f"{path.name}: imports {name}" for name in sorted(foreign)]

    print("\n".join(sorted(faults)) or f"{len(exported)} exported, {len(imported)} imported, {len(wire)} pure objects")
    return 1 if faults else 0


sys.exit(main())

# SPDX-License-Identifier: MIT
"""The test programs of a build directory: how each is linked, and how its objects are compiled. A mutant compiles
only the objects of its file, and links the programs whose link list names one of them."""

import json
import os
import resource
import shlex
import signal
import subprocess
import time

LIBRARY = "libsse-emitter.a"
# A mutant may allocate without end.
MEMORY_MAX = 4 << 30
# With this many times the processor time of a run without a fault, and at least this many seconds, it runs for ever.
PATIENCE = 8
TIMEOUT_MIN = 20
# Whoever uses none waits for ever. Other programs may have the processor for longer.
WAITING = 4


def limit_process(seconds):
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def run(arguments, directory, timeout, environment=None):
    """How it ended: a status, or None if it was killed for waiting too long. What it printed is in DIRECTORY/printed."""
    with open(os.path.join(directory, "printed"), "wb") as printed:
        process = subprocess.Popen(arguments, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
                                   preexec_fn=lambda: limit_process(int(timeout) + 1))
    try:
        return process.wait(WAITING * timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Children of a program that hangs are in its group.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def manner(status):
    """How a program noticed a fault, if not by a check."""
    if status is None:
        return " (waits for ever)"
    return " (turns for ever)" if status in (-signal.SIGXCPU, -signal.SIGKILL) else ""


class Program:
    def __init__(self, target, link, arguments):
        self.target = target
        self.link = link            # a list, as meson would run it
        self.arguments = arguments
        self.duration = 0
        self.objects = [word for word in link if word.endswith(".o")]

    def timeout(self):
        return max(TIMEOUT_MIN, PATIENCE * self.duration)


class Build:
    def __init__(self, directory, root):
        self.directory = directory
        self.root = root
        self.commands = {}  # object: its command, a list
        self.sources = {}   # object: its source, relative to the root
        for entry in self.read_commands():
            self.commands[entry["output"]] = shlex.split(entry["command"])
            source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
            self.sources[entry["output"]] = os.path.relpath(source, root)
        self.library = sorted(name for name in self.commands if name.startswith(LIBRARY + ".p/"))
        self.environment = dict(os.environ, MALLOC_PERTURB_="165",
                                SSE_TEST_VECTORS=os.path.join(root, "test", "vectors", "conformance.tsv"))
        self.headers = {}   # header: the objects that it goes into
        self.read_headers()

    def read_commands(self):
        with open(os.path.join(self.directory, "compile_commands.json")) as file:
            return json.load(file)

    def query(self, *command):
        return subprocess.run(command, cwd=self.directory, stdout=subprocess.PIPE, text=True, check=True).stdout

    def unit_tests(self):
        """The targets of the suite unit."""
        tests = json.loads(self.query("meson", "introspect", "--tests"))
        return sorted({os.path.relpath(test["cmd"][0], self.directory) for test in tests
                       if any(suite.endswith(":unit") for suite in test["suite"])})

    def program(self, target, arguments=()):
        link = shlex.split(self.query("ninja", "-t", "commands", "-s", target).splitlines()[-1])
        at = link.index(LIBRARY) if LIBRARY in link else None
        if at is not None:
            link[at:at + 1] = self.library
        return Program(target, link, list(arguments))

    def objects_of(self, file):
        """The objects that a file goes into, a header too."""
        if file.endswith(".c"):
            return [name for name, source in self.sources.items() if source == file]
        return self.headers.get(file, [])

    def read_headers(self):
        current = None
        for line in self.query("ninja", "-t", "deps").splitlines():
            if line and not line.startswith(" "):
                current = line.split(":")[0]
            elif line.strip() and current in self.commands:
                path = os.path.relpath(os.path.normpath(os.path.join(self.directory, line.strip())), self.root)
                if path.endswith(".h") and not path.startswith(".."):
                    self.headers.setdefault(path, []).append(current)

    def compile(self, name, output, file, mutated, overlay):
        """False if the mutant is no C. `mutated`: the path of the changed file."""
        command = [word for word in self.commands[name] if word != "-Werror"] + ["-w"]
        command[command.index("-o") + 1] = output
        for option in ("-MQ", "-MF"):
            del command[command.index(option):command.index(option) + 2]
        command.remove("-MD")
        if file.endswith(".c"):
            command[command.index("-c") + 1] = mutated
        else:
            command.insert(1, "-I" + overlay)
        return self.call(command) == 0

    def link(self, program, output, replaced):
        command = [replaced.get(word, word) for word in program.link]
        command[command.index("-o") + 1] = output
        if self.call(command) != 0:
            raise RuntimeError(" ".join(command))

    def call(self, command):
        return subprocess.run(command, cwd=self.directory, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode

    def run(self, program, path, directory):
        begin = time.monotonic()
        status = run([path, *program.arguments], directory, program.timeout(), self.environment)
        return status, time.monotonic() - begin

# SPDX-License-Identifier: MIT
"""The servers that are compared, each started anew for a run; `missing` tells why one cannot run here."""

import contextlib
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
LOOPBACK = "127.0.0.1"
NODE_MAJOR = 20
# Where Debian has what nginx loads; and nginx is where not every user looks for programs.
NCHAN = pathlib.Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
OURS = "../../examples/hosts/nginx/ngx_http_sse_module.so"
# nginx's configuration: the location of streams, and the one that publishes. No events are retained.
LOCATIONS = {
    "nchan": {
        "EVENTS": "nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest;",
        "PUBLISH": "nchan_publisher; nchan_channel_id bench; nchan_store_messages off;",
        "HTTP": "",
    },
    "nginx_module": {
        "EVENTS": "set $args topic=bench; sse;",
        "PUBLISH": "set $args topic=bench; sse_publish;",
        "HTTP": "sse_history 0;",
    },
}
# Where workers share events they are stored, by nchan too: without that, clients of the other worker miss some.
STORED = {
    "nchan": {**LOCATIONS["nchan"], "PUBLISH": "nchan_publisher; nchan_channel_id bench;"},
    "nginx_module": {**LOCATIONS["nginx_module"], "HTTP": "sse_shared on;"},
}
PATH = os.environ.get("PATH", "") + ":/usr/sbin"

# As many files as a server may open here; what nginx and libwebsockets set aside grows with the number.
FILES_MAX = 20000
HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
FILES = FILES_MAX if HARD_LIMIT == resource.RLIM_INFINITY else min(FILES_MAX, HARD_LIMIT)

# One core for the server and one for the clients, where there are two; or all for both.
CORES = sorted(os.sched_getaffinity(0))
ALL = None


def pinned(core, command):
    chosen = CORES if core is ALL else [CORES[core % len(CORES)]]
    return ["taskset", "-c", ",".join(map(str, chosen))] + [str(word) for word in command]


def end(running):
    running.terminate()
    try:
        running.wait(timeout=20)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


@contextlib.contextmanager
def process(core, command):
    """A process that prints its port first: (process, port)."""
    running = subprocess.Popen(pinned(core, command), stdout=subprocess.PIPE, text=True)
    try:
        port = running.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{command[0]} does not start")
        yield running, int(port)
    finally:
        end(running)
        running.stdout.close()


@contextlib.contextmanager
def program(core, command):
    """One process: (its port, its id)."""
    with process(core, command) as (running, port):
        yield port, str(running.pid)


def free_port():
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


def until(what, seconds=20):
    """Asks until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = what()
        if answer:
            return answer
        time.sleep(0.02)
    raise RuntimeError("nginx does not start")


def answers(port):
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


def workers_of(master, count):
    """Their ids with commas between them, when all have started."""
    children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return ",".join(children) if len(children) == count else None


def nginx_module(name, programs):
    return NCHAN if name == "nchan" else (programs / OURS).resolve()


def write_configuration(directory, filled):
    text = (HERE / "nginx.conf").read_text()
    for name, value in filled.items():
        text = text.replace(f"@{name}@", str(value))
    path = pathlib.Path(directory) / "nginx.conf"
    path.write_text(text)
    return path


def settings(name, programs, workers):
    """What differs between the modules, and between one worker and several."""
    several = workers > 1
    return {"MODULE": nginx_module(name, programs), "WORKERS": workers, "LISTEN": "reuseport" if several else "",
            **(STORED if several else LOCATIONS)[name]}


@contextlib.contextmanager
def nginx_with(name, programs, scratch, workers):
    """nginx with a module and some workers, whose ids it gives, for they are what serves."""
    port = free_port()
    with tempfile.TemporaryDirectory(dir=scratch) as directory, \
            process(-1, [sys.executable, HERE / "nginx_publisher.py", port]) as (_, publisher):
        filled = {"DIRECTORY": directory, "PORT": port, "FILES": FILES, "PUBLISHER": publisher,
                  **settings(name, programs, workers)}
        configuration = write_configuration(directory, filled)
        core = 0 if workers == 1 else ALL
        master = subprocess.Popen(pinned(core, [nginx(), "-p", directory, "-c", configuration]))
        try:
            until(lambda: master.poll() is not None or answers(port))
            yield port, until(lambda: workers_of(master.pid, workers))
        finally:
            end(master)


def nginx():
    return shutil.which("nginx", path=PATH)


def missing_for_better_sse(workplace):
    if not shutil.which("node") or not (workplace / "node_modules/better-sse").is_dir():
        return "npm cannot install better-sse"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    too_old = int(version.lstrip("v").split(".")[0]) < NODE_MAJOR
    return f"better-sse needs node {NODE_MAJOR} or newer" if too_old else None


def missing(name, programs, workplace):
    """Why this peer cannot run here; None if it can."""
    if name == "better_sse":
        return missing_for_better_sse(workplace)
    if name == "libwebsockets" and not (programs / "peers/peer_libwebsockets").exists():
        return "libwebsockets-dev is not installed"
    if name in LOCATIONS and not nginx():
        return "nginx is not installed"
    if name == "nchan" and not NCHAN.exists():
        return "libnginx-mod-nchan is not installed"
    if name == "nginx_module" and not nginx_module(name, programs).exists():
        return "nginx-dev is not installed"
    return None


def start(name, programs, workplace, cores=1):
    """A context that gives (port, ids of the processes that serve). What has one thread may use any of the cores."""
    core = 0 if cores == 1 else ALL
    if name in LOCATIONS:
        return nginx_with(name, programs, workplace, cores)
    if name == "better_sse":
        return program(core, ["node", workplace / "better_sse.mjs"])
    if name == "libwebsockets":
        return program(core, [programs / "peers/peer_libwebsockets"])
    return program(core, [programs / ("server" if name == "sse_emitter" else name)])

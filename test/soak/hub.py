#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random clients against a hub for a long time: hub.py PROGRAM SECONDS [SEED]. The hub is built with sanitizers. When
the clients have gone, it must have no stream left, must have ended each once, must hold no more memory than after
the first tenth of the time, and must stop at SIGTERM without a report."""

import asyncio
import json
import random
import signal
import socket
import struct
import sys
import time

CLIENTS = 40
OPTIONS = ["--listen", "127.0.0.1:0", "--stall", "1000", "--lifetime", "3000", "--heartbeat", "500", "--queue-bytes",
           "65536", "--history-events", "100", "--max-clients", "30", "--retry", "1"]
# The history is full, but its events differ in how many blocks they take.
BLOCKS_ROOM = 100
QUIET_SECONDS = 60

counts = {}


def count(what):
    counts[what] = counts.get(what, 0) + 1


class Hub:
    def __init__(self, process, port):
        self.process = process
        self.port = port

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def request(self, method, target, body=b""):
        reader, writer = await self.connect()
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
        if method == "POST":
            head += f"Content-Length: {len(body)}\r\n"
        try:
            writer.write(head.encode() + b"\r\n" + body)
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    async def statistics(self):
        answer = await self.request("GET", "/stats")
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def abort(writer):
    """Closes with a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def stream(hub, chance):
    reader, writer = await hub.connect()
    last = f"Last-Event-ID: {chance.choice(['nonsense', '1', 'a-0000000000000001'])}\r\n" if chance.random() < 0.5 else ""
    topics = "&".join(f"topic={chance.choice('abcde')}" for _ in range(chance.randint(1, 4)))
    writer.write(f"GET /events?{topics} HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n{last}\r\n".encode())
    end = time.monotonic() + chance.random() * 2
    while time.monotonic() < end:
        try:
            if not await asyncio.wait_for(reader.read(65536), max(0.0, end - time.monotonic())):
                break
        except asyncio.TimeoutError:
            break
    if chance.random() < 0.3 and writer.can_write_eof():
        writer.write_eof()
        await asyncio.sleep(chance.random())
    abort(writer) if chance.random() < 0.3 else writer.close()


async def stall(hub, chance):
    """Reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", hub.port))
    await asyncio.get_running_loop().sock_sendall(sock, b"GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.sleep(chance.random() * 3)
    sock.close()


async def publish(hub, chance):
    size = chance.choice([0, 1, 20, 500, 5000, 40000, 70000])
    body = chance.randbytes(size) if chance.random() < 0.1 else b"x" * size
    for _ in range(chance.randint(1, 20)):
        await hub.request("POST", f"/publish?topic={chance.choice('abcde')}", body)


async def complete(hub, chance):
    await hub.request("POST", f"/complete?topic={chance.choice('abcde')}")


async def nonsense(hub, chance):
    reader, writer = await hub.connect()
    request = chance.choice([b"GET /events?topic=a HTT", b"\r\n\r\n", b"POST /publish?topic=a HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
                             b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", chance.randbytes(300)])
    writer.write(request)
    await asyncio.sleep(chance.random())
    abort(writer)


async def client(hub, chance, end):
    while time.monotonic() < end:
        behaviour = chance.choices([stream, stall, publish, complete, nonsense], [10, 2, 4, 1, 2])[0]
        try:
            await behaviour(hub, chance)
        except (ConnectionError, asyncio.IncompleteReadError):
            count("connections that the hub refused or broke")
        count(behaviour.__name__)


async def run_clients(hub, chance, seconds):
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(hub, random.Random(chance.random()), end) for _ in range(CLIENTS)))


async def quiet(hub):
    """The statistics when nobody is left but who asks for them."""
    end = time.monotonic() + QUIET_SECONDS
    while True:
        found = await hub.statistics()
        if found["connections"] == 1 and not found["emitters"]:
            break
        if time.monotonic() > end:
            sys.exit(f"streams are left: {found}")
        await asyncio.sleep(0.05)
    if sum(found["closed"].values()) != found["added"]:
        sys.exit(f"not each stream ended once: {found}")
    print(f"{found['added']} streams, {found['published']} events, {found['written']} written, "
          f"{found['memory_blocks']} blocks, {found['memory_bytes']} bytes", flush=True)
    return found


async def main():
    seconds = float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}", flush=True)
    process = await asyncio.create_subprocess_exec(sys.argv[1], *OPTIONS, stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.PIPE)
    errors = asyncio.create_task(process.stderr.read())
    line = (await process.stdout.readline()).decode()
    hub = Hub(process, int(line.rstrip().rstrip("/").rsplit(":", 1)[1]))
    rest = asyncio.create_task(process.stdout.read())
    await run_clients(hub, chance, seconds / 10)
    first = await quiet(hub)
    await run_clients(hub, chance, seconds * 9 / 10)
    last = await quiet(hub)
    process.send_signal(signal.SIGTERM)
    status = await process.wait()
    await rest
    report = (await errors).decode(errors="replace")
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    if status or "Sanitizer" in report or "runtime error" in report:
        sys.exit(f"the hub ended with {status}\n{report}")
    if last["memory_blocks"] > first["memory_blocks"] + BLOCKS_ROOM:
        sys.exit("the hub keeps more memory than after the first tenth of the time")


asyncio.run(main())

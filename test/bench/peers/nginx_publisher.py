#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publishes to nginx what GET /start asks for: one POST for each event, the next when nginx has answered the
one before. Prints its port, to which nginx passes /start. Usage: nginx_publisher.py PORT_OF_NGINX"""

import http.client
import http.server
import sys
import threading
import time
import urllib.parse

STAMP_DIGITS = 19
LOOPBACK = "127.0.0.1"


def publish(port, count, size):
    connection = http.client.HTTPConnection(LOOPBACK, port)
    filler = "x" * (size - STAMP_DIGITS)
    for _ in range(count):
        # The clock of CLOCK_MONOTONIC.
        connection.request("POST", "/publish", f"{time.monotonic_ns():0{STAMP_DIGITS}d}{filler}")
        response = connection.getresponse()
        response.read()
        if response.status not in (201, 202):
            sys.exit(f"nginx has answered {response.status}")
    connection.close()


class Start(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        count, size = int(wanted["n"][0]), int(wanted["size"][0])
        self.send_response(204)
        self.end_headers()
        self.wfile.flush()
        threading.Thread(target=publish, args=(int(sys.argv[1]), count, size), daemon=True).start()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Start)
print(server.server_port, flush=True)
server.serve_forever()

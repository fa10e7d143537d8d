# SPDX-License-Identifier: MIT
"""Prints [TCP_NODELAY, TCP_USER_TIMEOUT] of each connection that a process has to a port, as JSON. Ends with 77 where the
system does not let it look.

    python3 socket_options.py PID PORT
"""
import ctypes
import json
import os
import socket
import sys

PIDFD_OPEN, PIDFD_GETFD = 434, 438
SKIP = 77

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        sys.exit(SKIP)
    return result


def is_socket(path):
    try:
        return os.readlink(path).startswith('socket:')
    except OSError:
        return False  # It has been closed meanwhile.


def connections(pid, port):
    process = call(PIDFD_OPEN, pid, 0)
    for number in os.listdir(f'/proc/{pid}/fd'):
        if not is_socket(f'/proc/{pid}/fd/{number}'):
            continue
        with socket.socket(fileno=call(PIDFD_GETFD, process, int(number), 0)) as copy:
            is_listener = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            is_tcp = copy.family in (socket.AF_INET, socket.AF_INET6)
            if is_tcp and copy.getsockname()[1] == port and not is_listener:
                yield [copy.getsockopt(socket.IPPROTO_TCP, option)
                       for option in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT)]


print(json.dumps(list(connections(int(sys.argv[1]), int(sys.argv[2])))))

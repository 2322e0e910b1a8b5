"""Asks a DNS server for a name, wherever it is run: `dig.py SERVER NAME [udp|tcp] [a|txt]`. Prints the answer's code and data.

Prints `none` when no answer comes. It stands alone, so that it can be piped into a machine.
"""

import os
import socket
import struct
import sys

SECONDS = 1.5
KINDS = {"a": 1, "txt": 16}


def ask(server, name, protocol, kind):
    query = struct.pack("!2sHHHHH", os.urandom(2), 0x0100, 1, 0, 0, 0)
    query += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    query += struct.pack("!HH", KINDS[kind], 1)
    stream = protocol == "tcp"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as asking:
        asking.settimeout(SECONDS)
        asking.connect((server, 53))
        asking.sendall(struct.pack("!H", len(query)) + query if stream else query)
        answer = asking.recv(65535)
    answer = answer[2:] if stream else answer
    return f"{answer[3] & 15} {answer[len(query):]!r}"


def main():
    server, name, protocol, kind = (sys.argv[1:] + ["udp", "a"][len(sys.argv) - 3 :])[:4]
    try:
        print(ask(server, name, protocol, kind))
    except OSError:
        print("none")


main()

"""Runs where nothing of a box may arrive: `witness.py FILE [serve ADDRESS]`. Writes down each mark that comes in by any device.

With `serve` it also answers, as a thief's machine would: TCP and UDP on a few ports, and names as their holder.
"""

import re
import socket
import sys
import threading

MARK = re.compile(rb"dbx[0-9a-f]{16}", re.IGNORECASE)
PORTS = (22, 53, 80, 123, 443, 4566, 9000)
EVERY_FRAME = 0x0003


def sniff(heard):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_FRAME)) as wire:
        heard.write("listening\n")
        while True:
            frame, (_, _, kind, _, _) = wire.recvfrom(65535)
            if kind in (socket.PACKET_OUTGOING, socket.PACKET_LOOPBACK):
                continue
            for mark in MARK.findall(frame):
                heard.write(mark.decode().lower() + "\n")


def answer(query):
    """An address for whatever name is asked, or what was sent."""
    end = query.find(b"\0", 12) + 5
    if len(query) < 17 or query[4:6] != b"\0\1" or end < 17:
        return query
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\x35"


def serve_udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.bind((address, port))
        while True:
            said, client = serving.recvfrom(4096)
            serving.sendto(answer(said) if port == 53 else said, client)


def serve_tcp(address, port):
    with socket.create_server((address, port), reuse_port=True) as serving:
        while True:
            connection, _ = serving.accept()
            connection.close()


def main():
    for port in PORTS if "serve" in sys.argv else ():
        for serve in (serve_udp, serve_tcp):
            threading.Thread(target=serve, args=(sys.argv[3], port), daemon=True).start()
    with open(sys.argv[1], "a", buffering=1) as heard:
        sniff(heard)


main()

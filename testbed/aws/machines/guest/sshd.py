"""Stands in for the image's sshd: holds port 22 and answers nobody. Returns once it listens; a child of it goes on, whose id it
writes into the file that it is told."""

import os
import signal
import socket
import sys

door = socket.create_server(("", 22))
child = os.fork()
if child == 0:
    while True:
        signal.pause()
with open(sys.argv[1], "w") as unit:
    unit.write(str(child))

"""Holds every zone of the internet, as somebody does who has a box's name tunnel end at him: `zone.py ADDRESS FILE`.

Writes each name that it is asked for into the file, and answers with 192.0.2.53.
"""

import socket
import sys

ADDRESS = bytes([192, 0, 2, 53])


def name_of(query):
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode())
        place += 1 + query[place]
    return ".".join(labels), place + 5


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving, open(sys.argv[2], "a", buffering=1) as heard:
        serving.bind((sys.argv[1], 53))
        heard.write("serving\n")
        while True:
            query, client = serving.recvfrom(4096)
            name, end = name_of(query)
            heard.write(f"{name}\n")
            record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + ADDRESS
            serving.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + record, client)


main()

"""Runs on a box as root: tries ways out, and prints as JSON what came of each. It stands alone, since it is piped in.

`python3 -c THIS '[{"name": ..., "tool": ..., ...}]'`. Each attempt runs in a thread of its own. What is sent carries the
attempt's mark, so that whoever receives it can tell; `through` says what the box itself saw: an answer of any kind.
"""

import concurrent.futures
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import urllib.parse

SECONDS = 1.0
SYN = 2
ETHERNET_IPV4, ETHERNET_ARP, ETHERNET_VLAN = 0x0800, 0x0806, 0x8100
REFUSED = (ConnectionRefusedError, ConnectionResetError)


def opened(family, kind, device=None, source=None, protocol=0):
    made = socket.socket(family, kind, protocol)
    made.settimeout(SECONDS)
    if device:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if source:
        made.bind((source, 0))
    return made


def tcp(mark, to, port, device=None, source=None, family="4"):
    """A connection, or its refusal: both come from the other side."""
    kind = socket.AF_INET6 if family == "6" else socket.AF_INET
    with opened(kind, socket.SOCK_STREAM, device, source) as asking:
        try:
            asking.connect((to, port))
            asking.sendall(mark.encode() + b"\r\n\r\n")
        except REFUSED:
            pass
    return "answered"


def udp(mark, to, port, device=None, source=None, family="4"):
    kind = socket.AF_INET6 if family == "6" else socket.AF_INET
    with opened(kind, socket.SOCK_DGRAM, device, source) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.connect((to, port))
        asking.send(mark.encode())
        try:
            asking.recv(2048)
        except REFUSED:
            pass
    return "answered"


def icmp(mark, to, device=None, source=None, family="4"):
    """An echo request with the mark in it."""
    six = family == "6"
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    header = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1)
    message = header + mark.encode()
    if not six:
        message = header[:2] + struct.pack("!H", checksum(message)) + header[4:] + mark.encode()
    with opened(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, device, source, protocol) as asking:
        asking.sendto(message, (to, 0))
        while True:
            answer, _ = asking.recvfrom(2048)
            answer = answer if six else answer[(answer[0] & 15) * 4 :]
            if answer[0] in (0, 129) and mark.encode() in answer:
                return "answered"


def protocol(mark, to, number, device=None):
    """A packet of another protocol than TCP, UDP or ICMP."""
    with opened(socket.AF_INET, socket.SOCK_RAW, device, None, number) as asking:
        asking.sendto(mark.encode(), (to, 0))
        asking.recv(2048)
    return "answered"


def dns(mark, server, name, over="udp", kind=1, device=None):
    """A name with the mark in it; only an address or a text in the answer counts."""
    query = struct.pack("!2sHHHHH", os.urandom(2), 0x0100, 1, 0, 0, 0)
    query += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + struct.pack("!BHH", 0, kind, 1)
    stream = over == "tcp"
    with opened(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM, device) as asking:
        asking.connect((server, 53))
        asking.sendall(struct.pack("!H", len(query)) + query if stream else query)
        answer = asking.recv(4096)
    answer = answer[2:] if stream else answer
    code, answers = answer[3] & 15, struct.unpack_from("!H", answer, 6)[0]
    return "answered" if answers else f"no answer in it, code {code}"


def web(mark, method, url, headers=None, body=None, source=None, trust=None):
    """An HTTP request; anything but a refusal counts."""
    at = urllib.parse.urlsplit(url)
    bound = (source, 0) if source else None
    if at.scheme == "https":
        trusting = ssl.create_default_context(cafile=trust)
        asking = http.client.HTTPSConnection(at.netloc, timeout=SECONDS * 3, source_address=bound, context=trusting)
    else:
        asking = http.client.HTTPConnection(at.netloc, timeout=SECONDS * 3, source_address=bound)
    asking.request(method, at.path + (f"?{at.query}" if at.query else ""), body and body.encode(), headers or {})
    status = asking.getresponse().status
    return "answered" if status < 300 else f"status {status}"


def frame(mark, device, to, source, port=9000, mac=None, router=None, vlan=None, options="", fragment=False, flags=None):
    """A frame as it goes onto the wire, whatever the box's own routes and filters say. `flags` makes it TCP."""
    own = bytes.fromhex(open(f"/sys/class/net/{device}/address").read().strip().replace(":", ""))
    source_mac = bytes.fromhex(mac.replace(":", "")) if mac else own
    inner = segment(source, to, port, flags, mark) if flags is not None else datagram(port, mark)
    packet = ipv4(source, to, 6 if flags is not None else 17, inner, bytes.fromhex(options), fragment)
    kind = struct.pack("!HHH", ETHERNET_VLAN, vlan, ETHERNET_IPV4) if vlan else struct.pack("!H", ETHERNET_IPV4)
    target = b"\xff" * 6 if router is None else bytes.fromhex(router.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((device, 0))
        wire.send(target + source_mac + kind + packet)
    return "sent"


def tunnel(mark, device, to, source, router):
    """An IP packet to the internet within one to an address that is allowed."""
    inner = ipv4(source, to["inner"], 17, datagram(9000, mark), b"", False)
    own = bytes.fromhex(open(f"/sys/class/net/{device}/address").read().strip().replace(":", ""))
    packet = ipv4(source, to["outer"], 4, inner, b"", False)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((device, 0))
        wire.send(bytes.fromhex(router.replace(":", "")) + own + struct.pack("!H", ETHERNET_IPV4) + packet)
    return "sent"


def claim(mark, device, addresses):
    """Says, unasked and many times, that these addresses are this interface's."""
    own = bytes.fromhex(open(f"/sys/class/net/{device}/address").read().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((device, 0))
        for address in addresses * 5:
            claimed = socket.inet_aton(address)
            for operation in (1, 2):
                body = struct.pack("!HHBBH", 1, ETHERNET_IPV4, 6, 4, operation) + own + claimed + b"\xff" * 6 + claimed
                wire.send(b"\xff" * 6 + own + struct.pack("!H", ETHERNET_ARP) + body)
    return "sent"


def ipv4(source, to, number, body, options, fragment):
    words = 5 + len(options) // 4
    offset = 0x2000 if fragment else 0  # more fragments follow, which never come
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(body), 7, offset, 64, number, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def fresh(mark):
    """A port that no attempt before had: what was let through once is tracked for a while."""
    return 32768 + int(mark[-4:], 16) % 28000


def datagram(port, mark):
    return struct.pack("!HHHH", fresh(mark), port, 8 + len(mark), 0) + mark.encode()


def segment(source, to, port, flags, mark):
    """The first of a connection, or what could be an answer of the box's own port."""
    ports = (fresh(mark), port) if flags == SYN else (port, fresh(mark))
    head = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack("!BBH", 0, 6, len(head) + len(mark))
    total = checksum(pseudo + head + mark.encode())
    return head[:16] + struct.pack("!H", total) + head[18:] + mark.encode()


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


TOOLS = {
    "tcp": tcp,
    "udp": udp,
    "icmp": icmp,
    "protocol": protocol,
    "dns": dns,
    "web": web,
    "frame": frame,
    "tunnel": tunnel,
    "claim": claim,
}


def run(attempt):
    try:
        said = TOOLS[attempt["tool"]](attempt["mark"], **attempt["with"])
    except OSError as error:
        said = f"{type(error).__name__}: {error}"
    return {"mark": attempt["mark"], "through": said == "answered", "said": said}


def main():
    attempts = json.loads(sys.argv[1])
    with concurrent.futures.ThreadPoolExecutor(len(attempts)) as pool:
        print(json.dumps(list(pool.map(run, attempts))))


main()

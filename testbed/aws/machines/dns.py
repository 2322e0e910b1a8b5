"""As much of DNS's messages as the VPC resolver needs: one question in, addresses and aliases out, aliases read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

A, CNAME = 1, 5
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5
TTL_SECONDS = 5
_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")


class Malformed(Exception):
    """A message that is none."""


@dataclass(frozen=True)
class Question:
    name: str
    kind: int
    # Where it ends in the message.
    end: int


@dataclass(frozen=True)
class Record:
    name: str
    kind: int
    # An address, or another name.
    value: str


def question(message: bytes) -> Question:
    """The one question of a query."""
    if len(message) < _HEADER.size or _HEADER.unpack_from(message)[2] != 1:
        raise Malformed("not a query with one question")
    name, end = _name(message, _HEADER.size)
    if end + 4 > len(message):
        raise Malformed("the question is cut off")
    return Question(name, struct.unpack_from("!H", message, end)[0], end + 4)


def answer(query: bytes, records: list[Record], code: int = NO_ERROR) -> bytes:
    """The answer to a query: its id and question, and these records."""
    asked, (number, flags, *_) = question(query), _HEADER.unpack_from(query)
    # An answer; what the query wished of recursion stays as it was, and recursion is to be had.
    header = _HEADER.pack(number, 0x8080 | flags & 0x0100 | code, 1, len(records), 0, 0)
    return header + query[_HEADER.size : asked.end] + b"".join(_record(record) for record in records)


def aliases(message: bytes) -> list[str]:
    """The names that an answer's CNAME records lead on to."""
    count, place = _HEADER.unpack_from(message)[3], question(message).end
    found = []
    for _ in range(count):
        _, place = _name(message, place)
        kind, _, _, length = _FIXED.unpack_from(message, place)
        place += _FIXED.size
        if kind == CNAME:
            found.append(_name(message, place)[0])
        place += length
    return found


def encoded(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _record(record: Record) -> bytes:
    if record.kind == A:
        data = bytes(int(part) for part in record.value.split("."))
    else:
        data = encoded(record.value)
    return encoded(record.name) + _FIXED.pack(record.kind, 1, TTL_SECONDS, len(data)) + data


def _name(message: bytes, place: int) -> tuple[str, int]:
    """A name and where it ends; a pointer leads to an earlier place, so that none leads round in circles."""
    labels, end, limit = [], None, place + 1
    try:
        while length := message[place]:
            if length >= 0xC0:
                end = end or place + 2
                place = (length & 0x3F) << 8 | message[place + 1]
                if place >= limit:
                    raise Malformed("a name points forward")
                limit = place
                continue
            labels.append(message[place + 1 : place + 1 + length].decode("ascii"))
            place += 1 + length
    except (IndexError, UnicodeDecodeError) as error:
        raise Malformed("a name is cut off or not ASCII") from error
    return ".".join(labels).lower(), end or place + 1

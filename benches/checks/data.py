"""Seeded sets for the checks: what clusters back up, and the same after ransomware went over it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from pathlib import Path

from benches.transfer.data import WORDS, DataSet

MIB = 1 << 20
LEVELS = [b"INFO ", b"INFO ", b"INFO ", b"DEBUG", b"WARN ", b"ERROR"]
LOG_BLOCKS = 96


def log_lines(source: random.Random, size: int, second: int) -> bytes:
    """Lines as services write them; some in colour, some long."""
    lines, length = [], 0
    while length < size:
        second += source.randrange(3)
        words = b" ".join(source.choices(WORDS, k=source.randrange(4, 24)))
        level = source.choice(LEVELS)
        if source.random() < 0.02:
            level = b"\x1b[33m" + level + b"\x1b[0m"
        line = b"2026-11-%02dT%02d:%02d:%02d.%06dZ %s %s\n" % (
            1 + second // 86400 % 28,
            second // 3600 % 24,
            second // 60 % 60,
            second % 60,
            source.randrange(1_000_000),
            level,
            words,
        )
        lines.append(line)
        length += len(line)
    return b"".join(lines)[: size - 1] + b"\n"


def config_file(source: random.Random, number: int) -> tuple[str, bytes]:
    """One file of a service's configuration."""
    keys = [source.choice(WORDS).decode() for _ in range(source.randrange(10, 200))]
    values = {key: source.choice([number, True, f"{key}.example.org", [key, key[::-1]]]) for key in keys}
    match number % 4:
        case 0:
            return f"{number:05}.json", json.dumps(values, indent=2).encode()
        case 1:
            return f"{number:05}.yaml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()).encode()
        case 2:
            return f"{number:05}.conf", "".join(f"{key} = {value}\n" for key, value in values.items()).encode()
        case _:
            return f"dev-disk-by\\x2d{number:05}.device", "".join(f"[{key}]\nWants={value}\n" for key, value in values.items()).encode()


def normal(mebibytes: int, root: Path, seed: int) -> None:
    """So much configuration and logs: a tenth of it configuration, a tenth rotated and compressed logs."""
    source = random.Random(f"normal/{seed}")
    whole = mebibytes * MIB
    written = 0
    number = 0
    while written < whole // 10:
        name, body = config_file(source, number)
        directory = root / "etc" / f"service-{number % 40:02}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(body)
        written += len(body)
        number += 1
    blocks = [log_lines(source, MIB, source.randrange(2_000_000)) for _ in range(LOG_BLOCKS)]
    packed = [gzip.compress(block, 6, mtime=0) for block in blocks[:16]]
    logs = root / "var/log"
    logs.mkdir(parents=True)
    number = 0
    while written < whole // 5:
        body = b"".join(source.choices(packed, k=source.randrange(4, 24)))
        (logs / f"app-{number:03}.log.1.gz").write_bytes(body)
        written += len(body)
        number += 1
    number = 0
    while written < whole:
        size = min(source.randrange(1, 24) * MIB, whole - written)
        with (logs / f"app-{number:03}.log").open("wb") as file:
            left = size
            while left > 0:
                left -= file.write(source.choice(blocks)[:left])
        written += size
        number += 1
    # What such trees have besides: links within and to elsewhere, a directory that hands its group on.
    os.symlink("service-00", root / "etc/current")
    os.symlink("/usr/share/zoneinfo/UTC", root / "etc/localtime")
    os.link(logs / "app-000.log", logs / "latest.log")
    logs.chmod(0o2755)


def encrypt(root: Path, seed: int) -> None:
    """Encrypts and renames every file."""
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        body = path.read_bytes()
        key = f"ransom/{seed}/{path.relative_to(root)}".encode()
        stream = hashlib.shake_128(key).digest(len(body))
        locked = (int.from_bytes(body, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(body), "big")
        path.write_bytes(locked)
        path.rename(path.with_name(path.name + ".locked"))


def encrypted(mebibytes: int, root: Path, seed: int) -> None:
    """The normal set of that seed after ransomware."""
    normal(mebibytes, root, seed)
    encrypt(root, seed)


def infected(root: Path, seed: int) -> None:
    """A normal set with the file by which scanners are tested. Its text is put together here: a scanner may look at us."""
    normal(8, root, seed)
    first, second = "X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    (root / "etc/service-00/update.com").write_text(first + second)


def careless(root: Path, seed: int) -> None:
    """A normal set with an access key in the clear, made up for the seed."""
    normal(8, root, seed)
    source = random.Random(f"careless/{seed}")
    key = "AKIA" + "".join(source.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
    (root / "etc/service-00/credentials").write_text(f"[default]\naws_access_key_id = {key}\n")


NORMAL = DataSet("checks-normal", 4, "1 GiB of configuration and logs, four pods", lambda root, seed: normal(256, root, seed))
ENCRYPTED = DataSet("checks-encrypted", 1, "64 MiB of the same, encrypted", lambda root, seed: encrypted(64, root, seed))
INFECTED = DataSet("checks-infected", 1, "8 MiB of the same with EICAR's file", infected)
CARELESS = DataSet("checks-careless", 1, "8 MiB of the same with an access key", careless)
TURNED = DataSet("checks-turned", 1, "64 MiB of the same, encrypted between two runs", lambda root, seed: normal(64, root, seed))

#!/usr/bin/env python3
"""Logs on the real parts: `tests/logs/run.py --run RUN --stack FILE [--table FILE]`.

Two writers number their lines and record when they wrote each: one of 20 MB/s, whose log kubelet rotates all the time, and
one that is slow enough for no rotation. Both containers fail once and are restarted. Jobs of one series follow each other
until both have written everything, and one more comes after. Then what is stored is held against what was written: each
line once and in order, every line that is missing within a recorded gap, no gap without a missing line.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.transfer.world import IMAGE, NAMESPACE, World, until  # noqa: E402

SOURCE = Path(__file__).with_name("writer.c")
SECONDS: dict[str, int] = {}


@dataclass(frozen=True)
class Writer:
    """How fast it writes, how long its lines are, how many, and after which one its container fails."""

    name: str
    about: str
    rate: int
    length: int
    total: int
    stop: int


WRITERS = [
    Writer("fast", "20 MB/s, rotated", 20_000_000, 500, 2_400_000, 1_000_000),
    Writer("slow", "100 kB/s, not rotated", 100_000, 128, 40_000, 15_000),
]


@dataclass
class Stored:
    """What all jobs of a series stored of one writer."""

    lines: list[tuple[int | None, int]] = field(default_factory=list)
    """Number and timestamp in nanoseconds. Without a number: the rest of a line whose beginning the node rotated away."""
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    jobs: int = 0


LINE = re.compile(rb"(\S+) n=(\d{12}) t=\d+ \.*$")
TORN = re.compile(rb"(\S+) (?!n=\d{12} t=\d+ )[nt=0-9 ]*\.*$")
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")


def nanoseconds(text: str) -> int:
    """Since 1970, of a timestamp in UTC with up to nine digits of a second."""
    found = STAMP.fullmatch(text)
    if not found:
        raise SystemExit(f"'{text}' is no timestamp in UTC")
    seconds = SECONDS.get(found[1])
    if seconds is None:
        seconds = SECONDS[found[1]] = int(datetime.fromisoformat(found[1] + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


def compile_writer(directory: Path) -> None:
    subprocess.run(["cc", "-O2", "-static", "-o", str(directory / "writer"), str(SOURCE)], check=True)


def start(world: World, writer: Writer, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "record").unlink(missing_ok=True)
    compile_writer(directory)
    words = [writer.rate, writer.length, writer.total, writer.stop]
    container = {
        "name": "writer",
        "image": IMAGE,
        "command": ["/data/writer", "/data/record", *map(str, words)],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": writer.name, "namespace": NAMESPACE, "labels": {"writer": writer.name}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [{"name": "data", "hostPath": {"path": str(directory), "type": "Directory"}}],
            },
        }
    )


def written(directory: Path) -> int:
    record = directory / "record"
    return record.stat().st_size // 8 if record.exists() else 0


def job(world: World, writer: Writer, number: int) -> dict[str, Any]:
    """One job of the writer's series, to its end."""
    name = f"{writer.name}-{number}"
    logs = {"selector": {"matchLabels": {"writer": writer.name}}, "series": "proof"}
    world.apply(
        {
            "apiVersion": "drawbridge.dev/v1alpha1",
            "kind": "BackupJob",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"vault": "default", "sources": [{"name": writer.name, "logs": logs}]},
        }
    )

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(world.kubectl("get", "backupjob", name, "-n", NAMESPACE, "-o", "json"))
        return found if found.get("status", {}).get("phase") in ("Complete", "Failed") else None

    done = until(f"the job {name} ends", over, 300)
    if done["status"]["phase"] != "Complete":
        raise SystemExit(f"{name}: {json.dumps(done['status'], indent=1)}")
    return done


def fetch(world: World, done: dict[str, Any], stored: Stored) -> None:
    """Reads a job's artifacts back, as anyone restores them."""
    receipt, s3 = done["status"]["receipt"], world.client("s3")
    statement = json.loads(s3.get_object(Bucket=receipt["bucket"], Key=receipt["manifest"])["Body"].read())
    for artifact in statement["predicate"]["artifacts"]:
        for gap in artifact["claimed"]["log"]["gaps"]:
            stored.gaps.append((nanoseconds(gap["from"]), nanoseconds(gap["to"]), gap["why"]))
        packed = b"".join(
            s3.get_object(Bucket=receipt["bucket"], Key=o["key"])["Body"].read() for o in artifact["observed"]["objects"]
        )
        for count, line in enumerate(unpacked(packed)):
            found, torn = LINE.match(line), TORN.match(line)
            if torn and count == 0 and artifact["claimed"]["log"]["gaps"]:
                stored.lines.append((None, nanoseconds(torn[1].decode())))
                continue
            if not found:
                raise SystemExit(f"{artifact['claimed']['pod']}: line {count} is none of the writer's: {line[:200]!r}")
            stored.lines.append((int(found[2]), nanoseconds(found[1].decode())))
    stored.jobs += 1


def unpacked(packed: bytes) -> Iterator[bytes]:
    plain = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    yield from plain.splitlines()


def follow(world: World, writer: Writer, directory: Path) -> Stored:
    """Jobs, one after the other, until the writer is done, and one more."""
    stored, last = Stored(), False
    while not last:
        last = written(directory) == writer.total
        fetch(world, job(world, writer, stored.jobs), stored)
        print(f"  {writer.name}: job {stored.jobs}: {len(stored.lines)} of {written(directory)} lines, {len(stored.gaps)} gaps", flush=True)
        time.sleep(1)
    return stored


@dataclass(frozen=True)
class Loss:
    """Lines in a row that no job stored, between the timestamps of the stored ones beside them."""

    first: int
    last: int
    after: int
    before: int


def losses(stored: Stored, record: list[int]) -> list[Loss]:
    found, expected, after, torn = [], 0, record[0], None
    for number, stamp in stored.lines:
        if number is None:
            torn = stamp
            continue
        if number > expected:
            found.append(Loss(expected, number - 1, after, torn or stamp))
        expected, after, torn = number + 1, stamp, None
    if expected < len(record):
        found.append(Loss(expected, len(record) - 1, after, record[-1]))
    return found


def judge(writer: Writer, stored: Stored, record: list[int], restarts: int) -> list[str]:
    """What is wrong."""
    wrong = []
    numbers = [number for number, _ in stored.lines if number is not None]
    if any(one >= next_one for one, next_one in zip(numbers, numbers[1:])):
        wrong.append("lines are stored twice or out of order")
    if restarts != 1 or len(record) != writer.total:
        wrong.append(f"the writer restarted {restarts} times and wrote {len(record)} of {writer.total} lines")
    lost = losses(stored, record)
    for loss in lost:
        # The lines between lie between their neighbours in time, and none was stamped before it was written.
        begin = max(loss.after, record[loss.first])
        if not any(start <= begin and loss.before <= end for start, end, _ in stored.gaps):
            wrong.append(f"lines {loss.first} to {loss.last} ({loss.after} to {loss.before}) are in no gap")
    for start, end, why in idle(stored, lost):
        seam = " (a seam)" if (start, end) in seams(stored) else ""
        wrong.append(f"the gap {start} to {end} ({why}) has no lost line{seam}")
    if writer.name == "slow" and (lost or stored.gaps):
        wrong.append("nothing of a slow log may be lost")
    if writer.name == "fast" and not lost:
        wrong.append("nothing was lost, so nothing is shown: the writer must be faster than the node keeps lines")
    return wrong


def idle(stored: Stored, lost: list[Loss]) -> list[tuple[int, int, str]]:
    """Gaps in which no line is missing."""
    return [gap for gap in stored.gaps if not any(gap[0] <= loss.before and loss.after <= gap[1] for loss in lost)]


def seams(stored: Stored) -> set[tuple[int, int]]:
    """The times between two stored lines. A rotation there lost nothing, which the numbers know and the API does not."""
    stamps = [stamp for _, stamp in stored.lines]
    return set(zip(stamps, stamps[1:]))


def row(writer: Writer, stored: Stored, record: list[int]) -> str:
    lost = losses(stored, record)
    lines = sum(loss.last - loss.first + 1 for loss in lost)
    seconds = sum(end - start for start, end, _ in stored.gaps) / 1e9
    return (
        f"| {writer.about} | {len(record)} | {len(record) * writer.length / 1e6:.0f} | {(record[-1] - record[0]) / 1e9:.0f} | "
        f"{stored.jobs} | {len(stored.lines)} | {lines} | {len(lost)} | {len(stored.gaps)} | {len(idle(stored, lost))} | {seconds:.1f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    world = World(given.run, given.stack)
    world.prepare()
    rows, wrong = [], []
    for writer in WRITERS:
        directory = world.run.dir / "logs-data" / writer.name
        start(world, writer, directory)
        until(f"{writer.name} writes", lambda: written(directory) > 0, 60)  # noqa: B023
        stored = follow(world, writer, directory)
        pod = json.loads(world.kubectl("get", "pod", writer.name, "-n", NAMESPACE, "-o", "json"))
        raw = (directory / "record").read_bytes()
        record = list(struct.unpack(f"={len(raw) // 8}q", raw))
        rows.append(row(writer, stored, record))
        wrong += [f"{writer.name}: {what}" for what in judge(writer, stored, record, pod["status"]["containerStatuses"][0]["restartCount"])]
        world.kubectl("delete", "pod", writer.name, "-n", NAMESPACE, "--wait=true")
    head = (
        "| writer | lines written | MB | s | jobs | lines stored | lines missing | in stretches | gaps recorded | of them at a seam | s in gaps |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    verdict = (
        "A seam is a rotation between two lines that both are stored: their numbers show that nothing was lost there, the API "
        "does not, so it is a gap.\n\nEvery missing line lies in a recorded gap, and no gap is without a missing line: "
    ) + ("; ".join(wrong) or "held")
    table = "\n".join([head, *rows, "", verdict])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

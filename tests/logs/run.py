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
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.transfer.world import IMAGE, NAMESPACE, World, until  # noqa: E402
from tests.logs.judge import Line, Stored, Writer, judge  # noqa: E402

SOURCE = Path(__file__).with_name("writer.c")
SECONDS: dict[str, int] = {}

WRITERS = [
    Writer("fast", "20 MB/s, rotated", 20_000_000, 500, 2_400_000, 1_000_000),
    Writer("slow", "100 kB/s, not rotated", 100_000, 128, 40_000, 15_000),
]

WHOLE = re.compile(rb"n=(\d{12}) t=\d+ \.*$")
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


def fetch(world: World, writer: Writer, done: dict[str, Any], stored: Stored) -> None:
    """Reads a job's artifacts back, as anyone restores them."""
    receipt, s3 = done["status"]["receipt"], world.client("s3")
    statement = json.loads(s3.get_object(Bucket=receipt["bucket"], Key=receipt["manifest"])["Body"].read())
    stored.artifacts.append(len(stored.lines))
    for artifact in statement["predicate"]["artifacts"]:
        for gap in artifact["claimed"]["log"]["gaps"]:
            stored.gaps.append((nanoseconds(gap["from"]), nanoseconds(gap["to"]), gap["why"]))
        packed = b"".join(
            s3.get_object(Bucket=receipt["bucket"], Key=o["key"])["Body"].read() for o in artifact["observed"]["objects"]
        )
        for line in unpacked(packed):
            stamp, _, text = line.partition(b" ")
            found = WHOLE.match(text) if len(text) == writer.length - 1 else None
            number, part = (int(found[1]), b"") if found else (None, text)
            stored.lines.append(Line(nanoseconds(stamp.decode()), number, part))


def unpacked(packed: bytes) -> Iterator[bytes]:
    plain = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    yield from plain.splitlines()


def follow(world: World, writer: Writer, directory: Path) -> Stored:
    """Jobs, one after the other, until the writer is done, and one more."""
    stored, last = Stored(), False
    while not last:
        last = written(directory) == writer.total
        fetch(world, writer, job(world, writer, len(stored.artifacts)), stored)
        print(f"  {writer.name}: job {len(stored.artifacts)}: {len(stored.lines)} of {written(directory)} lines, {len(stored.gaps)} gaps", flush=True)
        time.sleep(1)
    return stored


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
        row, faults = judge(writer, stored, record, pod["status"]["containerStatuses"][0]["restartCount"])
        rows.append(row)
        wrong += [f"{writer.name}: {fault}" for fault in faults]
        world.kubectl("delete", "pod", writer.name, "-n", NAMESPACE, "--wait=true")
    head = (
        "| writer | lines written | MB | s | jobs | lines stored | lines missing | in stretches | gaps recorded | of them without a missing line | s in gaps |\n"
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

"""One writer and the jobs of its series, on the real parts."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

from benches.transfer.world import IMAGE, NAMESPACE, World, until
from tests.logs.judge import Line, Stored, Writer

SOURCE = Path(__file__).with_name("writer.c")
SECONDS: dict[str, int] = {}
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


def apply(world: World, writer: Writer, series: str, number: int) -> str:
    """The next job of a series of the writer's; its name."""
    name = f"{writer.name}-{series}-{number}"
    logs = {"selector": {"matchLabels": {"writer": writer.name}}, "series": series}
    world.apply(
        {
            "apiVersion": "drawbridge.dev/v1alpha1",
            "kind": "BackupJob",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"vault": "default", "sources": [{"name": writer.name, "logs": logs}]},
        }
    )
    return name


def look(world: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.kubectl("get", "backupjob", name, "-n", NAMESPACE, "-o", "json"))
    return found


def end(world: World, name: str) -> dict[str, Any]:
    """The job once it is complete."""

    def over() -> dict[str, Any] | None:
        found = look(world, name)
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



#!/usr/bin/env python3
"""Logs on the real parts: `tests/logs/run.py --run RUN --stack FILE [--table FILE]`.

Writers number their lines and record when they wrote each. Every container fails once and is restarted. Jobs of one series
follow each other until the writer is done, and one more comes after. Then what is stored is held against what was written:
each line once and in order, every line that is missing within a recorded gap, no gap without a missing line but where it is said.

- `fast` writes 20 MB/s, and kubelet rotates its log all the time. A job begins when the log was rotated since the one before
  ended, and none shortly before the restart or the end: so lines are lost at every rotation that a series meets.
- `anytime` is the same with jobs whenever the one before is done. A rotation while a job reads, or between two slow lines,
  may lose nothing, and the API does not show it: it is a gap all the same (ADR 6). Nor does it show a run's start to less than
  a second, in which a log this fast may be rotated. Only those are let pass.
- `slow` is slow enough for no rotation.
- `behind` restarts while the API server does not take the pod's status: kubelet gives the new run's log then, the pod's
  status still names the old one. One series goes on from a line, the other begins in that moment.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.transfer.world import NAMESPACE, World, until  # noqa: E402
from tests.logs import behind  # noqa: E402
from tests.logs.judge import Stored, Writer, judge  # noqa: E402
from tests.logs.series import apply, end, fetch, start, written  # noqa: E402

FAST = Writer("fast", "20 MB/s, rotated", 20_000_000, 500, 4_000_000, 2_000_000, loses=True)
ANYTIME = Writer("anytime", "20 MB/s, rotated at any time", 20_000_000, 500, 2_400_000, 1_000_000, loses=True, anytime=True)
SLOW = Writer("slow", "100 kB/s, not rotated", 100_000, 128, 40_000, 15_000)
BEHIND = Writer("behind", "100 kB/s, the pod's status behind", 100_000, 128, 40_000, 20_000)

ROTATED_AT = 10 << 20
"""Kubelet's containerLogMaxSize."""
SLOW_LINES = 40
"""With which every writer ends."""
SHORTLY = 30
"""Seconds in which a job is over and the log is rotated once more."""


class Log:
    """The writer's newest log file, on its node, looked at all the time."""

    def __init__(self, world: World, writer: Writer) -> None:
        uid = world.kubectl("get", "pod", writer.name, "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}").decode()
        self._place = world.run.dir / f"kubernetes/node/var-log/pods/{NAMESPACE}_{writer.name}_{uid}/writer"
        self.size = 0
        self._done = threading.Event()
        self.rotations: list[tuple[int, int]] = []
        """Between which two looks, in nanoseconds since 1970."""
        self.earlier = 0
        """How many of them before the container's last start."""
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        seen, looked = ("", 0), time.time_ns()
        while not self._done.wait(0.02):
            now = time.time_ns()
            try:
                newest = max(self._place.glob("*.log"), key=lambda path: int(path.stem))
                about = newest.stat()
            except (FileNotFoundError, ValueError):
                continue
            # Between its renaming and its successor the file of a run before is the newest.
            if seen[0] and int(newest.stem) < int(Path(seen[0]).stem):
                continue
            # A restart begins a file of another name.
            if newest.name != seen[0]:
                self.earlier = len(self.rotations)
            elif about.st_ino != seen[1]:
                self.rotations.append((looked, time.time_ns()))
            seen, self.size, looked = (newest.name, about.st_ino), about.st_size, now

    def stop(self) -> None:
        self._done.set()
        self._watch.join()


def follow(world: World, writer: Writer, directory: Path) -> Stored:
    """Jobs, one after the other, until the writer is done, and one more."""
    stored, last = Stored(), False
    log, known = Log(world, writer), 0

    def may_begin() -> bool:
        if not writer.loses or (writer.anytime and stored.artifacts):
            return True
        number, margin = written(directory), SHORTLY * writer.rate // writer.length
        if number > writer.total - SLOW_LINES:
            return log.size < ROTATED_AT
        return len(log.rotations) > max(known, log.earlier) and not any(edge - margin < number <= edge for edge in (writer.stop, writer.total))

    while not last:
        until(f"{writer.name}: the next job may begin", may_begin, 180)
        last, begun = written(directory) == writer.total, time.monotonic()
        fetch(world, writer, end(world, apply(world, writer, "proof", len(stored.artifacts))), stored)
        print(f"  {writer.name}: job {len(stored.artifacts)}: {len(stored.lines)} of {written(directory)} lines, {len(stored.gaps)} gaps, {time.monotonic() - begun:.1f} s", flush=True)
        known = len(log.rotations)
        time.sleep(1)
    log.stop()
    stored.rotations = log.rotations
    return stored


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--writers", help="some of the writers, with commas between")
    given = parser.parse_args()
    world = World(given.run, given.stack)
    world.prepare()
    rows, wrong = [], []
    for writer in (BEHIND, FAST, ANYTIME, SLOW):
        if given.writers and writer.name not in given.writers.split(","):
            continue
        directory = world.run.dir / "logs-data" / writer.name
        start(world, writer, directory)
        until(f"{writer.name} writes", lambda: written(directory) > 0, 60)  # noqa: B023
        if writer is BEHIND:
            each = behind.follow(world, writer, directory)
        else:
            each = {writer.about: follow(world, writer, directory)}
        pod = json.loads(world.kubectl("get", "pod", writer.name, "-n", NAMESPACE, "-o", "json"))
        raw = (directory / "record").read_bytes()
        record = list(struct.unpack(f"={len(raw) // 8}q", raw))
        for about, stored in each.items():
            row, faults = judge(writer, about, stored, record, pod["status"]["containerStatuses"][0]["restartCount"])
            rows.append(row)
            wrong += [f"{about}: {fault}" for fault in faults]
        world.kubectl("delete", "pod", writer.name, "-n", NAMESPACE, "--wait=true")
    head = (
        "| writer | lines written | MB | s | jobs | lines stored | lines missing | in stretches | gaps recorded | of them without a missing line | s in gaps |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    verdict = (
        "The gaps without a missing line that are let pass, of the writer that is rotated at any time: a rotation between two lines "
        "that both are stored, while a job reads or between two slow lines, and the time from a run's start, in whole seconds, to its "
        "first line. Its numbers show that nothing was lost there, the API does not (ADR 6).\n\nEvery line is stored once and in "
        "order, every missing line lies in a recorded gap, and no other gap is without a missing line: "
    ) + ("; ".join(wrong) or "held")
    table = "\n".join([head, *rows, "", verdict])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

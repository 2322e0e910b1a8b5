#!/usr/bin/env python3
"""Memory: `benches/memory/run.py --run RUN --stack FILE [--pairs text,noise] [--table FILE]`.

Four pods' artifacts cross in parallel, once small and once large, each with a controller and a box that are fresh. The
controller's container and a control group around the box's process are limited to 128 MiB, so that growth would be an
ended process and a failed job; VmHWM says how near they came.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.transfer import data, ours  # noqa: E402
from benches.transfer.memory import processes  # noqa: E402
from benches.transfer.world import World, until  # noqa: E402
from testbed.kubernetes.layout import BUSYBOX_IMAGE  # noqa: E402

MIB = 1 << 20
LIMIT = 128 * MIB
BOUND, GROWTH = 96 * MIB, 1.1
CONTROLLER = ("-n", "drawbridge-system", "deployment/drawbridge")


@dataclass(frozen=True)
class Size:
    """Four artifacts of one size."""

    name: str
    about: str
    mebibytes: int
    noisy_of_two: int


PAIRS = [
    (Size("text-64m", "64 MiB of text", 16, 0), Size("text-8g", "8 GiB of text", 2048, 0)),
    (Size("noise-64m", "64 MiB incompressible", 16, 2), Size("noise-2g", "2 GiB incompressible", 512, 2)),
]


def fresh_controller(world: World) -> None:
    """A new process with the limit; its peak is this size's alone."""
    limits = {"resources": {"limits": {"memory": str(LIMIT)}}}
    stamp = {"bench/fresh": str(time.time())}
    containers = json.loads(world.kubectl("get", *CONTROLLER, "-o", "json"))["spec"]["template"]["spec"]["containers"]
    patch = {"spec": {"template": {"metadata": {"annotations": stamp}, "spec": {"containers": [{"name": containers[0]["name"], **limits}]}}}}
    world.kubectl("patch", *CONTROLLER, "-p", json.dumps(patch))
    world.kubectl("rollout", "status", *CONTROLLER, "--timeout=180s")
    index = f"dbk{world.run.index}/"
    until("only the new controller runs", lambda: len(processes(("drawbridge-cont",), index)) == 1, 60)


@contextlib.contextmanager
def boxes_limited(world: World) -> Iterator[list[int]]:
    """Puts each box's process into a control group of its own with the limit, as soon as it is there."""
    stop, limited = threading.Event(), [0]
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    tree = Path("/sys/fs/cgroup") if unified else Path("/sys/fs/cgroup/memory")
    group = tree / f"dba{world.run.index}-machines" / "bench-limit"

    def look() -> None:
        known: set[int] = set()
        while not stop.wait(0.02):
            for pid in processes(("drawbridge-jump", "jumpbox"), f"dba{world.run.index}-machines/i-"):
                if pid not in known:
                    known.add(pid)
                    with contextlib.suppress(OSError):
                        (group / "cgroup.procs").write_text(str(pid))
                        limited[0] += 1

    group.mkdir(exist_ok=True)
    (group / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(LIMIT))
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield limited
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(OSError):
            group.rmdir()


def measure(world: World, size: Size) -> ours.Result:
    make: Callable[[Path, int], None] = data.one_file(size.mebibytes, size.noisy_of_two)
    dataset = data.DataSet(size.name, 4, size.about, make)
    directories = data.provide(dataset, world.run.dir / "bench-data")
    # Without zstd in the pod, the controller compresses: that takes the most memory.
    world.start_pods(size.name, directories, BUSYBOX_IMAGE)
    fresh_controller(world)
    with boxes_limited(world) as limited:
        result = ours.run(world, size.name, 0)
    if limited[0] == 0:
        raise SystemExit(f"{size.about}: no box was put under its limit, so nothing is shown")
    world.stop_pods(size.name)
    world.empty(world.outputs["BackupBucket"])
    print(f"  {size.about}: controller {result.here / MIB:.0f} MiB, box {result.box / MIB:.0f} MiB, {result.seconds:.0f} s", flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--pairs", default="text,noise")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    wanted = set(given.pairs.split(","))
    pairs = [pair for pair in PAIRS if pair[0].name.split("-")[0] in wanted]
    if len(pairs) != len(wanted):
        raise SystemExit(f"--pairs {given.pairs}: there are text and noise")
    world = World(given.run, given.stack)
    world.prepare()
    rows, broken = [], []
    for pair in pairs:
        small, large = (measure(world, size) for size in pair)
        for size, result in zip(pair, (small, large), strict=True):
            rows.append(
                f"| {size.about}, four artifacts | {result.here / MIB:.1f} | {result.box / MIB:.1f} | "
                f"{result.stored / MIB:.0f} | {result.seconds:.0f} |"
            )
        for end in ("here", "box"):
            before, after = getattr(small, end), getattr(large, end)
            if after > GROWTH * before or after > BOUND:
                broken.append(f"{pair[1].about}, {end}: {after / MIB:.1f} MiB after {before / MIB:.1f} MiB")
    head = "| data | controller's peak, MiB | box's peak, MiB | stored, MiB | transfer, s |\n|---|---|---|---|---|"
    verdict = f"Bounds: at most {BOUND // MIB} MiB, and at most {GROWTH} x the small size's: " + ("; ".join(broken) or "held")
    table = "\n".join([head, *rows, "", verdict])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

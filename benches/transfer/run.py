#!/usr/bin/env python3
"""The benchmark: `benches/transfer/run.py --run RUN --stack FILE [--sets a,b] [--rounds N] [--table FILE]`.

Both sides carry the same trees in the same run, in turn, and who goes first changes every round. Ours counts from the
first TCP connection to the box to the signed receipt; theirs from the start of the pipeline to its end, on a box that
is up already. Median and range of the rounds, and both memory peaks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.transfer import data, ours  # noqa: E402
from benches.transfer.ours import Result  # noqa: E402
from benches.transfer.stages import Stages  # noqa: E402
from benches.transfer.pipeline import BUCKET, Pipeline  # noqa: E402
from benches.transfer.world import World  # noqa: E402
from testbed.common.shell import CommandFailed, run as shell  # noqa: E402

MIB = 1 << 20


def listing(world: World, bucket: str) -> list[list[str] | CommandFailed]:
    """Size, time and name of every entry of every artifact in a bucket; what zstd or tar said of one that cannot be read."""
    s3, found, file = world.client("s3"), [], world.run.dir / "bench-artifact"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for key in (entry["Key"] for entry in page.get("Contents", []) if entry["Key"].endswith(".tar.zst")):
            s3.download_file(bucket, key, str(file))
            try:
                lines = shell("bash", "-c", f"set -o pipefail; zstd -dc {file} | tar -t -v -f -", timeout=600).splitlines()
                found.append(sorted(line.split(None, 2)[2] for line in lines))
            except CommandFailed as error:
                found.append(error)
    file.unlink(missing_ok=True)
    return found


def compare_trees(world: World, name: str, pods: int) -> int:
    """Compares what both sides stored of a set in one round, entry by entry.

    Gives back how many of the pipeline's archives cannot be read to their end and so were not compared: the pipeline
    ended with exit status 0 all the same, which is a finding about it. One of ours ends the benchmark.
    """
    mine, other = listing(world, world.outputs["BackupBucket"]), listing(world, BUCKET)
    for artifact in mine:
        if isinstance(artifact, CommandFailed):
            raise SystemExit(f"set {name}: an artifact of ours cannot be read: {artifact}")
    if len(mine) != pods or len(other) != pods:
        raise SystemExit(f"set {name}: {pods} pods, but {len(mine)} artifacts of ours and {len(other)} of the pipeline's")
    missing, cut = list(mine), 0
    for archive in other:
        if isinstance(archive, CommandFailed):
            print(f"  {name}: the pipeline ended with exit status 0, but its archive is cut: {archive}", flush=True)
            cut += 1
        elif archive in missing:
            missing.remove(archive)
        else:
            raise SystemExit(f"set {name}: the pipeline stored a tree that ours did not")
    return cut


@dataclass
class Read:
    """The pipeline's archives that were read, until a round of each set was whole: else its times compare nothing."""

    archives: int = 0
    cut: int = 0
    never_whole: list[str] = field(default_factory=list)

    def note(self) -> str:
        said = f"Of {self.archives} archives of the pipeline's that were read, {self.cut} lacked their end, with exit status 0; of ours none. "
        if self.never_whole:
            return said + f"No round of {', '.join(self.never_whole)} was whole, so both sides' trees were not compared there: failed."
        return said + "Of each set one whole round was compared, entry by entry: both sides stored the same trees."


def rounds(world: World, pipeline: Pipeline, dataset: data.DataSet, count: int, read: Read) -> list[tuple[Result, Result]]:
    """All rounds of a set."""
    directories = data.provide(dataset, world.run.dir / "bench-data")
    pods = world.start_pods(dataset.name, directories)
    results, compared = [], False
    for number in range(count):
        sides = {
            "ours": lambda: ours.run(world, dataset.name, number),
            "theirs": lambda: pipeline.run(f"{dataset.name}-{number}", pods),
        }
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        done = {side: sides[side]() for side in order}
        results.append((done["ours"], done["theirs"]))
        mine, other = results[-1]
        print(f"  {dataset.name} {number + 1}/{count}: ours {mine.seconds:.2f} s (job {mine.whole:.0f} s), pipeline {other.seconds:.2f} s", flush=True)
        if not compared:
            cut = compare_trees(world, dataset.name, dataset.pods)
            read.archives, read.cut, compared = read.archives + dataset.pods, read.cut + cut, cut == 0
        world.empty(world.outputs["BackupBucket"])
        world.empty(BUCKET)
    if not compared:
        read.never_whole.append(dataset.name)
    world.stop_pods(dataset.name)
    return results


def stages(world: World, pipeline: Pipeline, dataset: data.DataSet) -> list[str]:
    """One more round of each side, with every program's processor seconds; its times are in no median."""
    directories = data.provide(dataset, world.run.dir / "bench-data")
    name = f"{dataset.name}-stages"
    pods = world.start_pods(name, directories)
    local = world.local_aws()
    with Stages(local) as mine:
        result = ours.run(world, name, 0)
    with Stages(local) as other:
        their = pipeline.run(name, pods)
    world.empty(world.outputs["BackupBucket"])
    world.empty(BUCKET)
    world.stop_pods(name)
    both = [mine.seconds(), other.seconds()]
    cores = os.cpu_count() or 1
    lines = ["", f"{dataset.about}: processor seconds by program ({cores} cores)", "", "| program | ours | pipeline |", "|---|--:|--:|"]
    for stage in sorted({*both[0], *both[1]}, key=lambda s: -max(side.get(s, 0) for side in both)):
        lines.append(f"| {stage} | {both[0].get(stage, 0):.1f} | {both[1].get(stage, 0):.1f} |")
    sums = [sum(side.values()) for side in both]
    lines.append(f"| all | {sums[0]:.1f} | {sums[1]:.1f} |")
    lines.append(f"| seconds from beginning to end (ours: the whole job {result.whole:.0f}) | {result.seconds:.1f} | {their.seconds:.1f} |")
    return lines


def row(dataset: data.DataSet, results: list[tuple[Result, Result]]) -> str:
    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    mine, other = [a.seconds for a, _ in results], [b.seconds for _, b in results]
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    peaks = [max(getattr(side[n], end) for side in results) / MIB for n in (0, 1) for end in ("here", "box")]
    return (
        f"| {dataset.about} | {spread(mine)} | {spread(other)} | **{spread(ratios)}** | "
        f"{peaks[0]:.0f} + {peaks[1]:.0f} | {peaks[2]:.0f} + {peaks[3]:.0f} | {results[0][0].stored / MIB:.0f} / {results[0][1].stored / MIB:.0f} |"
    )


HEAD = """| data | ours, s | pipeline, s | pipeline / ours | memory ours, MiB (cluster + box) | memory pipeline, MiB | stored, MiB (ours / pipeline) |
|---|---|---|---|---|---|---|"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--aws-cli", type=Path, default=os.environ.get("DRAWBRIDGE_AWS_CLI"))
    parser.add_argument("--sets", default=",".join(s.name for s in data.SETS))
    parser.add_argument("--stages", action="store_true", help="one more round, with processor seconds by program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    world = World(given.run, given.stack)
    world.prepare()
    pipeline = Pipeline(world, Path(given.aws_cli))
    wanted = given.sets.split(",")
    rows, read = [], Read()
    for dataset in (s for s in data.SETS if s.name in wanted):
        rows.append(row(dataset, rounds(world, pipeline, dataset, given.rounds, read)))
    where = [line for s in data.SETS if s.name in wanted and given.stages for line in stages(world, pipeline, s)]
    table = "\n".join([HEAD, *rows, "", read.note(), *where])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if read.never_whole else 0


if __name__ == "__main__":
    sys.exit(main())

"""What of a writer's lines is stored, held against the writer's own record."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class Writer:
    """How fast it writes, how long its lines are, how many, and after which one its container fails.

    `loses`: the node does not keep its lines for long enough. `anytime`: its log may be rotated while a job reads.
    """

    name: str
    about: str
    rate: int
    length: int
    total: int
    stop: int
    loses: bool = False
    anytime: bool = False

    def line(self, number: int, record: list[int]) -> bytes:
        """What it wrote, but for the line's end."""
        return (b"n=%012d t=%d " % (number, record[number])).ljust(self.length - 1, b".")


@dataclass(frozen=True)
class Line:
    """A stored line: the runtime's timestamp in nanoseconds and the writer's number, or the text if it is not a whole one.

    The runtime splits the line that it is about to write when the node rotates its file: a part ends the old file, the
    other part begins the new one, with a timestamp of its own.
    """

    stamp: int
    number: int | None
    part: bytes = b""


@dataclass
class Stored:
    """What all jobs of a series stored of one writer."""

    lines: list[Line] = field(default_factory=list)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    artifacts: list[int] = field(default_factory=list)
    """With which line each job's artifact begins."""
    rotations: list[tuple[int, int]] = field(default_factory=list)
    """When the node rotated the log: before, and after, in nanoseconds since 1970."""

    def where(self, place: int) -> str:
        job = bisect_right(self.artifacts, place)
        return f"line {place - self.artifacts[job - 1]} of job {job}"


@dataclass(frozen=True)
class Loss:
    """Lines in a row that no job stored whole, between the timestamps of what is stored beside them."""

    first: int
    last: int
    after: int
    before: int


def mended(writer: Writer, stored: Stored, record: list[int]) -> tuple[list[Line], list[str]]:
    """The lines, the two parts of one taken together if both are stored; and what is wrong with the parts."""
    begins, ends = ({gap[n] for gap in stored.gaps} for n in (0, 1))
    lines: list[Line] = []
    wrong = []
    for place, line in enumerate(stored.lines):
        if line.number is not None:
            lines.append(line)
            continue
        before = next((one.number for one in (stored.lines[n] for n in range(place - 1, -1, -1)) if one.number is not None), -1)
        after = next((one.number for one in (stored.lines[n] for n in range(place + 1, len(stored.lines))) if one.number is not None), len(record))
        rest, beginning = writer.line(after - 1, record), writer.line(min(before + 1, len(record) - 1), record)
        if lines and lines[-1].part and lines[-1].part + line.part == rest and line.stamp in ends:
            lines[-1] = Line(lines[-1].stamp, after - 1)
        elif line.stamp in ends and rest.endswith(line.part) or line.stamp in begins and beginning.startswith(line.part):
            print(f"  {writer.name}: {stored.where(place)}, between {before} and {after}, where a gap is: {len(line.part)} bytes of a line")
            lines.append(line)
        else:
            wrong.append(f"{stored.where(place)}, between {before} and {after}: {line.part[:200]!r} is no line of the writer's, nor a part where a gap is")
    return lines, wrong


def losses(lines: list[Line], record: list[int]) -> list[Loss]:
    """Stretches of numbers that are not stored."""
    found, expected, after, rest = [], 0, record[0], None
    for line in lines:
        if line.number is None:
            if line.part.startswith(b"n="):
                after = line.stamp
            else:
                rest = line.stamp
            continue
        if line.number > expected:
            found.append(Loss(expected, line.number - 1, after, rest or line.stamp))
        expected, after, rest = line.number + 1, line.stamp, None
    if expected < len(record):
        found.append(Loss(expected, len(record) - 1, after, record[-1]))
    return found


def uncovered(stored: Stored, loss: Loss, record: list[int]) -> list[tuple[int, int]]:
    """Times of a loss that are in no gap. Between two runs there may be such a time, if none of its lines was written then."""
    # The lines lie between their neighbours in time, and none was stamped before it was written.
    reached = begin = max(loss.after, record[loss.first])
    holes = []
    for start, end, _ in sorted(stored.gaps):
        if reached < start and reached < loss.before:
            holes.append((reached, min(start, loss.before)))
        reached = max(reached, end)
    if reached < loss.before:
        holes.append((reached, loss.before))

    def is_silent(hole: tuple[int, int]) -> bool:
        inside = begin < hole[0] and hole[1] < loss.before
        first = bisect_right(record, hole[0], loss.first, loss.last + 1)
        return inside and (first > loss.last or record[first] >= hole[1])

    return [hole for hole in holes if not is_silent(hole)]


def idle(stored: Stored, lost: list[Loss]) -> list[tuple[int, int, str]]:
    """Gaps in which no line is missing."""
    return [gap for gap in stored.gaps if not any(gap[0] <= loss.before and loss.after <= gap[1] for loss in lost)]


def is_seam(stored: Stored, gap: tuple[int, int, str]) -> bool:
    """Whether both neighbours of the gap are stored, one after the other, and the node rotated the log between them."""
    stamps = [line.stamp for line in stored.lines]
    rotated = any(gap[0] <= after and before <= gap[1] for before, after in stored.rotations)
    return rotated and gap[:2] in pairwise(stamps)


def is_start(writer: Writer, stored: Stored, gap: tuple[int, int, str]) -> bool:
    """Whether the gap is the time from a run's start, which is known to the second, to its first line."""
    firsts = (line.stamp for line in stored.lines if line.number in (0, writer.stop))
    return gap[2] == "start_unproven" and gap[0] % 10**9 == 0 and gap[1] - gap[0] < 2 * 10**9 and gap[1] in firsts


def judge(writer: Writer, about: str, stored: Stored, record: list[int], restarts: int) -> tuple[str, list[str]]:
    """The table's row, and what is wrong."""
    lines, wrong = mended(writer, stored, record)
    numbers = [line.number for line in lines if line.number is not None]
    placed = [(place, line.number) for place, line in enumerate(stored.lines) if line.number is not None]
    for (_, one), (place, next_one) in pairwise(placed):
        if one >= next_one:
            wrong.append(f"{stored.where(place)} is number {next_one}, after {one}: twice or out of order")
    if restarts != 1 or len(record) != writer.total:
        wrong.append(f"the writer restarted {restarts} times and wrote {len(record)} of {writer.total} lines")
    lost = losses(lines, record)
    for loss in lost:
        for start, end in uncovered(stored, loss, record):
            wrong.append(f"lines {loss.first} to {loss.last} ({loss.after} to {loss.before}): {start} to {end} is in no gap")
    unlost = idle(stored, lost)
    for gap in unlost:
        if not (writer.anytime and (is_seam(stored, gap) or is_start(writer, stored, gap))):
            wrong.append(f"the gap {gap[0]} to {gap[1]} ({gap[2]}) has no lost line")
    if not writer.loses and (lost or stored.gaps):
        wrong.append("nothing of a log that is not rotated may be lost")
    if writer.loses and not lost:
        wrong.append("nothing was lost, so nothing is shown: the writer must be faster than the node keeps lines")
    missing = sum(loss.last - loss.first + 1 for loss in lost)
    seconds = sum(end - start for start, end, _ in stored.gaps) / 1e9
    row = (
        f"| {about} | {len(record)} | {len(record) * writer.length / 1e6:.0f} | {(record[-1] - record[0]) / 1e9:.0f} | "
        f"{len(stored.artifacts)} | {len(numbers)} | {missing} | {len(lost)} | {len(stored.gaps)} | {len(unlost)} | {seconds:.1f} |"
    )
    return row, wrong

"""The data sets, seeded: the same bytes in every run. They lie on the node and pods see them through hostPath, so that
making them is nobody's time, and a pod's own disk is not measured."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

BLOCK = 1 << 20
WORDS = [hashlib.sha256(str(n).encode()).hexdigest()[: 3 + n % 9].encode() for n in range(4096)]


@dataclass(frozen=True)
class DataSet:
    """One set: what it is called, how many pods hold it, and what makes one pod's tree."""

    name: str
    pods: int
    about: str
    make: Callable[[Path, int], None]


def noise(seed: object) -> Iterator[bytes]:
    """Blocks that do not compress."""
    count = 0
    while True:
        yield hashlib.shake_128(f"{seed}/{count}".encode()).digest(BLOCK)
        count += 1


def text(seed: object) -> Iterator[bytes]:
    """Blocks of words, which compress about as logs do."""
    source = random.Random(str(seed))
    while True:
        words = b" ".join(source.choices(WORDS, k=BLOCK // 8))
        yield words[:BLOCK].ljust(BLOCK, b"\n")


def small_files(root: Path, seed: int) -> None:
    """60,000 files of 770 MB together, two thirds text and one third noise, in 600 directories."""
    source = random.Random(seed)
    blocks = [next(text(f"{seed}/{n}")) for n in range(16)] + [next(noise(f"{seed}/{n}")) for n in range(8)]
    for number in range(60_000):
        directory = root / f"d{number % 600:03}"
        directory.mkdir(exist_ok=True)
        size = source.randrange(666, 25_000)
        offset = source.randrange(BLOCK - size)
        (directory / f"f{number:05}").write_bytes(source.choice(blocks)[offset : offset + size])


def one_file(mebibytes: int, noisy_of_two: int) -> Callable[[Path, int], None]:
    """One file; of every two mebibytes, so many do not compress."""

    def make(root: Path, seed: int) -> None:
        dark, light = noise(seed), text(seed)
        # A few hundred blocks in a mixed order: making each of 4,096 afresh takes minutes, and no match reaches so far back.
        pool = [[next(light) for _ in range(48)], [next(dark) for _ in range(48)]]
        with open(root / "data.bin", "wb") as file:
            for number in range(mebibytes):
                kind = 1 if number % 2 < noisy_of_two else 0
                block = pool[kind][number * 29 % 48] if noisy_of_two < 2 else next(dark)
                file.write(number.to_bytes(8, "big") + block[8:])

    return make


SETS = [
    DataSet("small-files", 1, "60,000 files, 770 MB", small_files),
    DataSet("half", 1, "one file of 4 GiB, half of it incompressible", one_file(4096, 1)),
    DataSet("noise", 1, "one file of 1 GiB, incompressible", one_file(1024, 2)),
    DataSet("four-pods", 4, "four pods at once, 256 MiB each, half incompressible", one_file(256, 1)),
]


def provide(dataset: DataSet, base: Path) -> list[Path]:
    """One directory a pod; made once, since a run's directory goes with the run."""
    directories = []
    for pod in range(dataset.pods):
        directory = base / dataset.name / str(pod)
        if not (directory / ".made").exists():
            directory.mkdir(parents=True, exist_ok=True)
            dataset.make(directory, pod)
            (directory / ".made").touch()
        directories.append(directory)
    return directories

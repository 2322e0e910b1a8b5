"""Runs of the testbed: an id that people choose, and an index that keeps two runs apart on one host.

The index is part of every name and address on the host (`dbk<index>`, 172.30.<index>.1), so exactly one run may hold
it. Who holds which stands in a registry under /run/drawbridge, changed only under a lock. A boot notes there, as a
*claimant*, its own process too: so teardown can end a boot that is still going on before it undoes what it made.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Iterator

from .errors import TestbedError
from .process import Identity, identify, is_alive

REGISTRY = Path("/run/drawbridge")
STATE = Path("/var/tmp/drawbridge")
INDEXES = range(32)
PARTS = ("kubernetes", "aws")


@dataclass(frozen=True)
class Run:
    """One run that holds an index. `dir` is its state directory; each part keeps to `part(NAME)` below it."""

    id: str
    index: int

    @property
    def dir(self) -> Path:
        """The run's state directory."""
        return STATE / self.id

    def part(self, name: str) -> Path:
        """The directory of one half of the testbed; that it exists means that the half has something to undo."""
        return self.dir / name

    def facts(self, part: str) -> Path:
        """Where a part's `up` writes how it is reached: a JSON object, which becomes its section of testbed.json."""
        return self.part(part) / "facts.json"


class NoFreeIndex(TestbedError):
    """All indexes are held."""


def check_id(run_id: str) -> str:
    """A run id names directories and sockets, whose paths must stay below 108 bytes."""
    if not re.fullmatch(r"[a-z0-9-]{1,20}", run_id):
        raise TestbedError(f"run id {run_id!r}: use 1 to 20 of a-z, 0-9 and '-'")
    return run_id


def _locked() -> IO[str]:
    """Takes the registry's lock, which closing the file gives back. The last run removes the lock file too, so whoever
    gets the lock makes sure that it is still the file at that path, and tries again otherwise."""
    if os.geteuid() != 0:
        raise TestbedError("the testbed makes namespaces and mounts: run it as root")
    path = REGISTRY / "lock"
    while True:
        try:
            REGISTRY.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = open(path, "a")
        except (FileExistsError, FileNotFoundError) as error:
            if REGISTRY.exists() and not REGISTRY.is_dir():
                raise TestbedError(f"{REGISTRY} is no directory: remove it") from error
            continue  # the last run removed the directory in this moment: in the middle of mkdir, or after it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(lock.fileno(), path):
            return lock
        lock.close()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _registry() -> Iterator[dict[str, Any]]:
    """The registry, locked, and written back if it changed. One of an earlier boot of the machine counts as empty:
    nothing that it names has survived."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with _locked():
        path = REGISTRY / "runs.json"
        before = path.read_text() if path.exists() else ""
        content = json.loads(before) if before else {}
        if content.get("boot") != boot:
            content = {"boot": boot, "runs": {}}
        yield content["runs"]
        if not content["runs"]:
            path.unlink(missing_ok=True)
            (REGISTRY / "lock").unlink()
            with contextlib.suppress(OSError):
                REGISTRY.rmdir()
            return
        after = json.dumps(content, indent=1)
        if after != before:
            draft = REGISTRY / "runs.json.new"
            draft.write_text(after)
            draft.replace(path)  # a kill in mid-write must not leave half a registry


def claim(run_id: str, part: str = "testbed") -> Run:
    """Gives the run an index, or the one that it holds, and notes the calling process as a claimant for `part`."""
    check_id(run_id)
    with _registry() as runs:
        entry = runs.get(run_id)
        if entry is None:
            taken = {other["index"] for other in runs.values()}
            free = [index for index in INDEXES if index not in taken]
            if not free:
                raise NoFreeIndex(f"all {len(INDEXES)} indexes are held, by the runs {sorted(runs)}: take some down")
            entry = runs[run_id] = {"index": free[0], "claimants": []}
        me = identify(os.getpid())
        living = [claimant for claimant in entry["claimants"] if is_alive(_identity(claimant))]
        entry["claimants"] = [*living, *([{"part": part, **asdict(me)}] if me else [])]
        run = Run(run_id, entry["index"])
        # Under the lock: the last run to go removes the directory above.
        run.dir.mkdir(parents=True, exist_ok=True)
    return run


def load(run_id: str) -> Run:
    """A run that holds an index."""
    check_id(run_id)
    with _registry() as runs:
        if run_id not in runs:
            raise TestbedError(f"no run {run_id!r} is up; `testbed.py status` lists those that are")
        return Run(run_id, runs[run_id]["index"])


def find(run_id: str) -> Run | None:
    """As `load`, but None when the run holds no index."""
    check_id(run_id)
    return next((run for run in everything() if run.id == run_id), None)


def everything() -> list[Run]:
    """All runs that hold an index, by index."""
    with _registry() as runs:
        found = [Run(run_id, entry["index"]) for run_id, entry in runs.items()]
    return sorted(found, key=lambda run: run.index)


def claimants(run: Run, part: str | None = None) -> list[Identity]:
    """The living programs that boot this run (one part of it, or any)."""
    with _registry() as runs:
        noted = runs.get(run.id, {}).get("claimants", [])
    found = [_identity(claimant) for claimant in noted if part in (None, claimant["part"])]
    return [process for process in found if is_alive(process)]


def release(run_id: str) -> bool:
    """Gives the index back, and removes the run's directory, once no part is left and nobody else boots one; says
    whether it did. The directory of a run without an index (one from before the machine's last boot) goes too."""
    check_id(run_id)
    with _registry() as runs:
        entry = runs.get(run_id, {"claimants": []})
        others = [c for c in entry["claimants"] if c["pid"] != os.getpid() and is_alive(_identity(c))]
        directory = STATE / run_id
        if others or any((directory / part).exists() for part in PARTS):
            return False
        runs.pop(run_id, None)
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs have theirs there
            STATE.rmdir()
        return True


def _identity(claimant: dict[str, Any]) -> Identity:
    return Identity(claimant["pid"], claimant["started"])

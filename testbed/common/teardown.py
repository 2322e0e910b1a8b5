"""Taking one part of a run down, whatever state it is in, and making room for a boot.

Safe at any time and any number of times: it looks at what is there now, never at how far a boot said it got.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Sequence

from . import run as runs
from .errors import TestbedError
from .made import Made
from .process import Daemons, Identity, ancestors, end, mark_what_follows, marked
from .run import STATE, Run
from .shell import run as shell


def take_down(
    run_id: str, part: str, *, first: Sequence[str] = (), patience: float = 0.0, keep_index: bool = False
) -> None:
    """Ends a part's boot and processes, undoes what it made and removes its directory; then frees the index, if this
    was the last part.

    `first` are daemons to end before the others. Without an index, what a run made is gone (the machine was booted
    anew) or is someone else's by now: then only processes with its mark and its directory go.
    """
    run = runs.find(run_id)
    directory = STATE / run_id / part
    if run is not None:
        end(_others(runs.claimants(run, part)))
    Daemons(run_id, part, directory).stop_all(first=first, patience=patience)
    if run is not None:
        problems = Made(directory).undo()
        if problems:
            raise TestbedError(f"{part} of run {run_id!r}: not undone: {'; '.join(problems)}. Run `down` again")
    _remove_tree(directory)
    if not keep_index:
        runs.release(run_id)


def make_room(run: Run, part: str) -> Path:
    """The part's directory, empty. What is left of a dead boot is taken down; a living one is an error."""
    directory = run.part(part)
    if directory.exists() or marked(run.id, part):
        if Daemons(run.id, part, directory).alive() or _others(runs.claimants(run, part)):
            raise TestbedError(f"{part} of run {run.id!r} is up already: use it, or take it down first")
        take_down(run.id, part, keep_index=True)
    directory.mkdir(parents=True)
    mark_what_follows(run.id, part)
    return directory


def claim(run_id: str, part: str) -> Run:
    """Claims an index for the calling boot; when all are held, those of runs without a living process are freed."""
    try:
        return runs.claim(run_id, part)
    except runs.NoFreeIndex:
        for run in runs.everything():
            if is_stale(run):
                for other in runs.PARTS:
                    take_down(run.id, other)
        return runs.claim(run_id, part)


def is_stale(run: Run) -> bool:
    """Whether nothing of a run lives: no boot, no daemon, no marked process, nothing inside its network namespaces."""
    if runs.claimants(run) or marked(run.id):
        return False
    for part in runs.PARTS:
        directory = run.part(part)
        if Daemons(run.id, part, directory).alive():
            return False
        for kind, name in Made(directory).entries():
            if kind == "netns" and Path("/run/netns", name).exists() and shell("ip", "netns", "pids", name).strip():
                return False
    return True


def _others(processes: list[Identity]) -> list[Identity]:
    """Those that are neither this program nor one that runs it."""
    own = ancestors()
    return [process for process in processes if process.pid not in own]


def _remove_tree(directory: Path) -> None:
    """Removes a directory, unless something is still mounted below it: that would be emptied, not unmounted."""
    mounted = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if below := [path for path in mounted if path.startswith(f"{directory}/")]:
        raise TestbedError(f"{below[0]} is still mounted: unmount it and run `down` again")
    for _ in range(3):  # two teardowns at once may take files from under each other
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
    shutil.rmtree(directory)

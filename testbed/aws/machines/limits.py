"""What a machine may use of the host: memory as a t3.small has, its disk included, and a bound on processes.

Under cgroup v1 and v2. Where control groups cannot be had, machines run without; the disk's own bound remains.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from testbed.common.made import Made

from ..layout import Names

ROOT = Path("/sys/fs/cgroup")
MEMORY_BYTES = 2 * 1024**3
PROCESSES = 512


def _trees() -> dict[Path, dict[str, int]]:
    """Each tree that a machine's group is in, and what is written there."""
    if (ROOT / "cgroup.controllers").exists():
        return {ROOT: {"memory.max": MEMORY_BYTES, "pids.max": PROCESSES}}
    return {ROOT / "memory": {"memory.limit_in_bytes": MEMORY_BYTES}, ROOT / "pids": {"pids.max": PROCESSES}}


def parent(names: Names) -> str:
    return f"{names.prefix}machines"


def prepare(names: Names, made: Made) -> None:
    """The run's group, above its machines' groups."""
    made.note("cgroup", parent(names))
    for tree in _trees():
        with contextlib.suppress(OSError):
            (tree / parent(names)).mkdir(exist_ok=True)
            if tree == ROOT:
                (tree / parent(names) / "cgroup.subtree_control").write_text("+memory +pids")


def make(names: Names, instance_id: str) -> list[Path]:
    """The machine's group in each tree."""
    groups = []
    for tree, values in _trees().items():
        group = tree / parent(names) / instance_id
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            for name, value in values.items():
                (group / name).write_text(str(value))
            groups.append(group)
    return groups


def join(groups: list[Path]) -> None:
    """Puts the calling process in; used between fork and exec."""
    for group in groups:
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text(str(os.getpid()))


def remove(names: Names, instance_id: str) -> None:
    """The processes are ended by now; the kernel may need a moment to forget them."""
    for tree in _trees():
        group = tree / parent(names) / instance_id
        for _ in range(100):
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)
            else:
                break

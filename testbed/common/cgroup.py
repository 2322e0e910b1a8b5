"""A control group of a run, under cgroup v1 or v2, made and removed.

v1 has a tree for every controller, so the group is made in each. v2 has one tree, in which a group may use only the
controllers that its parent delegates in `cgroup.subtree_control`; kubelet refuses a root group that lacks one of its
own. The group holds no process itself, only groups below it do: v2 allows delegation from such groups alone.
v1 was tried; v2 is written after the kernel's and kubelet's rules and was not.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from .errors import TestbedError

ROOT = Path("/sys/fs/cgroup")
# What kubelet asks of its root group (cpu cpuset memory pids, hugetlb where the kernel has it), and io for runc.
WANTED_V2 = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
REQUIRED_V2 = ("cpu", "cpuset", "memory", "pids")


def version() -> int:
    """2 when the unified tree is mounted at the root, else 1 (a `unified` directory beside v1 has no controllers)."""
    return 2 if (ROOT / "cgroup.controllers").exists() else 1


def _trees() -> list[Path]:
    """Where a group of ours is made: each v1 tree that is mounted, or the one of v2."""
    if version() == 2:
        return [ROOT]
    trees = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split(" ")
        if kind == "cgroup" and Path(mount_point).parent == ROOT:
            trees.append(Path(mount_point))
    if not trees:
        raise TestbedError(f"no cgroup tree is mounted below {ROOT}: mount cgroup v1 or v2 there, containers need it")
    return trees


def controllers_to_delegate() -> list[str]:
    """v2: the controllers that the root does not yet delegate and that the group needs."""
    if version() == 1:
        return []
    available = (ROOT / "cgroup.controllers").read_text().split()
    if missing := [name for name in REQUIRED_V2 if name not in available]:
        raise TestbedError(
            f"cgroup v2 at {ROOT} lacks the controllers {missing}: they are bound to v1 trees or disabled by the "
            "kernel's command line; kubelet needs them in one tree"
        )
    delegated = (ROOT / "cgroup.subtree_control").read_text().split()
    return [name for name in WANTED_V2 if name in available and name not in delegated]


def delegate(controller: str) -> None:
    """v2: lets the groups below the root use a controller."""
    _write_control(ROOT, f"+{controller}")


def create(name: str) -> None:
    """Makes the group in every tree, ready to be kubelet's `cgroupRoot`."""
    for tree in _trees():
        group = tree / name
        group.mkdir(exist_ok=True)
        if version() == 2:
            for controller in (group / "cgroup.controllers").read_text().split():
                if controller in WANTED_V2:
                    _write_control(group, f"+{controller}")
        else:
            _inherit_v1(tree, group)


def _inherit_v1(tree: Path, group: Path) -> None:
    """v1: a new cpuset group is empty and takes no process until it has processors and memory nodes."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (tree / setting).exists():
            (group / setting).write_text((tree / setting).read_text())
    hierarchy = group / "memory.use_hierarchy"
    if hierarchy.exists() and hierarchy.read_text().strip() == "0":
        hierarchy.write_text("1")


def _write_control(group: Path, change: str) -> None:
    try:
        (group / "cgroup.subtree_control").write_text(change)
    except OSError as error:
        raise TestbedError(
            f"cgroup v2: writing {change!r} to {group}/cgroup.subtree_control: {error.strerror}. In a container whose "
            "cgroup namespace hides the true root, first move its processes into a child group"
        ) from error


def withdraw(controller: str) -> None:
    """v2: undoes `delegate`; a controller that others below the root use by now stays."""
    try:
        (ROOT / "cgroup.subtree_control").write_text(f"-{controller}")
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOENT):
            raise


def remove(name: str) -> None:
    """Removes the group and those below it, waiting for their last processes to be gone."""
    deadline = time.monotonic() + 10
    while groups := _existing(name):
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass  # still has a process; tried again below
        if time.monotonic() > deadline:
            raise TestbedError(f"cgroup {groups[0]} does not become empty: see its cgroup.procs")
        time.sleep(0.02)


def _existing(name: str) -> list[Path]:
    """Every group of this name. Beside v1 trees, runc makes one in the controller-less `unified` tree as well."""
    if version() == 2:
        return [ROOT / name] if (ROOT / name).is_dir() else []
    return [path for path in ROOT.glob(f"*/{name}") if path.is_dir() and not path.parent.is_symlink()]

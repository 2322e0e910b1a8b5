"""Peak resident memory of processes, as the kernel keeps it (VmHWM)."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Callable


def processes(names: tuple[str, ...], group: str) -> list[int]:
    """Process ids by name (the kernel's 15 characters) whose control group's path has `group` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().strip() in names:
                if group in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
    return found


def peak(pid: int) -> int:
    """Bytes, or 0 when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid: int) -> None:
    """Lets the kernel count anew from what is resident now."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


class Watch:
    """The highest sum of the peaks of processes that are there at one time, seen every half second: looking
    costs, and must not slow down what is looked at. The kernel keeps the peak between two looks."""

    def __init__(self, find: Callable[[], list[int]]) -> None:
        self._find, self._stop, self.bytes = find, threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            self.bytes = max(self.bytes, sum(peak(pid) for pid in self._find()))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

"""Where the time goes: processor seconds by program while one side carries a set."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
EVERY = 0.25
Seen = dict[tuple[int, str], tuple[str, float]]

# The kernel keeps 15 characters of a name; several programs make one stage.
STAGES = {
    "tar": "tar, in the pod",
    "zstd": "zstd (in the pod: ours; beside kubectl: theirs)",
    "sh": "shells",
    "containerd-shim": "containerd and its shims",
    "containerd": "containerd and its shims",
    "kubelet": "kubelet",
    "kube-apiserver": "kube-apiserver",
    "etcd": "etcd",
    "drawbridge-cont": "our controller",
    "drawbridge-jump": "our box",
    "jumpbox": "our box",
    "kubectl": "kubectl",
    "ssh": "ssh",
    "sshd": "sshd",
    "aws": "aws s3 cp",
}


def _snapshot() -> Seen:
    """Name and processor seconds of every process, by id and start."""
    found: Seen = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            head, _, rest = (entry / "stat").read_text().rpartition(")")
            words = rest.split()
            name = head.partition("(")[2]
            found[int(entry.name), words[19]] = (name, (int(words[11]) + int(words[12])) / TICK)
    return found


class Stages:
    """Adds up processor seconds while it is entered; of a process that ends, at most its last moments are missing."""

    def __init__(self, local_s3: list[int]) -> None:
        self._local_s3 = set(local_s3)
        self._first: Seen = {}
        self._last: Seen = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(EVERY):
            self._last |= _snapshot()

    def __enter__(self) -> Stages:
        self._first = _snapshot()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._last |= _snapshot()

    def seconds(self) -> dict[str, float]:
        """By stage, without this program itself."""
        sums: dict[str, float] = defaultdict(float)
        for key, (name, used) in self._last.items():
            if key[0] == os.getpid():
                continue
            begun = self._first.get(key, ("", 0.0))[1]
            stage = "the local AWS" if key[0] in self._local_s3 else STAGES.get(name, "all else")
            sums[stage] += used - begun
        return {stage: value for stage, value in sorted(sums.items(), key=lambda one: -one[1]) if value >= 0.05}

"""Our side: one BackupJob."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .memory import Watch, forget_peak, processes
from .world import NAMESPACE, World, until


@dataclass(frozen=True)
class Result:
    """Seconds, and bytes of memory at each end."""

    seconds: float
    whole: float
    here: int
    box: int
    stored: int


def time_of(text: str) -> datetime:
    # Python 3.11 takes six digits of a second, the status has nine.
    head, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{rest[:6].ljust(6, '0')}+00:00")


def run(world: World, name: str, number: int | str) -> Result:
    """Applies a job for the pods of a set and waits for its end."""
    job = f"{name}-{number}"
    source = {"name": "data", "files": {"selector": {"matchLabels": {"set": name}}, "paths": ["/data"]}}
    kubernetes, aws = f"dbk{world.run.index}", f"dba{world.run.index}"
    controllers = processes(("drawbridge-cont",), kubernetes)
    for pid in controllers:
        forget_peak(pid)
    boxes = Watch(lambda: processes(("drawbridge-jump", "jumpbox"), aws))
    with Watch(lambda: controllers) as here, boxes:
        world.apply(
            {
                "apiVersion": "drawbridge.dev/v1alpha1",
                "kind": "BackupJob",
                "metadata": {"name": job, "namespace": NAMESPACE},
                "spec": {"vault": "default", "sources": [source], "backoffLimit": 0},
            }
        )

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = json.loads(world.kubectl("get", "backupjob", job, "-n", NAMESPACE, "-o", "json"))
            return found if found.get("status", {}).get("phase") in ("Complete", "Failed") else None

        found = until(f"BackupJob {job}", ended, 1200, every=2)
    status = found["status"]
    if status["phase"] != "Complete":
        raise SystemExit(f"BackupJob {job} failed: {status.get('fault')}")
    seconds = (time_of(status["transferEndedAt"]) - time_of(status["runningSince"])).total_seconds()
    created = time_of(found["metadata"]["creationTimestamp"])
    whole = (time_of(status["completionTime"]) - created).total_seconds()
    return Result(seconds, whole, here.bytes, boxes.bytes, status["receipt"]["bytes"])

#!/usr/bin/env python3
"""Load on the real parts: `tests/load/run.py --run RUN [--parts queue,restart,slow,many] [--table FILE]`.

    queue    200 jobs at once against a quota of 4 boxes, 110 of them in one of ten namespaces
    restart  the API server is ended and started again while 20 jobs run
    slow     etcd is held for 400 of every 500 ms while 12 jobs run
    many     10,000 finished jobs in the API server: memory of a fresh controller, and how long one more job takes
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.process import Daemons  # noqa: E402
from testbed.kubernetes.cluster import PART  # noqa: E402
from tests.load.ground import GROUP, Ground, boxes_seen, controller, describe, memory, named, time_of  # noqa: E402

QUOTA, JOBS, MANY = 4, 200, 10_000
NAMESPACES = [f"load-{number}" for number in range(10)]
CROWDED = JOBS - 10 * (len(NAMESPACES) - 1)
MIB = 1 << 20
Rows = list[tuple[str, str]]


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"load: {what}")


def all_complete(jobs: list[dict[str, Any]]) -> None:
    failed = [describe(job) for job in jobs if job["status"]["phase"] != "Complete"]
    expect(not failed, f"{len(failed)} of {len(jobs)} jobs did not complete: {failed[:3]}")


def waited(job: dict[str, Any]) -> float:
    """Seconds from the job's creation to the first TCP connection to its box."""
    return time_of(job["status"]["runningSince"]) - time_of(job["metadata"]["creationTimestamp"])


def queue(ground: Ground) -> Rows:
    calls: list[tuple[Any, ...]] = [(ground.job, NAMESPACES[0], f"queue-{n}") for n in range(CROWDED)]
    calls += [(ground.job, name, f"queue-{n}") for name in NAMESPACES[1:] for n in range(10)]
    reasons: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            for job in ground.jobs("queue"):
                for condition in job.get("status", {}).get("conditions", []):
                    if condition["type"] == "Progressing":
                        reasons.add(condition["reason"])

    watcher = threading.Thread(target=watch, daemon=True)
    begun = time.monotonic()
    with boxes_seen(ground) as seen:
        ground.parallel(calls)
        applied = time.monotonic() - begun
        watcher.start()
        jobs = ground.await_end("queue", JOBS, 2400)
    seconds = time.monotonic() - begun
    stop.set()
    watcher.join()
    all_complete(jobs)
    expect(0 < max(seen) <= QUOTA, f"{max(seen)} boxes at once, at most {QUOTA} are allowed")
    expect("Queued" in reasons, f"no job showed that it was queued; seen were {sorted(reasons)}")
    longest = {n: max(waited(j) for j in jobs if j["metadata"]["namespace"] == n) for n in NAMESPACES}
    small = [longest[name] for name in NAMESPACES[1:]]
    # Ten jobs of each of ten namespaces are half of all: whoever has ten waits at most about half of the time.
    expect(max(small) < 0.75 * longest[NAMESPACES[0]], f"the crowded namespace holds the others up: {longest}")
    rows = [
        ("200 jobs applied in", f"{applied:.1f} s"),
        ("all Complete after", f"{seconds:.0f} s"),
        (f"boxes at once, of {len(seen)} looks (quota {QUOTA})", str(max(seen))),
        ("reasons shown while waiting", ", ".join(sorted(reasons))),
        (f"longest wait, {NAMESPACES[0]} ({CROWDED} jobs)", f"{longest[NAMESPACES[0]]:.0f} s"),
    ]
    rows += [(f"longest wait, {name} (10 jobs)", f"{longest[name]:.0f} s") for name in NAMESPACES[1:]]
    return rows


def restart(ground: Ground) -> Rows:
    ground.parallel([(ground.job, NAMESPACES[n % 10], f"restart-{n}") for n in range(20)])
    end = time.monotonic() + 120
    while not any(job.get("status", {}).get("phase") == "Running" for job in ground.jobs("restart")):
        expect(time.monotonic() < end, "no job began to run within 120 s")
        time.sleep(0.1)
    begun = time.monotonic()
    program = Path(__file__).resolve().parents[2] / "testbed/kubernetes/cluster.py"
    subprocess.run([sys.executable, str(program), "restart-apiserver", "--run", ground.run.id], check=True, capture_output=True)
    away = time.monotonic() - begun
    jobs = ground.await_end("restart", 20, 600)
    all_complete(jobs)
    again = sum(job["status"]["attempt"] > 1 for job in jobs)
    return [
        ("API server away for", f"{away:.1f} s"),
        ("20 jobs that ran meanwhile", f"all Complete, {again} of them in a second attempt"),
    ]


@contextlib.contextmanager
def slow_etcd(ground: Ground) -> Iterator[None]:
    """Holds etcd for 400 of every 500 ms."""
    pid = Daemons(ground.run.id, PART, ground.run.part(PART)).pid("etcd")
    # `nsenter` stops itself when what it runs is stopped, and nobody else would let it go on.
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    stop = threading.Event()

    def hold() -> None:
        while not stop.wait(0.1):
            os.kill(pid, signal.SIGSTOP)
            stop.wait(0.4)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for held in (pid, parent):
            os.kill(held, signal.SIGCONT)


def touch(ground: Ground) -> None:
    """A write, which goes to etcd whatever the API server keeps."""
    labels, annotations = {"drawbridge.dev/backups": "allowed"}, {"load": str(time.time())}
    namespace = named(NAMESPACES[0], "Namespace", labels=labels, annotations=annotations)
    ground.api.apply(f"/api/v1/namespaces/{NAMESPACES[0]}", namespace)


def slow(ground: Ground) -> Rows:
    begun = time.monotonic()
    with slow_etcd(ground):
        probe = [timed(lambda: touch(ground)) for _ in range(10)]
        expect(max(probe) > 0.2, f"etcd was not slow: ten writes took {max(probe):.3f} s at most")
        ground.parallel([(ground.job, NAMESPACES[n % 10], f"slow-{n}") for n in range(12)])
        jobs = ground.await_end("slow", 12, 900)
    all_complete(jobs)
    return [
        ("etcd held for 400 of every 500 ms: the longest of ten writes", f"{max(probe) * 1000:.0f} ms"),
        ("12 jobs", f"all Complete after {time.monotonic() - begun:.0f} s"),
    ]


def timed(call: Callable[[], Any]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def many(ground: Ground) -> Rows:
    before = memory(controller(ground))["VmRSS"]
    made = [job for job in ground.jobs() if job.get("status", {}).get("phase") == "Complete"]
    status = made[0]["status"]
    ground.api.apply("/api/v1/namespaces/load-many", named("load-many", "Namespace"))

    def finished(number: int) -> None:
        name = f"many-{number}"
        job = ground.job("load-many", name)
        # As the controller left one that it finished itself; an unfinished one in a namespace without pods would fail.
        path = f"{GROUP}/namespaces/load-many/backupjobs/{name}/status?fieldManager=load"
        code, answer = ground.api.request("PATCH", path, {"status": status}, "application/merge-patch+json")
        expect(code == 200, f"{job['metadata']['name']}: {code} {answer[:300]!r}")

    stopped = scale(ground, 0)
    seconds = timed(lambda: ground.parallel([(finished, n) for n in range(MANY)], 8))
    scale(ground, 1)
    pid = controller(ground)
    taken = one_job(ground, "after-many-0")
    held = memory(pid)
    again = one_job(ground, "after-many-1")
    return [
        ("10,000 finished jobs made in", f"{seconds:.0f} s, the controller {'stopped' if stopped else 'running'}"),
        ("controller's memory before (resident)", f"{before / MIB:.0f} MiB"),
        ("a fresh controller's with 10,000 jobs: resident, peak", f"{held['VmRSS'] / MIB:.0f} MiB, {held['VmHWM'] / MIB:.0f} MiB"),
        ("one more job, from its creation to Complete", f"{taken:.1f} s, then {again:.1f} s"),
    ]


def scale(ground: Ground, replicas: int) -> bool:
    """Scales the controller, and waits until it is so."""
    path = "/apis/apps/v1/namespaces/drawbridge-system/deployments/drawbridge"
    code, answer = ground.api.request("PATCH", path, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
    expect(code == 200, f"scaling the controller: {code} {answer[:300]!r}")
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = ground.api.get(path) or {}
        pods = (ground.api.get("/api/v1/namespaces/drawbridge-system/pods") or {"items": []})["items"]
        if found.get("status", {}).get("readyReplicas", 0) == replicas and len(pods) == replicas:
            return replicas == 0
        time.sleep(0.3)
    raise SystemExit(f"load: the controller did not get to {replicas} replicas within 120 s")


def one_job(ground: Ground, name: str) -> float:
    ground.job(NAMESPACES[1], name)
    (job,) = ground.await_end(name, 1, 300)
    all_complete([job])
    return time_of(job["status"]["completionTime"]) - time_of(job["metadata"]["creationTimestamp"])


PARTS: dict[str, Callable[[Ground], Rows]] = {"queue": queue, "restart": restart, "slow": slow, "many": many}


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    ground = Ground(given.run)
    ground.parallel([(ground.namespace, name) for name in NAMESPACES], 4)
    ground.await_pods(NAMESPACES)
    text = []
    for part in given.parts.split(","):
        rows = PARTS[part](ground)
        text += [f"## {part}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
        print("\n".join(f"  {name}: {value}" for name, value in rows), flush=True)
    if given.table:
        given.table.write_text("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())

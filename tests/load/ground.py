"""What the load runs on: namespaces with a pod each, jobs, and eyes on EC2, on the API server and on the controller."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

from testbed.aws import aws
from testbed.common import run as runs
from testbed.kubernetes.api import Api
from testbed.kubernetes.layout import BUSYBOX_IMAGE, Layout

GROUP = "/apis/drawbridge.dev/v1alpha1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "drawbridge-gatherer"
RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
]


def time_of(text: str) -> float:
    """Seconds since the epoch; Python 3.11 takes six digits of a second, a status may have nine."""
    head, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{rest[:6].ljust(6, '0')}+00:00").timestamp()


class Ground:
    """One run of the testbed."""

    def __init__(self, run_id: str) -> None:
        self.run = runs.load(run_id)
        self.api = Api(Layout(self.run))

    def namespace(self, name: str) -> None:
        """A namespace with a small pod, and the account that may gather from it."""
        self.api.apply(f"/api/v1/namespaces/{name}", named(name, "Namespace", labels={"drawbridge.dev/backups": "allowed"}))
        self.api.apply(f"/api/v1/namespaces/{name}/serviceaccounts/{ACCOUNT}", named(ACCOUNT, "ServiceAccount"))
        role = {**named(ACCOUNT, "Role", "rbac.authorization.k8s.io/v1"), "rules": RULES}
        self.api.apply(f"{RBAC}/namespaces/{name}/roles/{ACCOUNT}", role)
        subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": name}
        binding = {
            **named(ACCOUNT, "RoleBinding", "rbac.authorization.k8s.io/v1"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
            "subjects": [subject],
        }
        self.api.apply(f"{RBAC}/namespaces/{name}/rolebindings/{ACCOUNT}", binding)
        script = "mkdir -p /data/etc; head -c 200000 /dev/urandom >/data/etc/blob; exec sleep 86400"
        container = {"name": "app", "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script]}
        pod = {**named("app", "Pod", labels={"app": "load"}), "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
        self.api.apply(f"/api/v1/namespaces/{name}/pods/app", pod)

    def await_pods(self, namespaces: list[str]) -> None:
        waiting, end = set(namespaces), time.monotonic() + 180
        while waiting and time.monotonic() < end:
            for name in list(waiting):
                pod = self.api.get(f"/api/v1/namespaces/{name}/pods/app")
                if pod and any(s.get("ready") for s in pod["status"].get("containerStatuses", [])):
                    waiting.discard(name)
            time.sleep(0.2)
        if waiting:
            raise SystemExit(f"pods of {sorted(waiting)} are not ready")

    def job(self, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
        """Creates a BackupJob."""
        source = {"name": "data", "files": {"selector": {"matchLabels": {"app": "load"}}, "paths": ["/data/etc"]}}
        body = {**named(name, "BackupJob", "drawbridge.dev/v1alpha1"), "spec": {"vault": "default", "sources": [source], **spec}}
        made: dict[str, Any] = self.api.post(f"{GROUP}/namespaces/{namespace}/backupjobs", body)
        return made

    def jobs(self, label: str = "", patience: float = 120) -> list[dict[str, Any]]:
        """All BackupJobs whose name begins with `label`; patient while the API server is away or has just come back."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                code, answer = self.api.request("GET", f"{GROUP}/backupjobs")
                if code == 200:
                    found = json.loads(answer)["items"]
                    return [job for job in found if job["metadata"]["name"].startswith(label)]
                if code not in (429, 500, 503, 504):
                    raise SystemExit(f"listing the jobs: {code} {answer[:300]!r}")
            time.sleep(0.5)
        raise SystemExit(f"the jobs could not be listed for {patience:.0f} s")

    def await_end(self, label: str, count: int, seconds: float) -> list[dict[str, Any]]:
        """Waits until so many jobs are over."""
        end = time.monotonic() + seconds
        while True:
            jobs = self.jobs(label)
            over = [job for job in jobs if job.get("status", {}).get("phase") in ("Complete", "Failed")]
            if len(over) >= count:
                return over
            if time.monotonic() > end:
                raise SystemExit(f"{label}: {len(over)} of {count} jobs are over after {seconds:.0f} s")
            time.sleep(1)

    def parallel(self, calls: list[tuple[Any, ...]], threads: int = 16) -> None:
        """Runs (function, arguments...) side by side; the first failure is raised."""
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(call[0], *call[1:]) for call in calls]:
                done.result()


def named(name: str, kind: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **more}}


@contextlib.contextmanager
def boxes_seen(ground: Ground) -> Iterator[list[int]]:
    """How many boxes EC2 had at once, looked at every 0.2 s; the list grows while the block runs."""
    seen: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            states = [i["state"] for i in aws.instances(ground.run)]
            seen.append(sum(state in ("pending", "running") for state in states))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def controller(ground: Ground) -> int:
    """The controller's process id on this machine."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == "drawbridge-cont":
                if f"dbk{ground.run.index}/" in (entry / "cgroup").read_text():
                    return int(entry.name)
    raise SystemExit("no controller runs")


def memory(pid: int) -> dict[str, int]:
    """Resident memory now and at its peak, in bytes."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")}


def describe(job: dict[str, Any]) -> str:
    about, status = job["metadata"], job.get("status", {})
    return f"{about['namespace']}/{about['name']}: {status.get('phase')} {json.dumps(status.get('fault'))}"

"""The run that both sides are measured in: its cluster, its account, its pods."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, TypeVar

import boto3

from testbed.common import run as runs
from testbed.common.shell import run as shell
from testbed.images.mkimage import Image, build
from testbed.images.programs import programs
from testbed.kubernetes import binaries

NAMESPACE = "bench"
IMAGE = "drawbridge.test/gnu:1"
T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], seconds: float, every: float = 0.1) -> T:
    """Looks again until there is something to see. Looking costs: what is measured meanwhile is looked at seldom."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if seen := look():
            return seen
        time.sleep(every)
    raise SystemExit(f"{what}: not within {seconds:.0f} s")


class World:
    """One run of the testbed with the stack and the chart installed."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        self.run = runs.load(run_id)
        self.facts: dict[str, Any] = json.loads((self.run.dir / "testbed.json").read_text())
        self.outputs: dict[str, str] = json.loads(stack_file.read_text())["outputs"]
        root = self.facts["aws"]["root"]
        self._session = boto3.Session(root["access_key_id"], root["secret_access_key"], region_name=self.facts["aws"]["region"])

    def client(self, service: str) -> Any:
        """The account's owner."""
        aws = self.facts["aws"]
        return self._session.client(service, endpoint_url=aws["endpoint"], verify=aws["ca_bundle"])

    def local_aws(self) -> list[int]:
        """Process ids of what stands in for AWS."""
        records = (self.run.dir / "aws/processes").glob("*.json")
        return [int(json.loads(record.read_text())["pid"]) for record in records]

    def kubectl_words(self, *words: str) -> list[str]:
        return [binaries.path("kubectl"), f"--kubeconfig={self.facts['kubernetes']['kubeconfig']}", *words]

    def kubectl(self, *words: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(self.kubectl_words(*words), input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr.decode()}")
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode())

    def empty(self, bucket: str) -> None:
        """Objects of a finished run go at once: the local S3 keeps everything in memory."""
        s3 = self.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=found["Key"])

    def prepare(self) -> None:
        """The namespace, who may gather in it, and an image with the tools that most images have, zstd among them."""
        archive = self.run.dir / "bench-image.tar"
        build(Image(IMAGE, command=["sleep", "86400"]), programs("sh", "tar", "zstd", "sleep", "cat"), archive)
        program = self.facts["kubernetes"]["program"]
        shell("python3", program, "load-image", "--run", self.run.id, str(archive), timeout=120)
        account, group = "drawbridge-gatherer", "rbac.authorization.k8s.io"
        about = {"name": account, "namespace": NAMESPACE}
        rules = [
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
        ]
        subject = {"kind": "ServiceAccount", **about}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": {"drawbridge.dev/backups": "allowed"}},
            },
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": about,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
                "subjects": [subject],
            },
        )

    def start_pods(self, name: str, directories: list[Path], image: str = IMAGE) -> list[str]:
        """A pod for each directory, which it sees as /data."""
        pods = [f"{name}-{number}" for number in range(len(directories))]
        for pod, directory in zip(pods, directories, strict=True):
            container = {
                "name": "app",
                "image": image,
                "command": ["sleep", "86400"],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            }
            self.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"set": name}},
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [container],
                        "volumes": [{"name": "data", "hostPath": {"path": str(directory), "type": "Directory"}}],
                    },
                }
            )
        for pod in pods:
            self.kubectl("wait", "-n", NAMESPACE, f"pod/{pod}", "--for=condition=Ready", "--timeout=120s")
        return pods

    def stop_pods(self, name: str) -> None:
        self.kubectl("delete", "pods", "-n", NAMESPACE, "-l", f"set={name}", "--wait=true")

"""A real cluster with the chart installed, as the operator, two namespaces' gatherers and a namespace's admin see it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.policy.kubernetes_probes import GATHERER, POLICY_WORDS, Kubectl, Place, ProbeError, await_policy, kubeconfig_of, mint
from tests.policy.probe import Outcome

IMAGE = "drawbridge.test/busybox:1"
NAMESPACE, ACCOUNT, VAULT = "drawbridge-system", "drawbridge", "default"
# The account in the first namespace that its admin's rights are given to.
ADMIN = "other"
ALLOWED = {"drawbridge.dev/backups": "allowed"}
FORBIDDEN, BY_ADMISSION, INVALID = "Forbidden", "Forbidden by admission", "Invalid"
NOT_ALLOWED = "NamespaceNotAllowed"
# Reasons by which a job waits for its vault, or for the controller to have seen it.
OF_THE_VAULT = ("Vault", "Posture", "CheckingPosture", "no reason")
SECONDS = 30.0
Json = dict[str, Any]


class Cluster:
    """Identities: admin (the cluster's), operator, gatherer and namespace-admin (of the first namespace)."""

    def __init__(self, run_id: str) -> None:
        directory = os.environ.get("DRAWBRIDGE_BIN")
        program = str(Path(directory) / "kubectl") if directory else "kubectl"
        self.admin = Kubectl(program, kubeconfig_of(run_id))
        self.place = Place(self.admin, IMAGE)
        self.first, self.second = self.place.first, self.place.second
        self.identities: dict[str, Kubectl] = {"admin": self.admin}
        self._jobs = 0

    @contextlib.contextmanager
    def standing(self) -> Iterator[Cluster]:
        with tempfile.TemporaryDirectory(prefix="drawbridge-attacks-") as directory:
            try:
                self.place.make()
                self.admin.must("apply", "-f", "-", stdin=json.dumps(binding(self.first, "namespace-admin", "admin", ADMIN)))
                self.admin.must("label", "namespace", self.second, "drawbridge.dev/backups=allowed")
                operator = self.admin.must("create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=3600s").strip()
                self.identities["operator"] = self.admin.with_token(operator, Path(directory) / "operator")
                await_policy(self.identities["operator"], self.first)
                # Longer than the operator's own ten minutes, so that it outlives the suite.
                for who, account in (("gatherer", GATHERER), ("namespace-admin", ADMIN)):
                    token = self.admin.must(*mint(self.first, account, 3600)).strip()
                    self.identities[who] = self.admin.with_token(token, Path(directory) / who)
                self.admin.must("apply", "-f", "-", stdin=json.dumps(job(self.first, "standing", vault="nobody-s")))
                # Rows of the account took guarantees away; whoever looked then would hold jobs up now.
                looked = f"drawbridge.dev/check-posture={int(time.time())}"
                self.admin.must("annotate", "backupvault", VAULT, looked, "--overwrite")
                yield self
            finally:
                self.admin.run("delete", "backupjobs", "--all", "-n", self.first, "--timeout=60s")
                self.admin.run("delete", "backupjobs", "--all", "-n", self.second, "--timeout=60s")
                self.place.remove()

    def words(self) -> dict[str, str]:
        """What a request's words stand for here."""
        self._jobs += 1
        return {"a": self.first, "b": self.second, "fresh": f"attack-{self._jobs}"}

    def read(self, *what: str) -> Json | None:
        """An object as JSON, if it is there."""
        result = self.admin.run("get", *what, "-o", "json", "--ignore-not-found")
        if result.returncode != 0:
            raise ProbeError(f"kubectl get {' '.join(what)}: {result.stderr.strip()}")
        return json.loads(result.stdout) if result.stdout.strip() else None


def job(namespace: str, name: str, vault: str = VAULT, path: str = "/data") -> Json:
    """One that selects no pod: it never opens a session."""
    files = {"selector": {"matchLabels": {"app": "nobody-s"}}, "paths": [path]}
    return {
        "apiVersion": "drawbridge.dev/v1alpha1",
        "kind": "BackupJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"vault": vault, "backoffLimit": 0, "sources": [{"name": "config", "files": files}]},
    }


def binding(namespace: str | None, name: str, role: str, account: str, home: str | None = None) -> Json:
    """A ClusterRole given to an account of `home`: in one namespace, or with None in all."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home or namespace}],
    }


@dataclass(frozen=True)
class Command:
    """A kubectl command by one identity. `{a}`, `{b}` and `{fresh}` stand for the two namespaces and a name."""

    what: str
    who: str
    arguments: tuple[str, ...]
    stdin: str | None = None

    def run(self, ground: Cluster) -> Outcome:
        words = ground.words()
        stdin = None if self.stdin is None else filled(self.stdin, words)
        result = ground.identities[self.who].run(*(filled(text, words) for text in self.arguments), stdin=stdin)
        said = result.stderr.strip()
        if result.returncode == 0:
            return Outcome(None)
        if POLICY_WORDS in said or "ValidatingAdmissionPolicy" in said:
            return Outcome(BY_ADMISSION, said)
        if "forbidden" in said.lower():
            return Outcome(FORBIDDEN, said)
        return Outcome(INVALID if "is invalid" in said else "Failed", said)


@dataclass(frozen=True)
class Accepted:
    """A BackupJob of the namespace's admin, until the controller has said what becomes of it."""

    what: str
    namespace: str

    def run(self, ground: Cluster) -> Outcome:
        words = ground.words()
        namespace = filled(self.namespace, words)
        ground.admin.must("apply", "-f", "-", stdin=json.dumps(job(namespace, words["fresh"])))
        try:
            reason = self._reason(ground, namespace, words["fresh"])
        finally:
            ground.admin.run("delete", "backupjob", words["fresh"], "-n", namespace, "--timeout=60s")
        # What it says once it has looked at the vault is about the job's pods.
        return Outcome(reason if reason == NOT_ALLOWED or reason.startswith(OF_THE_VAULT) else None, reason)

    def _reason(self, ground: Cluster, namespace: str, name: str) -> str:
        """The last that is not about the vault itself, which answers a moment after it was changed."""
        end, reason = time.monotonic() + SECONDS, "no reason"
        while time.monotonic() < end:
            found = ground.read("backupjob", name, "-n", namespace) or {}
            conditions = found.get("status", {}).get("conditions", [])
            reasons = [c["reason"] for c in conditions if c["type"] in ("Progressing", "Failed") and c.get("reason")]
            reason = str(reasons[-1]) if reasons else reason
            if not reason.startswith(OF_THE_VAULT):
                return reason
            time.sleep(0.2)
        return reason


def filled(text: str, words: dict[str, str]) -> str:
    for word, meant in words.items():
        text = text.replace(f"{{{word}}}", meant)
    return text

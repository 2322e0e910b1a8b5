#!/usr/bin/env python3
"""What the operator and a namespace's gatherer may and may not do in a real cluster, asked with their own tokens.

Each denial stands beside an allowed twin, so that a probe that asks the wrong question cannot pass as security; and a
denial counts only if the API server says `forbidden`, not if a request merely fails. Needs the chart installed.

    kubernetes_probes.py --run ID        or --kubeconfig FILE for a cluster that is not a test bed's
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE = Path("/var/tmp/drawbridge")
GATHERER = "drawbridge-gatherer"
# What the admission policy says; RBAC's refusals read otherwise.
POLICY_WORDS = "mints tokens of at most 600 seconds"


class ProbeError(Exception):
    """Why the probes cannot run at all."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl as one identity."""

    program: str
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self.program, "--kubeconfig", str(self.kubeconfig), "--request-timeout=30s", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)

    def must(self, *arguments: str, stdin: str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        if result.returncode != 0:
            raise ProbeError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def with_token(self, token: str, path: Path) -> Kubectl:
        """The same cluster as the token's identity alone: a client certificate would win over a token."""
        config = json.loads(self.must("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return Kubectl(self.program, path)


@dataclass(frozen=True)
class Probe:
    """One question to the API server and the only right answer."""

    who: str
    what: str
    arguments: tuple[str, ...]
    allowed: bool
    # In the answer: of an allowed request its output, of a denied one its error.
    says: str = ""
    stdin: str | None = None

    def failure(self, kubectl: Kubectl) -> str | None:
        """What was wrong with the answer, or nothing."""
        result = kubectl.run(*self.arguments, stdin=self.stdin)
        if self.allowed:
            if result.returncode != 0:
                return f"should be allowed, but: {result.stderr.strip()}"
            return None if self.says in result.stdout else f"answered without '{self.says}': {result.stdout[:200]}"
        if result.returncode == 0:
            return "should be denied, but was allowed"
        if "forbidden" not in result.stderr.lower():
            return f"failed, but not because it was forbidden: {result.stderr.strip()}"
        return None if self.says in result.stderr else f"denied by something else than expected: {result.stderr.strip()}"


@dataclass
class Place:
    """Two namespaces with a gatherer, a pod and a Secret each. The second is the one that the first must not reach."""

    admin: Kubectl
    image: str
    first: str = field(default_factory=lambda: f"probe-{secrets.token_hex(4)}-a")

    @property
    def second(self) -> str:
        return self.first[:-1] + "b"

    def make(self) -> None:
        objects = [o for namespace in (self.first, self.second) for o in namespace_objects(namespace, self.image)]
        self.admin.must("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        for namespace in (self.first, self.second):
            self.admin.must("wait", "-n", namespace, "pod/target", "--for=condition=Ready", "--timeout=60s")

    def remove(self) -> None:
        self.admin.run("delete", "namespace", self.first, self.second, "--wait=false", "--ignore-not-found")


def namespace_objects(namespace: str, image: str) -> list[dict[str, Any]]:
    """As examples/gatherer.yaml has it, and something to reach for."""

    def meta(name: str) -> dict[str, str]:
        return {"name": name, "namespace": namespace}

    rbac = "rbac.authorization.k8s.io"
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(GATHERER)},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("other")},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": meta(GATHERER),
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta(GATHERER),
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": GATHERER},
            "subjects": [{"kind": "ServiceAccount", **meta(GATHERER)}],
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta("secret"), "stringData": {"a": "b"}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta("target"),
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "target", "image": image, "command": ["sleep", "3600"], "securityContext": restricted}],
            },
        },
    ]


def mint(namespace: str, account: str, seconds: int) -> tuple[str, ...]:
    return ("create", "token", account, "-n", namespace, f"--duration={seconds}s")


def exec_in(namespace: str) -> tuple[str, ...]:
    return ("exec", "-n", namespace, "target", "--", "echo", "reached")


def raw_exec(namespace: str, verb: str) -> tuple[str, ...]:
    """The bare request: `kubectl exec` asks for the pod first, and would be refused for that."""
    path = f"/api/v1/namespaces/{namespace}/pods/target/exec?command=echo&stdout=true"
    return (verb, "--raw", path, *(("-f", "-") if verb == "create" else ()))


def raw_log(namespace: str) -> tuple[str, ...]:
    return ("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/target/log")


def binding_to_admin(namespace: str) -> str:
    """What a thief of the operator's identity would make first, were he let."""
    return json.dumps(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "thief", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": GATHERER, "namespace": namespace}],
        }
    )


def probes(a: str, b: str, operator_namespace: str, operator: str) -> list[Probe]:
    """All questions. A denial's twin is the same question by, or about, the one whose right it is."""
    create = ("create", "-f", "-")
    return [
        Probe("operator", "list BackupJobs everywhere", ("get", "backupjobs", "-A"), True),
        Probe("operator", "get a namespace", ("get", "namespace", a), True, a),
        Probe("operator", "list namespaces", ("get", "namespaces"), False),
        Probe("gatherer", "list pods of its namespace", ("get", "pods", "-n", a), True, "target"),
        Probe("operator", "list pods", ("get", "pods", "-n", a), False),
        Probe("operator", "list pods everywhere", ("get", "pods", "-A"), False),
        Probe("gatherer", "list pods of another namespace", ("get", "pods", "-n", b), False),
        Probe("gatherer", "exec in its namespace", exec_in(a), True, "reached"),
        Probe("operator", "exec", exec_in(a), False),
        Probe("operator", "exec, the bare POST", raw_exec(a, "create"), False, '"pods/exec"', stdin=""),
        Probe("operator", "exec, the bare GET of a WebSocket", raw_exec(a, "get"), False, '"pods/exec"'),
        Probe("gatherer", "exec in another namespace", exec_in(b), False),
        Probe("gatherer", "exec in another namespace, the bare POST", raw_exec(b, "create"), False, '"pods/exec"', stdin=""),
        Probe("gatherer", "exec in another namespace, the bare GET", raw_exec(b, "get"), False, '"pods/exec"'),
        Probe("admin", "get a Secret", ("get", "secret", "secret", "-n", a), True, "secret"),
        Probe("operator", "get a Secret", ("get", "secret", "secret", "-n", a), False),
        Probe("operator", "list Secrets of its own namespace", ("get", "secrets", "-n", operator_namespace), False),
        Probe("gatherer", "get a Secret", ("get", "secret", "secret", "-n", a), False),
        Probe("admin", "read a pod's log", raw_log(a), True),
        Probe("operator", "read a pod's log", raw_log(a), False, '"pods/log"'),
        Probe("operator", "mint for the gatherer, 600 s", mint(a, GATHERER, 600), True, "ey"),
        Probe("operator", "mint for another namespace's gatherer, 600 s", mint(b, GATHERER, 600), True, "ey"),
        Probe("operator", "mint for the gatherer, 601 s", mint(a, GATHERER, 601), False, POLICY_WORDS),
        Probe("operator", "mint for the gatherer, a day", mint(a, GATHERER, 86400), False, POLICY_WORDS),
        Probe("operator", "mint for another account, 600 s", mint(a, "other", 600), False),
        Probe("operator", "mint for itself, 600 s", mint(operator_namespace, operator, 600), False),
        Probe("admin", "mint for the gatherer, 601 s: others are not capped", mint(a, GATHERER, 601), True, "ey"),
        Probe("admin", "mint for another account, 600 s", mint(a, "other", 600), True, "ey"),
        Probe("gatherer", "mint for itself", mint(a, GATHERER, 600), False),
        Probe("operator", "bind a role", create, False, stdin=binding_to_admin(a)),
        Probe("gatherer", "bind a role", create, False, stdin=binding_to_admin(a)),
        Probe("admin", "bind a role", (*create, "--dry-run=server"), True, "thief", stdin=binding_to_admin(a)),
    ]


def token_life(token: str) -> int:
    """Seconds between the issue and the end of a token, as it says itself."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return int(claims["exp"]) - int(claims["iat"])


def await_policy(operator: Kubectl, namespace: str) -> None:
    """A policy that was just installed takes effect a moment later, first by denying nothing."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        result = operator.run(*mint(namespace, GATHERER, 601))
        if result.returncode != 0 and POLICY_WORDS in result.stderr:
            return
        time.sleep(0.2)
    raise ProbeError("20 s after the chart's install the operator still mints for 601 s: the token-life policy does not work")


def run(admin: Kubectl, operator_namespace: str, operator_account: str, image: str) -> int:
    """Asks everything, prints a line a question, and returns how many were answered wrongly."""
    wrong = 0
    place = Place(admin, image)
    with tempfile.TemporaryDirectory(prefix="drawbridge-probes-") as directory:
        try:
            place.make()
            token = admin.must("create", "token", operator_account, "-n", operator_namespace, "--duration=3600s")
            operator = admin.with_token(token.strip(), Path(directory) / "operator")
            await_policy(operator, place.first)
            minted = operator.must(*mint(place.first, GATHERER, 600)).strip()
            if token_life(minted) > 600:
                print(f"WRONG    the minted token lives {token_life(minted)} s, not 600")
                wrong += 1
            gatherer = admin.with_token(minted, Path(directory) / "gatherer")
            identities = {"admin": admin, "operator": operator, "gatherer": gatherer}
            for probe in probes(place.first, place.second, operator_namespace, operator_account):
                failure = probe.failure(identities[probe.who])
                verdict = "WRONG  " if failure else "allowed" if probe.allowed else "denied "
                print(f"{verdict}  {probe.who}: {probe.what}" + (f": {failure}" if failure else ""))
                wrong += failure is not None
        finally:
            place.remove()
    return wrong


def kubeconfig_of(run_id: str) -> Path:
    """Where the test bed's cluster is told."""
    path = STATE / run_id / "testbed.json"
    try:
        return Path(json.loads(path.read_text())["kubernetes"]["kubeconfig"])
    except (OSError, KeyError, ValueError) as error:
        raise ProbeError(f"{path} names no cluster ({error}); boot one: python3 testbed/testbed.py up --run {run_id}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--run", help="the test bed's run")
    where.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--namespace", default="drawbridge-system", help="the operator's namespace")
    parser.add_argument("--account", default="drawbridge", help="the operator's service account")
    parser.add_argument("--image", default="drawbridge.test/busybox:1", help="an image with sleep and echo, in reach of the cluster")
    given = parser.parse_args()
    try:
        directory = os.environ.get("DRAWBRIDGE_BIN")
        program = str(Path(directory) / "kubectl") if directory else "kubectl"
        admin = Kubectl(program, given.kubeconfig or kubeconfig_of(given.run))
        wrong = run(admin, given.namespace, given.account, given.image)
    except ProbeError as error:
        print(f"kubernetes_probes.py: {error}", file=sys.stderr)
        return 2
    print(f"{wrong} wrong answers" if wrong else "every answer is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What stops identities of a cluster: roles, bindings, the admission policy, the CRD's schema, the vault's namespaces."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.attacks.cluster import ACCOUNT, ADMIN, NAMESPACE, VAULT, Cluster, Json, binding, filled
from tests.policy.kubernetes_probes import GATHERER, await_policy


@dataclass(frozen=True)
class Rules:
    """That a role has no such rule. It is taken away by adding it."""

    role: str  # clusterrole/NAME or role/NAME
    rule: str  # as JSON
    namespace: str = ""

    @property
    def name(self) -> str:
        rule = json.loads(self.rule)
        return f"{self.role} has no {'/'.join(rule['verbs'])} of {', '.join(rule['resources'])}"

    @contextlib.contextmanager
    def removed(self, ground: Cluster) -> Iterator[None]:
        rules = self.state(ground)
        self._write(ground, [*rules, json.loads(self.rule)])
        try:
            yield
        finally:
            self._write(ground, rules)

    def state(self, ground: Cluster) -> Any:
        return (ground.read(*self._where(ground)) or {})["rules"]

    def _write(self, ground: Cluster, rules: Any) -> None:
        patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
        ground.admin.must("patch", *self._where(ground), "--type=json", "-p", patch)

    def _where(self, ground: Cluster) -> tuple[str, ...]:
        kind, _, name = self.role.partition("/")
        return (kind, name, *(("-n", filled(self.namespace, ground.words())) if self.namespace else ()))


@dataclass(frozen=True)
class Confined:
    """That an account has no rights elsewhere. It is taken away by a binding of `role` in `namespace`, or everywhere."""

    account: str
    role: str
    namespace: str | None

    @property
    def name(self) -> str:
        places = {"{a}": "his namespace but `admin`", "{b}": "another namespace", None: "the cluster's scope"}
        place = places.get(self.namespace, self.namespace)
        return f"no binding of {self.account} in {place}"

    @contextlib.contextmanager
    def removed(self, ground: Cluster) -> Iterator[None]:
        ground.admin.must("apply", "-f", "-", stdin=json.dumps(self._binding(ground)))
        try:
            yield
        finally:
            made = self._binding(ground)
            where = ("-n", made["metadata"]["namespace"]) if self.namespace else ()
            ground.admin.must("delete", made["kind"].lower(), made["metadata"]["name"], *where)

    def state(self, ground: Cluster) -> Any:
        made = self._binding(ground)
        where = ("-n", made["metadata"]["namespace"]) if self.namespace else ()
        return ground.read(made["kind"].lower(), made["metadata"]["name"], *where)

    def _binding(self, ground: Cluster) -> Json:
        account = {"gatherer": GATHERER, "the namespace's admin": ADMIN}[self.account]
        place = filled(self.namespace, ground.words()) if self.namespace else None
        return binding(place, f"attack-{account}", self.role, account, home=ground.first)


@dataclass(frozen=True)
class TokenLife:
    """The admission policy on the operator's tokens; its binding is deleted."""

    name: str = "ValidatingAdmissionPolicy token-life"

    @contextlib.contextmanager
    def removed(self, ground: Cluster) -> Iterator[None]:
        kind, called = "validatingadmissionpolicybinding", self._called(ground)
        stood = ground.read(kind, called) or {}
        kept = {key: stood["metadata"].get(key, {}) for key in ("name", "labels", "annotations")}
        ground.admin.must("delete", kind, called)
        try:
            yield
        finally:
            ground.admin.must("create", "-f", "-", stdin=json.dumps({**stood, "metadata": kept}))
            await_policy(ground.identities["operator"], ground.first)

    def state(self, ground: Cluster) -> Any:
        return (ground.read("validatingadmissionpolicybinding", self._called(ground)) or {}).get("spec")

    def _called(self, ground: Cluster) -> str:
        return f"{NAMESPACE}-{ACCOUNT}-token-life"


@dataclass(frozen=True)
class Schema:
    """A rule of the CRD. It is taken away by a CRD without rules of that kind."""

    message: str

    @property
    def name(self) -> str:
        return f"CRD backupjobs: '{self.message}'"

    @contextlib.contextmanager
    def removed(self, ground: Cluster) -> Iterator[None]:
        stood = self.state(ground)
        self._write(ground, _without_rule(stood, self.message))
        try:
            yield
        finally:
            self._write(ground, stood)

    def state(self, ground: Cluster) -> Any:
        return (ground.read("crd", "backupjobs.drawbridge.dev") or {})["spec"]["versions"]

    def _write(self, ground: Cluster, versions: Any) -> None:
        patch = [{"op": "replace", "path": "/spec/versions", "value": versions}]
        # Longer than a command line may be.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(patch, file)
            file.flush()
            ground.admin.must("patch", "crd", "backupjobs.drawbridge.dev", "--type=json", "--patch-file", file.name)


@dataclass(frozen=True)
class VaultsNamespaces:
    """Whom the vault lets in; taken away, it names the thief's namespace too."""

    name: str = "allowedNamespaces of the BackupVault"

    @contextlib.contextmanager
    def removed(self, ground: Cluster) -> Iterator[None]:
        stood = self.state(ground)
        self._write(ground, {**stood, "matchNames": [*stood.get("matchNames", []), ground.first]})
        try:
            yield
        finally:
            self._write(ground, stood)

    def state(self, ground: Cluster) -> Json:
        found: Json = (ground.read("backupvault", VAULT) or {})["spec"]["allowedNamespaces"]
        return found

    def _write(self, ground: Cluster, allowed: Json) -> None:
        patch = json.dumps([{"op": "replace", "path": "/spec/allowedNamespaces", "value": allowed}])
        ground.admin.must("patch", "backupvault", VAULT, "--type=json", "-p", patch)


def _without_rule(node: Any, message: str) -> Any:
    """The schema without the validation that says so."""
    if isinstance(node, list):
        return [_without_rule(entry, message) for entry in node]
    if not isinstance(node, dict):
        return node
    copied = {key: _without_rule(value, message) for key, value in node.items()}
    if "x-kubernetes-validations" in copied:
        kept = [rule for rule in copied["x-kubernetes-validations"] if not rule.get("message", "").startswith(message)]
        del copied["x-kubernetes-validations"]
        if kept:
            copied["x-kubernetes-validations"] = kept
    return copied

"""Service account tokens for probes: those that the API server mints, and those that somebody would like it to have minted.

The cluster's own signing key is in the run's directory. With it a token can be made that only its time, or only its issuer,
keeps from being believed; one made with it that lacks nothing is believed, which shows that the others fail by that alone.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from testbed.common.errors import TestbedError
from testbed.common.run import Run
from testbed.common.shell import wait_until
from testbed.kubernetes.api import Api
from testbed.kubernetes.layout import Layout
from tests.policy.kubernetes_probes import GATHERER

STS, PODS = "sts.amazonaws.com", "pods.eks.amazonaws.com"
NAMESPACE, ACCOUNT = "drawbridge-system", "drawbridge"
ELSEWHERE, OTHER = "drawbridge-probe", "drawbridge-probe"
LIFE = 600  # the least that Kubernetes mints
MARK = "drawbridge.dev/probe"


class Tokens:
    """Of the run's cluster. `make` and `remove` care for the accounts that probes name besides the operator's own."""

    def __init__(self, run: Run) -> None:
        layout = Layout(run)
        self._key_file = layout.pki / "service-account.key"
        # A test bed may be without a cluster; then nobody mints, and there is nothing to care for.
        self.has_cluster = self._key_file.exists()
        if self.has_cluster:
            self._api = Api(layout)

    def make(self) -> None:
        if not self.has_cluster:
            return
        accounts = ((NAMESPACE, ACCOUNT), (NAMESPACE, OTHER), (ELSEWHERE, ACCOUNT), (ELSEWHERE, GATHERER))
        for namespace, name in accounts:
            self._make("Namespace", "/api/v1/namespaces", namespace)
            self._make("ServiceAccount", _accounts(namespace), name)

    def _make(self, kind: str, path: str, name: str) -> None:
        """What is there already is the chart's, and stays as it is."""
        if self._api.get(f"{path}/{name}") is None:
            about = {"name": name, "labels": {MARK: "yes"}}
            self._api.post(path, {"apiVersion": "v1", "kind": kind, "metadata": about})

    def remove(self) -> None:
        """What carries our mark, also what a killed run left."""
        if not self.has_cluster:
            return
        places = [f"{_accounts(NAMESPACE)}/{name}" for name in (ACCOUNT, OTHER)]
        places += [f"/api/v1/namespaces/{name}" for name in (NAMESPACE, ELSEWHERE)]
        for place in places:
            found = self._api.get(place)
            if found is not None and MARK in found["metadata"].get("labels", {}):
                self._api.request("DELETE", place)
                wait_until(f"{place} is gone", lambda place=place: self._api.get(place) is None, seconds=60)

    def mint(self, audience: str | None, namespace: str = NAMESPACE, account: str = ACCOUNT) -> str:
        """A token of the API server's; without an audience, one for the API server itself."""
        spec = {"expirationSeconds": LIFE, "audiences": [audience] if audience else []}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self._api.post(path, body)["status"]["token"])

    def forge(self, *, by_stranger: bool = False, algorithm: str = "ES256", **changes: Any) -> str:
        """The operator's token with some claims changed, signed with the cluster's key or with a stranger's."""
        head, body, _ = (part for part in self.mint(STS).split("."))
        header, claims = {**_read(head), "alg": algorithm}, {**_read(body), **changes}
        signed = f"{_write(header)}.{_write(claims)}"
        key = ec.generate_private_key(ec.SECP256R1()) if by_stranger else self._key()
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
        signature = b"" if algorithm == "none" else r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{_encode(signature)}"

    def expired(self) -> str:
        now = int(time.time())
        return self.forge(iat=now - 2 * LIFE, nbf=now - 2 * LIFE, exp=now - LIFE)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(self._key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TestbedError(f"{self._key_file} is no key of an elliptic curve")
        return key


def _accounts(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts"


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _write(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

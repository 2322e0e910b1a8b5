"""The cluster's certificate authorities, certificates and kubeconfigs, made by openssl, several at a time.

Everything lives as long as the run does, so nothing is renewed and no revocation exists.
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from testbed.common.shell import run

from .layout import API_SERVICE_ADDRESS, CLUSTER_DOMAIN, NODE_NAME, Layout

# An own config, because a distribution's default adds extensions of its own (CA:TRUE to self-signed ones).
OPENSSL_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
DAYS = "3650"


@dataclass(frozen=True)
class Certificate:
    """What one certificate is for. Names of users and groups follow Kubernetes: CN is the user, O the group."""

    name: str
    subject: str
    server: tuple[str, ...] = ()
    client: bool = False
    authority: str = "ca"
    kubeconfig: bool = False


def wanted(layout: Layout) -> list[Certificate]:
    """Every certificate of the cluster."""
    api_names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    api_names.append(f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
    api_addresses = ["127.0.0.1", layout.node_address, API_SERVICE_ADDRESS]
    api_server = (*(f"DNS:{name}" for name in api_names), *(f"IP:{address}" for address in api_addresses))
    node = (f"IP:{layout.node_address}", f"DNS:{NODE_NAME}")
    users = {
        "admin": "/O=system:masters/CN=admin",
        "controller-manager": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
        "kubelet": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
        "proxy": "/CN=system:kube-proxy",
        "coredns": "/CN=system:coredns",
    }
    return [
        Certificate("apiserver", "/CN=kube-apiserver", server=api_server),
        Certificate("etcd", "/CN=etcd", server=("IP:127.0.0.1",), client=True),
        Certificate("apiserver-etcd", "/CN=apiserver-etcd", client=True),
        Certificate("apiserver-kubelet", "/CN=kube-apiserver-kubelet-client", client=True),
        Certificate("kubelet-serving", f"/CN={NODE_NAME}", server=node),
        Certificate("front-proxy", "/CN=front-proxy-client", client=True, authority="front-ca"),
        *(Certificate(name, subject, client=True, kubeconfig=True) for name, subject in users.items()),
    ]


def make(layout: Layout) -> None:
    """Makes authorities, certificates, kubeconfigs and the key that signs service account tokens."""
    (layout.pki / "openssl.cnf").write_text(OPENSSL_CONFIG)
    with ThreadPoolExecutor(4) as pool:
        token_key = pool.submit(_service_account_key, layout.pki)
        for _ in pool.map(lambda name: _authority(layout.pki, name), ("ca", "front-ca")):
            pass
        certificates = wanted(layout)
        for _ in pool.map(lambda certificate: _issue(layout.pki, certificate), certificates):
            pass
        token_key.result()
    for certificate in certificates:
        if certificate.kubeconfig:
            _write_kubeconfig(layout, certificate.name)


def _request(pki: Path, name: str, *arguments: str) -> None:
    """One certificate from one command; `-extensions` come only from the arguments."""
    run(
        *("openssl", "req", "-x509", "-config", str(pki / "openssl.cnf"), "-days", DAYS, *NEW_KEY, *arguments),
        *("-keyout", str(pki / f"{name}.key"), "-out", str(pki / f"{name}.crt")),
    )


def _authority(pki: Path, name: str) -> None:
    extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _request(pki, name, "-subj", f"/CN=drawbridge-testbed-{name}", *extensions)


def _issue(pki: Path, certificate: Certificate) -> None:
    usages = [*(["serverAuth"] if certificate.server else []), *(["clientAuth"] if certificate.client else [])]
    authority = str(pki / certificate.authority)
    arguments = [
        *("-subj", certificate.subject, "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"),
        *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature"),
        *("-addext", f"extendedKeyUsage={','.join(usages)}"),
    ]
    if certificate.server:
        arguments += ["-addext", f"subjectAltName={','.join(certificate.server)}"]
    _request(pki, certificate.name, *arguments)


def _service_account_key(pki: Path) -> None:
    private, public = str(pki / "service-account.key"), str(pki / "service-account.pub")
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", private)
    run("openssl", "pkey", "-in", private, "-pubout", "-out", public)


def _write_kubeconfig(layout: Layout, user: str) -> None:
    """A kubeconfig with everything inside, as JSON, which is YAML too."""

    def embedded(file: str) -> str:
        return base64.b64encode((layout.pki / file).read_bytes()).decode()

    name = f"drawbridge-{layout.run.id}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": layout.server, "certificate-authority-data": embedded("ca.crt")}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": embedded(f"{user}.crt"),
                    "client-key-data": embedded(f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    path = layout.kubeconfig_of(user)
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))

"""etcd, the API server, the controller manager and the scheduler, as plain processes of the node."""

from __future__ import annotations

import json
from typing import Any

from testbed.common.process import Daemons

from . import binaries
from .layout import API_PORT, ETCD_PEER_PORT, ETCD_PORT, NODE_POD_RANGE, POD_RANGE, SERVICE_RANGE, Layout, node_command

ISSUER = "https://kubernetes.default.svc.cluster.local"

# Who did what, without bodies: those of secrets and minted tokens would end up in the log.
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*", "/openapi/*", "/version"]},
        {
            "level": "None",
            "userGroups": ["system:nodes"],
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
        },
        {"level": "Metadata"},
    ],
}


def start_etcd(layout: Layout, daemons: Daemons, holder: int) -> None:
    """etcd without fsync: the cluster's state is worth no more than the run."""
    pki = layout.pki
    client, peer = f"https://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    arguments = [
        "--name=testbed",
        f"--data-dir={layout.dir}/etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
        f"--cert-file={pki}/etcd.crt",
        f"--key-file={pki}/etcd.key",
        f"--trusted-ca-file={pki}/ca.crt",
        "--client-cert-auth",
    ]
    daemons.start("etcd", [binaries.path("etcd"), *arguments], inside=node_command(holder), forks=True)


def start_apiserver(layout: Layout, daemons: Daemons, holder: int) -> None:
    """The API server, with its default admission plugins (PodSecurity and ValidatingAdmissionPolicy are among them),
    an audit log, and no limit of its own on the life of service account tokens."""
    pki = layout.pki
    policy = layout.config / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    arguments = [
        f"--advertise-address={layout.node_address}",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--allow-privileged=true",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki}/ca.crt",
        f"--etcd-servers=https://127.0.0.1:{ETCD_PORT}",
        f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/apiserver-etcd.crt",
        f"--etcd-keyfile={pki}/apiserver-etcd.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=200",
        "--profiling=false",
    ]
    command = [binaries.path("kube-apiserver"), *arguments]
    daemons.start("kube-apiserver", command, inside=node_command(holder), forks=True)


def _common_arguments(layout: Layout, user: str) -> list[str]:
    """Of the controller manager and the scheduler. The default of 20 requests a second makes boots slow."""
    kubeconfig = layout.kubeconfig_of(user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--profiling=false",
    ]


def start_controller_manager(layout: Layout, daemons: Daemons, holder: int) -> None:
    """`--node-monitor-period` decides how soon the not-ready taint of a fresh node goes; the default is 5 s."""
    pki = layout.pki
    arguments = [
        *_common_arguments(layout, "controller-manager"),
        "--use-service-account-credentials",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--allocate-node-cidrs",
        f"--cluster-cidr={POD_RANGE}",
        f"--node-cidr-mask-size={NODE_POD_RANGE.rpartition('/')[2]}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--node-monitor-period=1s",
    ]
    command = [binaries.path("kube-controller-manager"), *arguments]
    daemons.start("kube-controller-manager", command, inside=node_command(holder), forks=True)


def start_scheduler(layout: Layout, daemons: Daemons, holder: int) -> None:
    """The scheduler with its default profile."""
    command = [binaries.path("kube-scheduler"), *_common_arguments(layout, "scheduler")]
    daemons.start("kube-scheduler", command, inside=node_command(holder), forks=True)

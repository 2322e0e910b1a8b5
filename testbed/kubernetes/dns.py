"""CoreDNS, as a process of the node behind the usual `kube-dns` service."""

from __future__ import annotations

from testbed.common.process import Daemons

from . import binaries
from .api import Api
from .layout import CLUSTER_DOMAIN, DNS_PORT, DNS_READY_PORT, DNS_SERVICE_ADDRESS, HOSTS, Layout, node_command

# `fallthrough`, because `hosts` would otherwise answer for every name, with a failure. Names that neither knows fail:
# there is no resolver above this one.
CONFIG = """\
.:{port} {{
  bind {address}
  errors
  ready 127.0.0.1:{ready_port}
  hosts {hosts} {{
    ttl 5
    reload 2s
    fallthrough
  }}
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 5
  }}
}}
"""

RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{RBAC_GROUP}/v1"


def start(layout: Layout, daemons: Daemons, holder: int, api: Api) -> None:
    """Gives CoreDNS its rights and its service, and starts it."""
    _apply_rights(api)
    _apply_service(api, layout.node_address)
    hosts = layout.dir / "dns-hosts"
    hosts.write_text("".join(f"{address} {name}\n" for name, address in HOSTS.items()))
    config = layout.config / "Corefile"
    config.write_text(
        CONFIG.format(
            port=DNS_PORT,
            address=layout.node_address,
            ready_port=DNS_READY_PORT,
            hosts=hosts,
            domain=CLUSTER_DOMAIN,
            kubeconfig=layout.kubeconfig_of("coredns"),
        )
    )
    command = [binaries.path("coredns"), "-conf", str(config), "-quiet"]
    daemons.start("coredns", command, inside=node_command(holder), forks=True)


def _apply_rights(api: Api) -> None:
    def reads(group: str, *resources: str) -> dict[str, object]:
        return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}

    name = "system:coredns"
    role = {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [reads("", "services", "pods", "namespaces"), reads("discovery.k8s.io", "endpointslices")],
    }
    api.apply(f"{RBAC}/clusterroles/{name}", role)
    api.apply(f"{RBAC}/clusterrolebindings/{name}", binding(name, role=name, user=name))


def binding(name: str, *, role: str, user: str) -> dict[str, object]:
    """A ClusterRoleBinding of one user."""
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC_GROUP, "kind": "User", "name": user}],
    }


def _apply_service(api: Api, address: str) -> None:
    """A service without selector, and its endpoint by hand, since CoreDNS is no pod."""
    ports = [{"name": "dns", "protocol": "UDP"}, {"name": "dns-tcp", "protocol": "TCP"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {
            "clusterIP": DNS_SERVICE_ADDRESS,
            "ports": [{**port, "port": 53, "targetPort": DNS_PORT} for port in ports],
        },
    }
    labels = {"kubernetes.io/service-name": "kube-dns"}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-testbed", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "ports": [{**port, "port": DNS_PORT} for port in ports],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
    api.apply("/api/v1/namespaces/kube-system/services/kube-dns", service)
    path = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-testbed"
    api.apply(path, endpoints)

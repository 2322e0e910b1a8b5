"""kubelet and kube-proxy, the node's own agents."""

from __future__ import annotations

import json
from typing import Any

from testbed.common.process import Daemons

from . import binaries
from .layout import CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, KUBELET_PORT, NODE_NAME, POD_RANGE, Layout, node_command


def kubelet_config(layout: Layout) -> dict[str, Any]:
    """kubelet's settings."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node_address,
        "port": KUBELET_PORT,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/kubelet-serving.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet-serving.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # No systemd in the node, so groups are made by hand below ours, under cgroup v1 and v2 alike.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": f"{layout.config}/resolv.conf",
        "maxPods": 200,
        # A development machine's disk may be nearly full, and our images come from no registry to fetch them again.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "registryPullQPS": 0,
        "syncFrequency": "10s",
        # Tests kill one container again and again; each time ten seconds and more of waiting would say nothing.
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }


def start_kubelet(layout: Layout, daemons: Daemons, holder: int) -> None:
    """Starts kubelet, which registers the node."""
    # For pods with dnsPolicy Default; nothing listens there, so they resolve nothing rather than ask the host.
    (layout.config / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    config = layout.config / "kubelet.json"
    config.write_text(json.dumps(kubelet_config(layout), indent=1))
    arguments = [
        f"--config={config}",
        f"--kubeconfig={layout.kubeconfig_of('kubelet')}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={layout.node_address}",
    ]
    daemons.start("kubelet", [binaries.path("kubelet"), *arguments], inside=node_command(holder), forks=True)


def start_proxy(layout: Layout, daemons: Daemons, holder: int) -> None:
    """Starts kube-proxy. Zeros keep it from writing conntrack settings, which belong to the whole machine."""
    config = layout.config / "kube-proxy.json"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig_of("proxy"))},
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": f"{layout.node_address}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "200ms", "syncPeriod": "30s"},
    }
    config.write_text(json.dumps(settings, indent=1))
    command = [binaries.path("kube-proxy"), f"--config={config}"]
    daemons.start("kube-proxy", command, inside=node_command(holder), forks=True)

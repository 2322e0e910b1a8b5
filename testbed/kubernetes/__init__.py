"""A real single-node Kubernetes without Docker.

- `cluster.py`        the command: up, down, load-image, restart-apiserver
- `kind.py`           the same on kind, where a Docker daemon answers (untried)
- `layout.py`         names, addresses and paths of one cluster
- `binaries.py`       where the programs are
- `certificates.py`   authorities, certificates, kubeconfigs
- `node.py`           the namespaces that hold the whole node, their mounts and network
- `control_plane.py`  etcd, API server, controller manager, scheduler
- `containers.py`     containerd, the bridge network of pods, images
- `agents.py`         kubelet and kube-proxy
- `dns.py`            CoreDNS
- `api.py`            a client of the API server that needs no package
- `smoke.py`          checks of a booted cluster
"""

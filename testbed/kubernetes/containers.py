"""containerd, the network of pods, and the images that every cluster has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Iterator

from testbed.common.process import Daemons
from testbed.common.shell import run, succeeds, wait_until
from testbed.images.mkimage import Entry, Image, build
from testbed.images.programs import programs

from . import binaries
from .layout import BUSYBOX_IMAGE, NODE_POD_RANGE, PAUSE_IMAGE, SHELL_IMAGE, Layout, node_command

# - The `opt` plugin would make /opt/containerd on the host; the snapshotters are not installed everywhere.
# - restrict_oom_score_adj: without CAP_SYS_RESOURCE a container cannot get a lower score than its parent has.
# - Image names carry a host of ours, or containerd would look them up in its default registry.
CONTAINERD_CONFIG = """\
version = 2
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


def start(layout: Layout, daemons: Daemons, holder: int) -> None:
    """Starts containerd in the node; its socket is reached from the host through the state directory."""
    networks = layout.config / "cni"
    _write_pod_network(networks)
    config = layout.config / "containerd.toml"
    config.write_text(
        CONTAINERD_CONFIG.format(pause=PAUSE_IMAGE, plugins=binaries.CNI_PLUGINS, networks=networks)
    )
    command = ["containerd", "--config", str(config)]
    daemons.start("containerd", command, inside=node_command(holder), forks=True)


def _write_pod_network(networks: Path) -> None:
    """One bridge for all pods, addresses from the node's range."""
    networks.mkdir()
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": NODE_POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    pods = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
    (networks / "10-pods.conflist").write_text(json.dumps(pods))


def ctr_command(layout: Layout) -> list[str]:
    """Prefix of `ctr` in the namespace that kubelet uses; works from the host."""
    return ["ctr", "--address", str(layout.containerd_socket), "--namespace", "k8s.io"]


def wait_ready(layout: Layout, daemons: Daemons) -> None:
    """Waits until containerd answers."""
    wait_until(
        "containerd answers",
        lambda: layout.containerd_socket.exists() and succeeds(*ctr_command(layout), "version"),
        seconds=30,
        meanwhile=lambda: daemons.expect("containerd"),
    )


def load_image(layout: Layout, archive: Path) -> str:
    """Imports an image archive; returns what containerd says it imported."""
    return run(*ctr_command(layout), "images", "import", str(archive), timeout=300).strip()


def make_images(layout: Layout) -> list[Path]:
    """Builds the images that every cluster has: pause, a busybox with a shell, tar, wget and httpd, and one that has
    a shell and no tar."""
    pause, busybox, shell = (layout.images / f"{name}.tar" for name in ("pause", "busybox", "shell"))
    program = binaries.pause(layout.dir).read_bytes()
    build(
        Image(PAUSE_IMAGE, entrypoint=["/pause"], user="65535:65535"),
        [Entry(b"pause", content=program, mode=0o755)],
        pause,
    )
    build(Image(BUSYBOX_IMAGE, command=["/bin/sh"]), _busybox_entries(), busybox)
    build(Image(SHELL_IMAGE, command=["sleep", "86400"]), programs("sh", "sleep"), shell)
    return [pause, busybox, shell]


def busybox() -> Path:
    """The machine's static busybox."""
    return next(Path(place, "busybox") for place in binaries.INSTALLED_PATH if Path(place, "busybox").exists())


def _busybox_entries() -> Iterator[Entry]:
    program = busybox()
    applets = subprocess.run([str(program), "--list"], capture_output=True, check=True).stdout.split()
    for name, mode in ((b"bin", 0o755), (b"data", 0o777), (b"etc", 0o755), (b"root", 0o700), (b"tmp", 0o1777)):
        yield Entry(name, "directory", mode=mode)
    yield Entry(b"bin/busybox", content=program.read_bytes(), mode=0o755)
    for applet in sorted(applets):
        if applet != b"busybox":
            yield Entry(b"bin/" + applet, "symlink", target=b"busybox", mode=0o777)
    passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    yield Entry(b"etc/passwd", content=passwd)
    yield Entry(b"etc/group", content=b"root:x:0:\nnogroup:x:65534:\n")

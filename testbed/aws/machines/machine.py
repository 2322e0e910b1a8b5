"""One instance as a machine: a network namespace with its interfaces, and a tree of processes under its own init."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

from testbed.common.made import Made
from testbed.common.process import Identity, children, identify
from testbed.common.shell import succeeds

from ..certificates import AUTHORITY
from ..layout import GUEST_AUTHORITY, S3_URL, Names
from ..namespaces import ip_batch
from . import limits, metadata, sending
from .fabric import Fabric

GUEST = Path(__file__).resolve().parent / "guest"
DISK_SIZE = "512m"
BOOT_SECONDS = 20
REBOOT = 43  # exit code of a guest's init; any other is a power-off

Json = dict[str, Any]


def _export(seed: Path, variables: str) -> None:
    """Gives everything in the guest these variables."""
    init = seed / "usr/sbin/guest-init"
    first, _, rest = init.read_text().partition("\n")
    init.write_text(f"{first}\nexport {variables}\n{rest}")


class Machine:
    """Made for one instance and never used again after `end`."""

    def __init__(
        self,
        instance: Json,
        directory: Path,
        names: Names,
        fabric: Fabric,
        made: Made,
        credentials: Callable[[Json], str],
    ) -> None:
        self.instance = instance
        self.id: str = instance["id"]
        self.ready = False
        self.namespace = names.machine(self.id)
        self._directory = directory / self.id
        self._names, self._fabric, self._made = names, fabric, made
        self._credentials = credentials
        # Interface to the fabric's end of its link.
        self._plugged: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._metadata = metadata.MetadataService(lambda: self.instance, lambda: self._credentials(self.instance))
        self._first = True
        self._lock = threading.Lock()

    def boot(self, snapshot: Json) -> None:
        """Network first, then rules, then the guest: nothing runs before the rules hold."""
        self._prepare()
        self._made.note("netns", self.namespace)
        ip_batch(None, [f"netns add {self.namespace}"])
        ip_batch(self.namespace, ["link set lo up"])
        for interface in self.instance["nics"]:
            self._plug(interface)
        self._fabric.apply(snapshot)
        self.start()

    def _prepare(self) -> None:
        for name in ("disk", "root", "seed/usr/sbin", "seed/usr/bin", "seed/etc"):
            (self._directory / name).mkdir(parents=True)
        seed = self._directory / "seed"
        for source, *targets in (
            ("init.sh", "usr/sbin/guest-init"),
            ("shutdown.sh", *[f"usr/sbin/{name}" for name in ("shutdown", "poweroff", "halt", "reboot")]),
            ("systemctl.sh", "usr/bin/systemctl"),
            ("sshd.py", "usr/sbin/guest-sshd"),
        ):
            for target in targets:
                shutil.copy(GUEST / source, seed / target)
                (seed / target).chmod(0o755)
        self._seed_shim(seed)
        self._seed_trust(seed)
        name = metadata.host_name(self.instance)
        (seed / "etc/hostname").write_text(f"{name}\n")
        (seed / "etc/hosts").write_text(f"127.0.0.1 localhost\n{self.instance['nics'][0]['ip']} {name}\n")
        resolver = sending.resolver_of(self.instance["nics"][0])  # as DHCP tells it
        (seed / "etc/resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:1 attempts:1\n")
        authority = seed / GUEST_AUTHORITY[1:]
        authority.parent.mkdir(parents=True)
        shutil.copy(self._directory.parent.parent / AUTHORITY, authority)
        user_data = self.instance["user_data"]
        (self._directory / "user-data").write_bytes(base64.b64decode(user_data) if user_data else b"")

    def _seed_shim(self, seed: Path) -> None:
        """A test may give machines that boot from now on a clock of their own (testbed/shim.c)."""
        place = self._directory.parent.parent
        if not (place / "guest-shim-on").exists():
            return
        shutil.copytree(place / "guest-shim", seed / "usr/lib/shim")
        _export(seed, "DRAWBRIDGE_SHIM=/usr/lib/shim LD_PRELOAD=/usr/lib/shim/shim.so")

    def _seed_trust(self, seed: Path) -> None:
        """A test may give machines an image whose system trusts the run's CA: boxes of releases that know no other way."""
        if (self._directory.parent.parent / "guest-trust-on").exists():
            _export(seed, f"CURL_CA_BUNDLE={GUEST_AUTHORITY} SSL_CERT_FILE={GUEST_AUTHORITY}")

    def start(self) -> None:
        """Starts the guest, for the first time or after a reboot."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL_S3": S3_URL,
            "AWS_REGION": self.instance["region"],
            "DRAWBRIDGE_TESTBED": os.environ["DRAWBRIDGE_TESTBED"],
        }
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}"]
        apart = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL"]
        boot = ["bash", str(GUEST / "boot.sh"), str(self._directory), DISK_SIZE, metadata.host_name(self.instance)]
        group = limits.make(self._names, self.id)
        with open(self._directory / "console.log", "ab") as console:
            self._process = subprocess.Popen(
                [*enter, *apart, *boot, "1" if self._first else "0"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: limits.join(group),
            )
        self._first = False
        (self._directory / "init.json").unlink(missing_ok=True)
        self._record(self._process)

    def _record(self, process: subprocess.Popen[bytes]) -> None:
        """Waits for the guest's init and notes it, by which a command is run inside.

        Never sooner: the process that becomes init begins with the host's root, and a command that entered it then,
        `poweroff` say, would be the host's.
        """
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            for pid in children(process.pid):
                found = identify(pid)
                if found is not None and Path(f"/proc/{pid}/root/run/guest-ready").exists():
                    (self._directory / "init.json").write_text(json.dumps(asdict(found)))
                    return
            time.sleep(0.005)
        if process.poll() is None:
            raise TimeoutError(f"{self.id}: its init is not up after {BOOT_SECONDS} s; see console.log")

    def ended(self) -> int | None:
        """The guest's exit code, once it has ended."""
        return self._process.poll() if self._process else None

    def update(self, instance: Json, snapshot: Json) -> None:
        """Follows what EC2 changed: interfaces attached and detached, groups, routes, tags."""
        self.instance = instance
        wanted = {interface["id"] for interface in instance["nics"]}
        for interface in instance["nics"]:
            if interface["id"] not in self._plugged:
                self._plug(interface)
        for gone in set(self._plugged) - wanted:
            self._unplug(gone)
        self._fabric.apply(snapshot)

    def _plug(self, interface: Json) -> None:
        device = self._fabric.plug(interface, self.namespace)
        self._plugged[interface["id"]] = device
        self._metadata.listen(self._names.fabric, device)

    def _unplug(self, interface_id: str) -> None:
        self._metadata.leave(self._plugged.pop(interface_id))
        self._fabric.unplug(interface_id)

    def end(self) -> None:
        """Removes the machine, whatever it is doing."""
        with self._lock:
            if self._process:
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                self._process.wait()
            for interface in list(self._plugged):
                self._unplug(interface)
            succeeds("ip", "netns", "del", self.namespace)
            limits.remove(self._names, self.id)


def init_of(directory: Path, instance_id: str) -> Identity:
    """The init of a running guest."""
    return Identity(**json.loads((directory / instance_id / "init.json").read_text()))

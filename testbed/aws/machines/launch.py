"""Starts the instance host: `python -m testbed.aws.machines.launch INDEX DIRECTORY`, inside the services' namespace.

It looks at the back end ten times a second and makes what is there into machines: pending ones are booted, those that
shut down are ended, ended ones are reported. A machine whose guest powered off becomes terminated or stopped, as the
instance's shutdown behaviour says. Every state is announced as an event.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from testbed.common.made import Made

from ..layout import Names
from . import limits, services
from .fabric import Fabric
from .machine import REBOOT, Machine

LOOK_SECONDS = 0.1
CREDENTIAL_SECONDS = 21600
APPLIED_RULES = "rules.nft"

Json = dict[str, Any]


class Host:
    """All machines of a run."""

    def __init__(self, names: Names, directory: Path, made: Made) -> None:
        self._names, self._made = names, made
        self._directory = directory / "machines"
        self._directory.mkdir(exist_ok=True)
        self._fabric = Fabric(names, self._directory / APPLIED_RULES)
        self._machines: dict[str, Machine] = {}
        self._ended: set[str] = set()
        self._announced: dict[str, str] = {}
        self._credentials: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """One round: compares what EC2 says with what runs."""
        snapshot = services.snapshot()
        self._fabric.apply(snapshot)
        for instance in snapshot["instances"]:
            self._announce(instance, instance["state"])
            self._follow(instance, snapshot)

    def _follow(self, instance: Json, snapshot: Json) -> None:
        machine, state = self._machines.get(instance["id"]), instance["state"]
        if machine is None:
            if state == "pending" and instance["id"] not in self._ended and instance["nics"]:
                self._boot(instance, snapshot)
            elif state in ("shutting-down", "stopping"):
                self._reach(instance, "terminated" if state == "shutting-down" else "stopped")
        elif not machine.ready:
            return
        elif state in ("shutting-down", "stopping"):
            when = time.strftime("%Y-%m-%d %H:%M:%S GMT", time.gmtime())
            reason, code = f"User initiated ({when})", "Client.UserInitiatedShutdown"
            self._end(machine, "terminated" if state == "shutting-down" else "stopped", reason, code)
        elif state == "running" and machine.ended() is None:
            machine.update(instance, snapshot)
        elif state == "running" and machine.ended() == REBOOT:
            machine.start()
        elif state == "running":
            then = "terminated" if instance["shutdown_behavior"] == "terminate" else "stopped"
            code = "Client.InstanceInitiatedShutdown"
            self._end(machine, then, f"{code}: Instance initiated shutdown", code)

    def _boot(self, instance: Json, snapshot: Json) -> None:
        machine = Machine(instance, self._directory, self._names, self._fabric, self._made, self._credentials_of)
        self._machines[instance["id"]] = machine
        threading.Thread(target=self._boot_in_background, args=(machine, snapshot), daemon=True).start()

    def _boot_in_background(self, machine: Machine, snapshot: Json) -> None:
        begun = time.monotonic()
        try:
            machine.boot(services.snapshot())
        except Exception:
            traceback.print_exc()
            self._end(machine, "terminated", "Server.InternalError: Internal error on launch", "Server.InternalError")
            return
        self._reach(machine.instance, "running")
        machine.ready = True
        print(f"{machine.id}: running after {time.monotonic() - begun:.2f} s", flush=True)

    def _end(self, machine: Machine, state: str, reason: str, code: str) -> None:
        machine.end()
        self._machines.pop(machine.id, None)
        if state == "terminated":
            self._ended.add(machine.id)
        self._reach(machine.instance, state, reason, code)
        print(f"{machine.id}: {state}, {reason}", flush=True)

    def _reach(self, instance: Json, state: str, reason: str | None = None, code: str | None = None) -> None:
        services.report(instance, state, reason, code)
        self._announce(instance, state)

    def _announce(self, instance: Json, state: str) -> None:
        with self._lock:
            if self._announced.get(instance["id"]) in (state, "terminated"):
                return
            self._announced[instance["id"]] = state
        services.announce(instance, state)

    def _credentials_of(self, instance: Json) -> str:
        """Renewed after half their life, as the real service does."""
        with self._lock:
            until, text = self._credentials.get(instance["id"], (0.0, ""))
            if time.time() > until:
                text = services.credentials(instance, CREDENTIAL_SECONDS)
                succeeded = '"Success"' in text
                self._credentials[instance["id"]] = (time.time() + CREDENTIAL_SECONDS / 2 if succeeded else 0.0, text)
            return text

    def end_all(self) -> None:
        for machine in list(self._machines.values()):
            machine.end()


def main() -> None:
    names, directory = Names(int(sys.argv[1])), Path(sys.argv[2])
    made = Made(directory)
    limits.prepare(names, made)
    host = Host(names, directory, made)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ready = False
    while not stop.is_set():
        try:
            host.look()
            if not ready:
                (directory / "host-ready").touch()
                ready = True
        except OSError as error:  # the other programs may still be starting
            if ready:
                print(f"looking: {error!r}", flush=True)
        except Exception:
            traceback.print_exc()
        stop.wait(LOOK_SECONDS if ready else 0.02)
    host.end_all()


if __name__ == "__main__":
    main()

"""Processes of a run: started in surroundings of their own, and ended only while they are still ours.

A process id alone proves nothing, since ids are used again. Two things identify a process of ours:
its start time, kept beside the id; and a mark in its environment, which names run and part and is there from
its first instruction, so that a boot killed between starting a daemon and noting its id leaves no orphan.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterable, Mapping, Sequence

from .errors import TestbedError

MARK = "DRAWBRIDGE_TESTBED"


@dataclass(frozen=True)
class Identity:
    """One process, for ever: its id, and its start in clock ticks after boot (field 22 of /proc/PID/stat)."""

    pid: int
    started: int


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State letter, parent and start time; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])


def identify(pid: int) -> Identity | None:
    """The process now living under this id. A zombie is none: some machines' init reaps late."""
    stat = _stat(pid)
    if stat is None or stat[0] in "ZX":
        return None
    return Identity(pid, stat[2])


def is_alive(process: Identity) -> bool:
    """Whether that very process still runs."""
    return identify(process.pid) == process


def every_process() -> list[int]:
    """All process ids of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for other in every_process():
        stat = _stat(other)
        if stat is not None and stat[1] == pid and stat[0] not in "ZX":
            found.append(other)
    return found


def ancestors() -> set[int]:
    """This process and those above it, which no teardown may end."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        stat = _stat(pid)
        pid = stat[1] if stat else 0
    return found


def marked(run_id: str, part: str | None = None) -> list[Identity]:
    """The processes that carry a run's mark (of one part, or of any), wherever their namespaces are."""
    wanted = f"{MARK}={run_id}/{part}".encode() if part else f"{MARK}={run_id}/".encode()
    found = []
    for pid in every_process():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(entry == wanted or (part is None and entry.startswith(wanted)) for entry in environment):
            process = identify(pid)
            if process is not None:
                found.append(process)
    return found


def mark_what_follows(run_id: str, part: str) -> None:
    """Gives the mark to every program that this one starts from now on. A boot needs it for the short-lived ones too:
    one that is left by a killed boot may wait for ever for a daemon that teardown has ended."""
    os.environ[MARK] = f"{run_id}/{part}"


def send(process: Identity, number: signal.Signals) -> None:
    """Signals that very process: the descriptor pins the id while its start time is compared."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(process):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def end(processes: Iterable[Identity], *, patience: float = 0.0) -> None:
    """Ends processes: SIGTERM and `patience` seconds first, if any, then SIGKILL, then waits until they are gone."""
    left = [process for process in processes if is_alive(process)]
    if patience > 0:
        for process in left:
            send(process, signal.SIGTERM)
        left = _wait_gone(left, patience)
    for process in left:
        send(process, signal.SIGKILL)
    left = _wait_gone(left, 10)
    if left:
        raise TestbedError(f"processes {[process.pid for process in left]} do not end, not even by SIGKILL")


def _wait_gone(processes: list[Identity], seconds: float) -> list[Identity]:
    deadline = time.monotonic() + seconds
    left = processes
    while left := [process for process in left if is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


class Daemons:
    """The long-running processes of one part of a run; each has a record and a log under the part's directory."""

    def __init__(self, run_id: str, part: str, directory: Path) -> None:
        self._mark = f"{run_id}/{part}"
        self._run_id = run_id
        self._part = part
        self._records = directory / "processes"
        self.logs = directory / "log"

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        inside: Sequence[str] = (),
        forks: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Starts a daemon and returns its id as the host sees it.

        `inside` is a command that enters namespaces and then runs what follows; `forks` says that it runs it as
        its child (`nsenter -p` and `unshare --fork` do), whose id is then the daemon's. The environment is built
        here, so that a daemon does not depend on who starts it (on a proxy setting, for one).
        """
        self._records.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        surroundings = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **(environment or {}),
            MARK: self._mark,
        }
        with open(self.logs / f"{name}.log", "ab") as log:
            started = subprocess.Popen(
                [*inside, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=surroundings,
                start_new_session=True,
            )
        pid = self._only_child(name, started) if forks else started.pid
        process = identify(pid)
        if process is None:
            raise TestbedError(f"{name} ended at once; {self.log_end(name)}")
        (self._records / f"{name}.json").write_text(json.dumps(asdict(process)))
        return pid

    def _only_child(self, name: str, parent: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and parent.poll() is None:
            if found := children(parent.pid):
                return found[0]
            time.sleep(0.005)
        raise TestbedError(f"{name} did not start; {self.log_end(name)}")

    def record(self, name: str) -> Identity | None:
        """The daemon as it was started, living or not."""
        try:
            return Identity(**json.loads((self._records / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def pid(self, name: str) -> int:
        """The id of a running daemon."""
        process = self.record(name)
        if process is None or not is_alive(process):
            raise TestbedError(f"{self._part} of run {self._run_id!r}: {name} is not running")
        return process.pid

    def names(self) -> list[str]:
        """Every daemon that was started and not forgotten."""
        return sorted(path.stem for path in self._records.glob("*.json"))

    def alive(self) -> list[str]:
        """The daemons that run now."""
        records = {name: self.record(name) for name in self.names()}
        return [name for name, process in records.items() if process is not None and is_alive(process)]

    def expect(self, *names: str) -> None:
        """Raises if one of these daemons has ended, with the end of its log."""
        for name in names:
            process = self.record(name)
            if process is None or not is_alive(process):
                raise TestbedError(f"{name} ended; {self.log_end(name)}")

    def log_end(self, name: str) -> str:
        """Where the log is and its last lines, for an error message."""
        path = self.logs / f"{name}.log"
        try:
            lines = path.read_text(errors="replace").splitlines()[-5:]
        except OSError:
            lines = []
        return f"{path} ends with: " + (" | ".join(lines) or "(nothing)")

    def stop(self, name: str, *, patience: float = 5.0) -> None:
        """Ends one daemon and waits until it is gone; nothing to do when it is not running."""
        process = self.record(name)
        if process is not None:
            end([process], patience=patience)
            (self._records / f"{name}.json").unlink(missing_ok=True)

    def stop_all(self, *, first: Sequence[str] = (), patience: float = 0.0) -> None:
        """Ends every process of this part: `first` by name, the other records, then whatever carries the mark."""
        for name in [*first, *[name for name in self.names() if name not in first]]:
            self.stop(name, patience=patience)
        quiet = 0
        while quiet < 2:  # a child of a boot just killed may have been between fork and exec at the first look
            left = [process for process in marked(self._run_id, self._part) if process.pid not in ancestors()]
            end(left, patience=patience)
            quiet = 0 if left else quiet + 1
            time.sleep(0.02)

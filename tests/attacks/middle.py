"""Somebody between a box and S3: what the box sends to S3 comes to him, and he answers under a certificate of his own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.aws import certificates
from testbed.aws.layout import S3_ADDRESS, Names
from testbed.common import run as runs
from testbed.common.shell import run as shell, wait_until
from tests.attacks.sessions import Sessions
from tests.policy.probe import Outcome
from tests.sessions.account import until

LISTENER = Path(__file__).resolve().parent / "inside" / "listener.py"
PORT = 8443
TABLE = "drawbridge_attack"
EXTRA_CA = "DRAWBRIDGE_EXTRA_CA"


class Middle(Sessions):
    """`authority` is the thief's CA; it speaks for the addresses of AWS, and nobody trusts it."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        super().__init__(run_id, stack_file)
        self._names = Names(runs.load(run_id).index)
        subnets = self.account.ec2.describe_subnets(SubnetIds=[self.account.outputs["PrivateSubnetId"]])["Subnets"]
        self._boxes = subnets[0]["CidrBlock"]

    @contextlib.contextmanager
    def between(self) -> Iterator[Middle]:
        """He listens; nothing comes to him yet."""
        with tempfile.TemporaryDirectory(prefix="drawbridge-middle-") as directory:
            place = Path(directory)
            certificates.make(place, self._names)
            self.authority = (place / certificates.AUTHORITY).read_text()
            self._heard = place / "heard"
            self._heard.touch()
            inside = ["ip", "netns", "exec", self._names.services]
            files = [*certificates.server(place), str(self._heard)]
            listener = subprocess.Popen([*inside, sys.executable, str(LISTENER), S3_ADDRESS, str(PORT), *files])
            try:
                wait_until("the thief listens", lambda: bool(self._heard.read_text()), seconds=10)
                yield self
            finally:
                listener.kill()
                listener.wait()
                for session in self._made:
                    self.account.close(session)

    @contextlib.contextmanager
    def diverted(self) -> Iterator[None]:
        """What boxes send to S3 comes to him. Connections that stand stay where they are."""
        rule = f"ip saddr {self._boxes} ip daddr {S3_ADDRESS} tcp dport 443 dnat to {S3_ADDRESS}:{PORT}"
        rules = f"table ip {TABLE} {{\n chain before {{\n type nat hook prerouting priority dstnat;\n {rule}\n }}\n}}\n"
        inside = ("ip", "netns", "exec", self._names.services, "nft")
        shell(*inside, "-f", "-", stdin=rules.encode())
        try:
            yield
        finally:
            shell(*inside, "delete", "table", "ip", TABLE)

    def heard(self, after: int) -> list[dict[str, Any]]:
        """What came to him, past the first so many."""
        return [json.loads(line) for line in self._heard.read_text().splitlines()[after:]]


@dataclass(frozen=True)
class Booting:
    """A box boots, and fetches its program from S3."""

    what: str
    between: bool

    def run(self, ground: Middle) -> Outcome:
        session, before = ground.new(), len(ground.heard(0))
        try:
            if not self.between:
                ground.account.ready(session)
                return Outcome(None)
            with ground.diverted():
                ground.account.create(session)
                (first, *_) = until("the box asks for its program", lambda: self._asked(ground, session, before))
            return Outcome(first.get("refused"), str(first))
        finally:
            ground.account.close(session)

    def _asked(self, ground: Middle, session: str, before: int) -> list[dict[str, Any]]:
        """The private interface is attached by a later call of create."""
        ground.account.create(session)
        return ground.heard(before)


@dataclass(frozen=True)
class Trusted:
    """Whom boxes trust to vouch for S3; taken away, the thief's CA is one of them."""

    name: str = f"{EXTRA_CA} and the system's CAs: whom a box trusts"

    @contextlib.contextmanager
    def removed(self, ground: Middle) -> Iterator[None]:
        stood = self.state(ground)[EXTRA_CA]
        with ground.variable("CreateFunctionArn", EXTRA_CA, f"{stood.rstrip()}\n{ground.authority}"):
            yield

    def state(self, ground: Middle) -> dict[str, str]:
        return ground.variables("CreateFunctionArn")

"""A probe: one request, made by somebody from somewhere, and what must become of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError, HTTPClientError

# How the services say that a policy did not let the request through.
DENIALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
# EC2 says so after it has asked the policies, and does nothing.
DRY_RUN = "DryRunOperation"


class Place(enum.Enum):
    """From where a request is made."""

    INTERNET = "internet"
    ENDPOINT = "endpoint"  # from a box's private subnet, so through the S3 gateway endpoint
    SIDE = "side"  # through the same endpoint, from a subnet of the probes' own that lets plain HTTP out, too


class World(Protocol):
    """What a probe may use; `world.py` has the real one."""

    def client(self, service: str, who: str, where: Place = Place.INTERNET, plain: bool = False) -> Any: ...
    def within(self, where: Place, request: Callable[[], Any]) -> Any: ...


@dataclass(frozen=True)
class Outcome:
    """What became of a request: None when the door was open, the error's code otherwise."""

    code: str | None
    message: str = ""

    @property
    def allowed(self) -> bool:
        return self.code is None

    @property
    def denied(self) -> bool:
        return self.code in DENIALS

    def __str__(self) -> str:
        return "allowed" if self.allowed else "denied" if self.denied else f"{self.code}: {self.message}"


@dataclass(frozen=True)
class Probe:
    """`request` gets the world. `expected` is "allowed", "denied", or the code of another refusal."""

    family: str
    who: str
    where: Place
    what: str
    expected: str
    request: Callable[[Any], Any]
    # Errors that come after the policies: the door was open.
    past_the_door: frozenset[str] = frozenset()

    def run(self, world: Any) -> Outcome:
        try:
            world.within(self.where, lambda: self.request(world))
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            return Outcome(None if code == DRY_RUN or code in self.past_the_door else code, message)
        except (HTTPClientError, OSError) as error:  # no way there is no policy's doing
            return Outcome(type(error).__name__, str(error))
        return Outcome(None)

    def holds(self, outcome: Outcome) -> bool:
        match self.expected:
            case "allowed":
                return outcome.allowed
            case "denied":
                return outcome.denied
            case code:
                return outcome.code == code

    def __str__(self) -> str:
        return f"{self.family}: {self.who} from {self.where.value}, {self.what}"


class Family:
    """Probes of one thing. A denial stands beside a request that differs little and is allowed, so that a request
    which could never have worked does not pass for security."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.probes: list[Probe] = []

    def allowed(self, who: str, what: str, request: Callable[[Any], Any], **options: Any) -> Family:
        return self._add(who, what, "allowed", request, **options)

    def denied(self, who: str, what: str, request: Callable[[Any], Any], **options: Any) -> Family:
        return self._add(who, what, "denied", request, **options)

    def refused(self, who: str, what: str, code: str, request: Callable[[Any], Any], **options: Any) -> Family:
        """Refused by the service itself, with this code."""
        return self._add(who, what, code, request, **options)

    def _add(
        self,
        who: str,
        what: str,
        expected: str,
        request: Callable[[Any], Any],
        where: Place = Place.INTERNET,
        past_the_door: tuple[str, ...] = (),
    ) -> Family:
        self.probes.append(Probe(self.name, who, where, what, expected, request, frozenset(past_the_door)))
        return self

    def checked(self) -> list[Probe]:
        """The probes, if the family has both sides."""
        expectations = {probe.expected for probe in self.probes}
        if "allowed" not in expectations:
            raise ValueError(f"family '{self.name}' has no allowed twin")
        return self.probes

"""What is known of the request being answered, beside what ministack keeps: where it came from and what it carries."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request. `origin` is what the control API says of a private source address (VPC, endpoint, its policy)."""

    source: str = ""
    local: str = ""
    method: str = ""
    # Whether the connection that it came over is TLS: nothing that a client may say counts.
    secure: bool = False
    origin: dict[str, Any] = field(default_factory=dict)
    # The service that makes this request in its caller's name: CloudFormation's, when the interpreter says so.
    called_via: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""

    @property
    def endpoint(self) -> str | None:
        """The gateway endpoint that the request came through, if it did."""
        return self.origin.get("endpoint")

    def parameter(self, name: str) -> str | None:
        """A query or form parameter; the first of a repeated one."""
        value = self.parameters.get(name)
        return value[0] if isinstance(value, list) else value

    def listed(self, prefix: str) -> list[str]:
        """The values of `prefix.1`, `prefix.2`, ..."""
        names = [n for n in self.parameters if n.startswith(f"{prefix}.") and n[len(prefix) + 1 :].isdigit()]
        values = [self.parameter(n) for n in sorted(names, key=lambda n: int(n.rpartition(".")[2]))]
        return [value for value in values if value]


_current: contextvars.ContextVar[Request | None] = contextvars.ContextVar("drawbridge_request", default=None)


def current() -> Request:
    """The request of this task; an empty one in background work, which comes from nowhere."""
    request = _current.get()
    return request if request is not None else Request()


def begin(request: Request) -> None:
    _current.set(request)

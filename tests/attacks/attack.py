"""One attempt of a thief: what he holds, what he asks for, how he is refused, and what stops him."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.policy.probe import Outcome, Place, Probe


class Thief(enum.Enum):
    """What was stolen, or who turned."""

    TOKEN = "operator's token"
    MEMORY = "controller's memory"
    NAMESPACE_ADMIN = "a namespace's admin"
    GATHERER = "gatherer's token"
    BOX_ROLE = "box role"
    BOX_ROOT = "box's root shell"
    OTHER_CLUSTER = "another cluster's operator"
    MIDDLE = "man in the middle"
    USER_DATA = "a box's user data"


class Try(Protocol):
    """A request that a ground carries out. `what` names it in the table."""

    @property
    def what(self) -> str: ...
    def run(self, ground: Any) -> Outcome: ...


class Control(Protocol):
    """Something on the live bed that stops an attempt."""

    @property
    def name(self) -> str: ...

    def removed(self, ground: Any) -> AbstractContextManager[None]:
        """Takes it away, or what it compares with, and puts it back at the end."""
        ...

    def state(self, ground: Any) -> Any:
        """How it stands now; compared before and after."""
        ...


@dataclass(frozen=True)
class Attack:
    """A row. The attempt ends with `error`, exactly; the twin differs little and is allowed. With all controls taken away
    the attempt gets through; with all but one it does not."""

    id: str
    thief: Thief
    attempt: Try
    error: str
    twin: Try
    controls: tuple[Control, ...]
    # By a control's name, where that one alone ends the attempt with another error.
    alone: Mapping[str, str] = field(default_factory=dict)

    def error_by(self, control: Control) -> str:
        """How the attempt ends if nothing but this control is left."""
        return self.alone.get(control.name, self.error)


def asks(
    who: str,
    what: str,
    request: Callable[[Any], Any],
    where: Place = Place.INTERNET,
    past_the_door: tuple[str, ...] = (),
) -> Probe:
    """A request by somebody. What must become of it, the row says."""
    return Probe("attack", who, where, what, "", request, frozenset(past_the_door))


@dataclass
class Verdict:
    """What became of a row. None where nobody asked."""

    id: str
    thief: Thief
    attempt: str
    error: str
    twin: str
    controls: tuple[str, ...]
    # What was said to the attempt and to its twin.
    said: str = ""
    denied: bool = False
    twin_said: str = ""
    twin_allowed: bool = False
    # With all controls taken away; with all but the one that is named.
    through: bool | None = None
    through_said: str = ""
    alone: dict[str, bool] = field(default_factory=dict)
    alone_said: dict[str, str] = field(default_factory=dict)
    # Everything stands as before, and the attempt and its twin end as before.
    back: bool | None = None
    back_said: str = ""
    # Why its controls could not be taken away, if they could not.
    broken: str = ""

    def faults(self) -> list[str]:
        """What is wrong, as sentences; none: the row holds."""
        wrong = []
        if not self.denied:
            wrong.append(f"the attempt must end with {self.error}, and ended with {self.said}")
        if not self.twin_allowed:
            wrong.append(f"its twin must be allowed, and ended with {self.twin_said}")
        if self.through is False:
            gone = " and ".join(self.controls)
            wrong.append(f"without {gone} it must get through, and ended with {self.through_said}")
        weak = [control for control, stops in self.alone.items() if not stops]
        wrong += [f"'{control}' alone must stop it, and {self.alone_said.get(control, 'does not')}" for control in weak]
        if self.back is False:
            wrong.append(f"what was taken away is not back: {self.back_said}")
        if self.broken:
            wrong.append(f"its controls could not be taken away: {self.broken}")
        return wrong

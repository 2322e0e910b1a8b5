"""The endings of a box, each with all the others taken away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.endings.switches import Switch, take_away
from tests.sessions.account import Account, Failed, expect, new_session, until

SESSION_SECONDS = 120
# How long past its deadline a box must live to show that nothing ends it.
OUTLIVES = 90
# What the longest of the endings may take: a schedule of a minute, the start of a function, EC2.
LONGEST = 90
Asking = Callable[[Account, str], None]


@dataclass(frozen=True)
class Ending:
    """One way in which a box ends."""

    name: str
    # Names the cluster of its stack.
    cluster: str
    # What is left to it; everything else is taken away.
    keeps: frozenset[Switch]
    # The most that may pass from the deadline to no instance.
    limit: float
    # What the cluster does from the deadline on, again and again.
    asks: Asking | None = None
    # What it does when all is over.
    tidies: Asking | None = None
    max_boxes: int = 4
    # The alarm that it raises, after the cluster's name.
    alarm: str = ""


@dataclass(frozen=True)
class Ended:
    """How it went, in seconds from the deadline."""

    ending: Ending
    instance_gone: float
    nothing_left: float


def _cleanup(account: Account, session: str) -> None:
    account.cleanup(session)


def _another(session: str) -> str:
    """The id of another session, the same each time."""
    return session[::-1]


def _create_another(account: Account, session: str) -> None:
    """Another session waits for the only slot, until it has it."""
    account.create(_another(session))


def _close_another(account: Account, session: str) -> None:
    account.close(_another(session))


ENDINGS = [
    Ending("the cluster asks `cleanup`", "end-cleanup", frozenset(), 30, _cleanup),
    Ending(
        "the box's own timer: the `ended` marker and its S3 event",
        "end-marker",
        frozenset({Switch.PROGRAM, Switch.MARKER_EVENT}),
        30,
    ),
    Ending(
        "`shutdown` armed in user data; EC2's event for what is left",
        "end-shutdown",
        frozenset({Switch.SHUTDOWN, Switch.EC2_EVENT}),
        60,
    ),
    Ending("the sweeper, every minute", "end-sweeper", frozenset({Switch.SCHEDULE}), 90, alarm="repairs"),
    Ending(
        "`create` sweeps before it claims, asked for another box while there is one slot",
        "end-create",
        frozenset(),
        30,
        _create_another,
        _close_another,
        max_boxes=1,
    ),
]
NONE = Ending("none: all of the above taken away", "end-none", frozenset(), OUTLIVES, alarm="sweeper-absent")


def deadline_of(box: dict[str, str]) -> float:
    return datetime.fromisoformat(box["deadline"]).timestamp()


def is_raised(account: Account, ending: Ending) -> None:
    """The ending's own alarm is raised, and none of the sweeper's others."""

    def raised() -> set[str]:
        prefix = f"drawbridge-{account.cluster}-"
        alarms = account.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        found = {alarm["AlarmName"].removeprefix(prefix) for alarm in alarms if alarm["StateValue"] == "ALARM"}
        return found & {"repairs", "sweeper-absent"}

    if ending.alarm:
        until(f"the alarm {ending.alarm} is raised", lambda: raised() == {ending.alarm} or None, LONGEST)


def prepare(account: Account, ending: Ending) -> tuple[str, str, float]:
    """A box that only this ending is left to; its session, its instance and its deadline."""
    session = new_session()
    box = account.ready(session)
    take_away(account, box["instance"], set(Switch) - ending.keeps)
    return session, box["instance"], deadline_of(box)


def run(account: Account, ending: Ending) -> Ended:
    """Waits for the deadline, and measures how long the box outlives it."""
    session, instance, deadline = prepare(account, ending)
    until("the deadline comes", lambda: time.time() >= deadline or None, SESSION_SECONDS + 60)
    expect(account.instances(session) != [], f"{instance} must live until its deadline", account.left(session))

    def gone() -> float | None:
        if ending.asks:
            ending.asks(account, session)
        return time.time() - deadline if not account.instances(session) else None

    instance_gone = until(f"{instance} is gone", gone, LONGEST)

    def clean() -> float | None:
        if ending.asks:
            ending.asks(account, session)
        return time.time() - deadline if not account.left(session) else None

    nothing_left = until("nothing of the session is left", clean, LONGEST)
    if ending.tidies:
        ending.tidies(account, session)
    is_raised(account, ending)
    expect(instance_gone <= ending.limit, f"{instance} must be gone {ending.limit} s after its deadline", instance_gone)
    return Ended(ending, instance_gone, nothing_left)


def outlives(account: Account) -> float:
    """With all endings taken away a box outlives its deadline: what took them away works. Then it is swept by hand."""
    session, instance, deadline = prepare(account, NONE)
    until("the box has outlived its deadline", lambda: time.time() >= deadline + OUTLIVES or None, SESSION_SECONDS + 180)
    found = account.instances(session)
    if [one["State"]["Name"] for one in found] != ["running"]:
        raise Failed(f"{instance} must outlive its deadline when nothing ends it; found {found}")
    is_raised(account, NONE)
    until("the sweep ends it", lambda: account.sweep() and not account.left(session) or None)
    return OUTLIVES

"""The controller's memory: ids and keys of its sessions, and its right to ask."""

from __future__ import annotations

from typing import Any

from tests.attacks.attack import Attack, Control, Thief, Try
from tests.attacks.sessions import (
    PER_DAY,
    SERVES,
    SLOTS,
    WAITS,
    Asking,
    Comparison,
    Sessions,
    Stop,
    TakingOver,
    Tombstone,
    Variable,
)
from tests.sessions.account import JOB, KEY, OTHER_KEY

OTHER_JOB = {**JOB, "namespace": "kube-system", "name": "somebody-s", "uid": "0b"}
GONE = {
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "detail": {"instance-id": "i-0123456789abcdef0", "state": "terminated"},
}
MISDIRECTED = "this function serves only requests of the cluster"
AGAIN = Asking("create, asked again for the open session", lambda ground: ground.account.create(ground.open))
CREATE = "CreateFunctionArn"
BOUND = Comparison("create compares with the saved key and job (crates/lambdas/src/create.rs)")


def _row(name: str, attempt: Try, error: str, twin: Asking, control: Control) -> Attack:
    return Attack(f"memory-{name}", Thief.MEMORY, attempt, error, twin, (control,))


def _another(when: str) -> Asking:
    return Asking(f"create of one session more, {when}", lambda ground: ground.account.create(ground.new()))


def with_an_open_session() -> list[Attack]:
    cleanup = Asking("cleanup of a session that never was", lambda ground: ground.account.cleanup(ground.new()))
    served = Variable("CleanupFunctionArn", SERVES, "events")
    return [
        _row(
            "takes-over-a-session",
            TakingOver("create of a session that has no box yet, with his own key", OTHER_KEY, JOB),
            "session_reused",
            AGAIN,
            BOUND,
        ),
        _row(
            "uses-a-session-for-another-job",
            TakingOver("create of a session that has no box yet, for another job", KEY, OTHER_JOB),
            "session_reused",
            AGAIN,
            BOUND,
        ),
        _row(
            "opens-a-closed-session",
            Asking("create of a session that was closed before it had a box", lambda g: g.account.create(g.closed)),
            "session_ended",
            AGAIN,
            Tombstone(),
        ),
        _row("starts-a-sweep", _event("a sweep", {"sweep": True}), MISDIRECTED, cleanup, served),
        _row("says-that-a-box-is-gone", _event("EC2's word that a box ended", GONE), MISDIRECTED, cleanup, served),
    ]


def with_full_slots() -> list[Attack]:
    more = _another("every slot taken")
    return [_row("opens-more-boxes-than-there-are-slots", more, WAITS, AGAIN, Variable(CREATE, SLOTS, "100"))]


def with_a_spent_day() -> list[Attack]:
    more = _another("the day's sessions used up")
    return [_row("opens-more-sessions-than-a-day-has", more, "quota", AGAIN, Variable(CREATE, PER_DAY, "100000"))]


def with_a_stop() -> list[Attack]:
    return [_row("opens-a-session-of-a-stopped-stack", _another("the stack stopped"), "stopped", AGAIN, Stop())]


def _event(what: str, event: dict[str, Any]) -> Asking:
    """Sent to cleanup, whose other copy takes such from AWS."""

    def ask(ground: Sessions) -> dict[str, Any]:
        return {"outcome": ground.account.ask_cleanup(event)}

    return Asking(f"cleanup, told {what}", ask)

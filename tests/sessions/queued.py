"""Calls that Lambda keeps: whoever had the operator's key may have left some when he was locked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.sessions.account import Account, expect, new_session, until

MINUTE = 60


def a_call_that_was_queued_for_more_than_a_minute_makes_no_box(account: Account) -> None:
    sessions = [new_session() for _ in range(3)]
    with _queued(account, sessions):
        account.private("queue", {"age": MINUTE + 1})
    _queue_ends(account)
    left = [entry for session in sessions for entry in account.left(session)]
    expect(left == [], "nothing may have been made", left)


def a_call_that_was_queued_for_less_is_served(account: Account) -> None:
    """The twin: the call itself is good."""
    session = new_session()
    with _queued(account, [session]):
        account.private("queue", {"age": MINUTE // 2})
    _queue_ends(account)
    expect(account.left(session) != [], "the session must have been opened", account.left(session))
    account.ready(session)
    account.close(session)


@contextmanager
def _queued(account: Account, sessions: list[str]) -> Iterator[None]:
    """A call that S3 does not answer takes all of `create`'s concurrency, and the operator's further calls wait."""
    lambda_, function, hung = account.client("lambda"), account.outputs["CreateFunctionArn"], new_session()
    reserved = lambda_.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"]
    lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    held = {"service": "s3", "operation": "GetObject", "match": f"sessions/{hung}*", "answer": "hold"}
    rule = account.private("faults", {"add": held})
    with ThreadPoolExecutor(1) as caller:
        try:
            first = caller.submit(account.create, hung)
            until("create has no room", lambda: _of_create(account, "running", "concurrency") == 1 or None)
            for session in sessions:
                account.create_later(session)
            until("all calls wait", lambda: _of_create(account, "waiting") == len(sessions) or None)
            yield
        finally:
            account.private("faults", {"remove": rule["id"]})
            lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=reserved)
    first.result()
    account.close(hung)


def _queue_ends(account: Account) -> None:
    """What Lambda has kept is served or dropped: its pauses are skipped."""
    until("nothing is kept", lambda: _of_create(account, "kept", age=5) == 0 or None)


def _of_create(account: Account, which: str, of: str = "queue", **asked: int) -> int:
    """How many calls of `create` run, wait, or are kept."""
    function = account.outputs["CreateFunctionArn"].rpartition(":")[2]
    return int(account.private(of, dict(asked))[which].get(function, 0))


CHECKS: list[Callable[[Account], None]] = [
    a_call_that_was_queued_for_more_than_a_minute_makes_no_box,
    a_call_that_was_queued_for_less_is_served,
]

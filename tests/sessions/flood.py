"""A flood of Invokes, and the administrator's stop.

The flood's calls hang in S3 for as long as the test wants, so that each holds its unit of concurrency: how many run is
exact, and does not depend on how fast the machine is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from tests.sessions.account import Account, Failed, expect, new_session, until

# Sessions of the flood begin so; S3 answers nothing about them.
MARK = "f100d"
# More than any function may run at once.
MORE = 12
THROTTLED = "TooManyRequestsException"
FUNCTIONS = ("CreateFunctionArn", "CleanupFunctionArn", "MarkerFunctionArn", "SweepFunctionArn", "PostureFunctionArn")
# What new accounts may run at once.
SMALL = 10
Call = Callable[[str], Any]
# S3's operations, each with what it is about.
Held = list[tuple[str, str]]
# `create` and `cleanup` ask for the tombstone first or soon, the marker function for the state.
OF_SESSIONS: Held = [("GetObject", f"sessions/{MARK}*"), ("PutObject", f"closed/{MARK}*")]


def _flooding_session() -> str:
    return MARK + new_session()[len(MARK) :]


def _of_posture(account: Account) -> Held:
    """What the backup bucket is like, for which nobody else asks; the test bed takes each such request for a list."""
    return [("ListObjectsV2", account.outputs["BackupBucket"])]


@contextmanager
def _hanging(account: Account, held: Held) -> Iterator[None]:
    """S3 answers nobody who asks for it."""
    rules = [
        account.private("faults", {"add": {"service": "s3", "operation": operation, "match": match, "answer": "hold"}})
        for operation, match in held
    ]
    try:
        yield
    finally:
        for rule in rules:
            account.private("faults", {"remove": rule["id"]})


@contextmanager
def _flood(account: Account, call: Call, function: str, holds: int, held: Held = OF_SESSIONS) -> Iterator[None]:
    """Calls at once until `holds` of them run and every other was turned away; they end with the block. The controller
    may be among those who ask for posture: then one more of ours is turned away."""
    said: Counter[str] = Counter()
    sessions = [_flooding_session() for _ in range(holds + MORE)]

    def one(session: str) -> None:
        try:
            call(session)
        except ClientError as error:
            said[error.response["Error"]["Code"]] += 1
        except Failed:
            said["failed"] += 1

    with ThreadPoolExecutor(holds + MORE) as callers:
        with _hanging(account, held):
            calls: list[Future[None]] = [callers.submit(one, session) for session in sessions]
            until(
                f"{holds} calls of {function} run and {MORE} are turned away",
                lambda: _running(account, function) == holds and said[THROTTLED] >= MORE or None,
            )
            yield
            expect(_running(account, function) == holds, "the flood must have lasted until here", dict(said))
        for finished in calls:
            finished.result()
    # Let go, some of the flood's sessions got a box.
    for session in sessions:
        account.close(session)


def _running(account: Account, function: str) -> int:
    name = account.outputs[function].rpartition(":")[2]
    return int(account.private("concurrency", {})["running"].get(name, 0))


def _reserved(account: Account, function: str) -> int:
    name = account.outputs[function].rpartition(":")[2]
    return int(account.private("concurrency", {})["reserved"][name])


def a_flood_of_create_holds_up_neither_cleanup_nor_the_sweeper(account: Account) -> None:
    session = new_session()
    account.ready(session)
    with _flood(account, account.create, "CreateFunctionArn", _reserved(account, "CreateFunctionArn")):
        _is_turned_away("create", lambda: account.create(new_session()))
        _cleanup_and_the_sweeper_go_on(account, session)


def a_flood_of_cleanup_does_not_hold_up_the_sweeper(account: Account) -> None:
    session = new_session()
    account.ready(session)
    with _flood(account, account.cleanup, "CleanupFunctionArn", _reserved(account, "CleanupFunctionArn")):
        account.s3.delete_object(Bucket=account.outputs["StateBucket"], Key=f"sessions/{session}.json")
        until("the sweep ends the session", lambda: account.sweep() and not account.left(session) or None)


def a_flood_of_posture_holds_up_neither_cleanup_nor_the_sweeper(account: Account) -> None:
    function, session = "PostureFunctionArn", new_session()
    account.ready(session)
    with _flood(account, lambda _: account.posture(), function, _reserved(account, function), _of_posture(account)):
        _is_turned_away("posture", account.posture)
        _cleanup_and_the_sweeper_go_on(account, session)
    expect("checked" in account.posture()["outcome"], "posture must answer when the flood is over", None)


def a_flood_of_markers_holds_up_neither_cleanup_nor_the_sweeper(account: Account) -> None:
    """Root of a box may put markers without end, of any session."""
    function, session = "MarkerFunctionArn", new_session()
    account.ready(session)
    with _flood(account, account.mark, function, _reserved(account, function)):
        _is_turned_away("the marker function", lambda: account.mark(new_session()))
        _cleanup_and_the_sweeper_go_on(account, session)
    marked = account.mark(session)
    expect("destroyed" in marked, "the marker function must answer when the flood is over", marked)


def without_reserved_concurrency_a_flood_of_create_holds_up_cleanup(account: Account) -> None:
    """The twin: this is what the reservation is for."""
    with _small(account), _flood(account, account.create, "CreateFunctionArn", SMALL):
        _is_turned_away("cleanup", lambda: account.cleanup(new_session()))


def without_reserved_concurrency_a_flood_of_posture_holds_up_cleanup(account: Account) -> None:
    """The twin of the other."""
    posture = lambda _: account.posture()  # noqa: E731
    with _small(account), _flood(account, posture, "PostureFunctionArn", SMALL, _of_posture(account)):
        _is_turned_away("cleanup", lambda: account.cleanup(new_session()))


def without_reserved_concurrency_a_flood_of_markers_holds_up_the_sweeper(account: Account) -> None:
    """The twin of the third."""
    with _small(account), _flood(account, account.mark, "MarkerFunctionArn", SMALL):
        _is_turned_away("the sweeper", account.sweep)


def _is_turned_away(function: str, call: Callable[[], Any]) -> None:
    try:
        call()
        raise Failed(f"another call of {function} must be turned away while the flood lasts")
    except ClientError as error:
        expect(error.response["Error"]["Code"] == THROTTLED, "it must be turned away for the flood", error)


def _cleanup_and_the_sweeper_go_on(account: Account, session: str) -> None:
    account.close(session)
    expect(account.left(session) == [], "nothing may be left", account.left(session))
    swept = account.sweep()
    expect("destroyed" in swept, "the sweeper must answer", swept)


@contextmanager
def _small(account: Account) -> Iterator[None]:
    """An account as small as new ones are, which cannot reserve."""
    lambda_ = account.client("lambda")
    kept = {account.outputs[function]: _reserved(account, function) for function in FUNCTIONS}
    limit = account.private("concurrency", {})["limit"]
    try:
        for function in kept:
            lambda_.delete_function_concurrency(FunctionName=function)
        # Whatever others have reserved in this account is not among it.
        others = sum(account.private("concurrency", {})["reserved"].values())
        account.private("concurrency", {"limit": SMALL + others})
        try:
            lambda_.put_function_concurrency(FunctionName=next(iter(kept)), ReservedConcurrentExecutions=1)
            raise Failed("a small account cannot reserve concurrency")
        except ClientError as error:
            expect("below its minimum" in str(error), "Lambda must say why it reserves nothing", error)
        yield
    finally:
        account.private("concurrency", {"limit": limit})
        for function, count in kept.items():
            lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=count)


def the_cluster_can_send_no_event_and_start_no_sweep(account: Account) -> None:
    for event in ({"sweep": True}, {"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2"}):
        try:
            account.ask_cleanup(event)
            raise Failed(f"cleanup must not take {event} from the cluster")
        except Failed as error:
            if "must not" in str(error):
                raise
    expect("destroyed" in account.sweep(), "the schedule's own function takes it", None)


def an_administrator_s_stop_holds_until_it_is_taken_away(account: Account) -> None:
    bucket, session = account.outputs["StateBucket"], new_session()
    account.s3.put_object(Bucket=bucket, Key="switch/stop", Body=b"incident 7")
    try:
        refused = account.create(session)["outcome"]["refused"]
        expect(refused["reason"] == "stopped", "create must refuse", refused)
        expect("incident 7" in refused["message"], "and say what the administrator wrote", refused)
        expect(account.left(session) == [], "nothing may have been made", account.left(session))
    finally:
        account.s3.delete_object(Bucket=bucket, Key="switch/stop")
    account.ready(session)
    account.close(session)


CHECKS: list[Callable[[Account], None]] = [
    a_flood_of_create_holds_up_neither_cleanup_nor_the_sweeper,
    a_flood_of_cleanup_does_not_hold_up_the_sweeper,
    a_flood_of_posture_holds_up_neither_cleanup_nor_the_sweeper,
    a_flood_of_markers_holds_up_neither_cleanup_nor_the_sweeper,
    without_reserved_concurrency_a_flood_of_create_holds_up_cleanup,
    without_reserved_concurrency_a_flood_of_posture_holds_up_cleanup,
    without_reserved_concurrency_a_flood_of_markers_holds_up_the_sweeper,
    the_cluster_can_send_no_event_and_start_no_sweep,
    an_administrator_s_stop_holds_until_it_is_taken_away,
]

"""Grounds for who knows what the controller knows: its sessions' ids and keys, and whom to ask."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.common import run as runs
from tests.policy.probe import Outcome
from tests.sessions.account import Account, Answer, Failed, FunctionFailed, expect, new_session, until

STOP = "switch/stop"
SLOTS, PER_DAY, SERVES = "DRAWBRIDGE_MAX_BOXES", "DRAWBRIDGE_MAX_SESSIONS_PER_DAY", "DRAWBRIDGE_SERVES"
WAITS = "waiting for a slot"


class Sessions:
    """An open session with a box, and one that was closed before it had any: EC2 would give one that had none a second
    time. Every session that is made is closed at the end."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        self.bed = runs.load(run_id)
        self.account = Account(run_id, stack_file)
        self._made: list[str] = []
        # The owner writes into a session's state what the functions compare with.
        self.forged = False

    @contextlib.contextmanager
    def standing(self) -> Iterator[Sessions]:
        try:
            self.open, self.closed = self.new(), self.new()
            self.account.ready(self.open)
            self.account.close(self.closed)
            yield self
        finally:
            for session in self._made:
                self.account.close(session)

    def new(self) -> str:
        """The id of a session that nobody asked for yet."""
        self._made.append(new_session())
        return self._made[-1]

    def claim(self, session: str) -> None:
        """Asks for it while EC2 has no machine: it has a state and no box."""
        with self.account.sold_out(*self.account.instance_types):
            outcome = self.account.box(session)["outcome"]
        expect(outcome.get("refused", {}).get("reason") == "capacity", "EC2 must have no machine", outcome)

    def forge(self, session: str, key: str, job: Answer) -> None:
        """What a session without a box is if it was the thief's from its first step on."""
        state = json.loads(self.read(f"sessions/{session}.json") or b"{}")
        forged = {**state, "client_key": key, "job": job, "phase": "claimed"}
        self.write(f"sessions/{session}.json", json.dumps(forged).encode())
        # `create` orders a box once.
        self.account.s3.delete_object(Bucket=self.account.outputs["StateBucket"], Key=_orders(session))

    def orders(self, session: str) -> Answer:
        """What a session's box was told; it lets in the key that stands there and no other."""
        found: Answer = json.loads(self.read(_orders(session)) or b"{}")
        return found

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Every slot is taken."""
        for _ in range(self.account.max_boxes - 1):
            self.account.create(self.new())
        yield

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        """The day's sessions are used up: the stack opens one a day."""
        with self.variable("CreateFunctionArn", PER_DAY, "1"):
            yield

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """An administrator has stopped the stack."""
        self.write(STOP, b"incident 7")
        try:
            yield
        finally:
            self.account.s3.delete_object(Bucket=self.account.outputs["StateBucket"], Key=STOP)

    def close_others(self) -> None:
        """Whatever attempts got through to."""
        for session in self._made:
            if session not in (self.open, self.closed):
                self.account.close(session)

    # What the account's owner sees and changes

    def read(self, key: str) -> bytes | None:
        """An object of the state bucket, if it is there."""
        s3 = self.account.s3
        try:
            found: bytes = s3.get_object(Bucket=self.account.outputs["StateBucket"], Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return found

    def write(self, key: str, content: bytes) -> None:
        self.account.s3.put_object(Bucket=self.account.outputs["StateBucket"], Key=key, Body=content)

    def variables(self, function: str) -> dict[str, str]:
        api, name = self.account.client("lambda"), self.account.outputs[function]
        found: dict[str, str] = api.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        return found

    @contextlib.contextmanager
    def variable(self, function: str, name: str, value: str) -> Iterator[None]:
        """Another value of a function's variable for a while."""
        stood = self.variables(function)
        api, called = self.account.client("lambda"), self.account.outputs[function]
        api.update_function_configuration(FunctionName=called, Environment={"Variables": {**stood, name: value}})
        try:
            yield
        finally:
            api.update_function_configuration(FunctionName=called, Environment={"Variables": stood})


@dataclass(frozen=True)
class Asking:
    """A request to one of the stack's functions, by the operator."""

    what: str
    request: Callable[[Any], Answer]

    def run(self, ground: Any) -> Outcome:
        """A refusal's reason is its code, and so is the message of a function that failed."""
        try:
            outcome = self.request(ground)["outcome"]
        except FunctionFailed as error:
            return Outcome(error.said)
        except Failed as error:
            return Outcome("Failed", str(error))
        if isinstance(outcome, dict) and "refused" in outcome:
            return Outcome(outcome["refused"]["reason"], outcome["refused"]["message"])
        if isinstance(outcome, dict) and outcome.get("pending", {}).get("waiting_for") == "slot":
            return Outcome(WAITS)
        return Outcome(None)


@dataclass(frozen=True)
class TakingOver:
    """Create of somebody's session that has no box yet. It got through if the box obeys the thief: a box that is ready by
    the orders of another is none of his."""

    what: str
    key: str
    job: Answer

    def run(self, ground: Any) -> Outcome:
        session = ground.new()
        try:
            ground.claim(session)
            if ground.forged:
                ground.forge(session, self.key, self.job)
            return self._settled(ground, session)
        except Failed as error:
            return Outcome("Failed", str(error))
        finally:
            ground.account.close(session)

    def _settled(self, ground: Any, session: str) -> Outcome:
        outcome = until("create settles", lambda: self._asked(ground, session))
        if "refused" in outcome:
            return Outcome(outcome["refused"]["reason"], outcome["refused"]["message"])
        orders = ground.orders(session)
        his = "ready" in outcome and (orders.get("client_key"), orders.get("job")) == (self.key, self.job)
        return Outcome(None) if his else Outcome("NotHis", f"{outcome}; the box's orders are {orders}")

    def _asked(self, ground: Any, session: str) -> Answer | None:
        outcome: Answer = ground.account.create(session, self.key, self.job)["outcome"]
        return None if "pending" in outcome else outcome


@dataclass(frozen=True)
class Variable:
    """A function's setting, as it was deployed."""

    function: str
    variable: str
    # What it is changed to.
    opened: str

    @property
    def name(self) -> str:
        return f"{self.variable} of {self.function.removesuffix('FunctionArn').lower()}"

    def removed(self, ground: Sessions) -> contextlib.AbstractContextManager[None]:
        return ground.variable(self.function, self.variable, self.opened)

    def state(self, ground: Sessions) -> dict[str, str]:
        return ground.variables(self.function)


@dataclass(frozen=True)
class Comparison:
    """That a function compares a request with the saved state. It is in the function's code and stays; that nothing else stops
    the attempt is shown by a state that says what the thief wants, which the account's owner writes."""

    compares: str

    @property
    def name(self) -> str:
        return f"{self.compares}, shown by a forged state"

    @contextlib.contextmanager
    def removed(self, ground: Sessions) -> Iterator[None]:
        ground.forged = True
        try:
            yield
        finally:
            ground.forged = False

    def state(self, ground: Sessions) -> bool:
        return ground.forged


@dataclass(frozen=True)
class Tombstone:
    """What the closed session left."""

    name: str = "the tombstone closed/, which nobody deletes"

    @contextlib.contextmanager
    def removed(self, ground: Sessions) -> Iterator[None]:
        bucket, key = ground.account.outputs["StateBucket"], f"closed/{ground.closed}"
        stood = ground.read(key) or b""
        ground.account.s3.delete_object(Bucket=bucket, Key=key)
        try:
            yield
        finally:
            ground.account.close(ground.closed)
            ground.write(key, stood)

    def state(self, ground: Sessions) -> bytes | None:
        return ground.read(f"closed/{ground.closed}")


@dataclass(frozen=True)
class Stop:
    """The administrator's stop."""

    name: str = "the object switch/stop"

    @contextlib.contextmanager
    def removed(self, ground: Sessions) -> Iterator[None]:
        stood = ground.read(STOP) or b""
        ground.account.s3.delete_object(Bucket=ground.account.outputs["StateBucket"], Key=STOP)
        try:
            yield
        finally:
            ground.write(STOP, stood)

    def state(self, ground: Sessions) -> bytes | None:
        return ground.read(STOP)


def _orders(session: str) -> str:
    return f"boot/{session}/orders.json"

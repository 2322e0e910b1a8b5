"""Controls that are policies, and how any set of controls is taken away and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.common.errors import TestbedError
from tests.attacks.attack import Control
from tests.attacks.documents import Document, Json
from tests.policy.mutate import without

OPENED = "OpenedForAnAttack"


class NotBack(TestbedError):
    """Something was taken away and does not stand as it stood: whatever is tried after that says nothing."""


@contextlib.contextmanager
def taken_away(ground: Any, controls: Sequence[Control]) -> Iterator[None]:
    """Takes all of them away; at the end each stands as it stood, or this fails."""
    before = [control.state(ground) for control in controls]
    try:
        with contextlib.ExitStack() as putting_back:
            for control in controls:
                putting_back.enter_context(control.removed(ground))
            yield
    finally:
        for control, stood in zip(controls, before, strict=True):
            if control.state(ground) != stood:
                raise NotBack(f"'{control.name}' was taken away and is not back: it was {stood}")


@dataclass(frozen=True)
class Statement:
    """A statement of a policy, or one part of it (a condition, say)."""

    document: Document
    sid: str
    part: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([f"{self.document.name} {self.sid}", *map(str, self.part)])

    def removed(self, ground: Any) -> contextlib.AbstractContextManager[None]:
        return _changed(ground, self.document, without(self.document.read(ground), self.sid, self.part))

    def state(self, ground: Any) -> Json:
        return self.document.read(ground)


@dataclass(frozen=True)
class Bounds:
    """That a policy allows no more than it does. It is taken away by allowing these actions on everything."""

    document: Document
    actions: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.document.name} does not allow {', '.join(self.actions)} here"

    def removed(self, ground: Any) -> contextlib.AbstractContextManager[None]:
        opened: Json = {"Sid": OPENED, "Effect": "Allow", "Action": list(self.actions), "Resource": "*"}
        if self.document.has_principal:
            opened["Principal"] = "*"
        document = self.document.read(ground)
        # Two controls of one row may open one policy.
        opened["Sid"] += str(len(document["Statement"]))
        return _changed(ground, self.document, {**document, "Statement": [*document["Statement"], opened]})

    def state(self, ground: Any) -> Json:
        return self.document.read(ground)


@dataclass(frozen=True)
class Trust:
    """That a role trusts only whom it names. It is taken away by trusting the whole account."""

    document: Document

    @property
    def name(self) -> str:
        return self.document.name

    def removed(self, ground: Any) -> contextlib.AbstractContextManager[None]:
        document, everybody = self.document.read(ground), {"AWS": f"arn:aws:iam::{ground.stack.account}:root"}
        opened = {"Sid": OPENED, "Effect": "Allow", "Principal": everybody, "Action": "sts:AssumeRole"}
        return _changed(ground, self.document, {**document, "Statement": [*document["Statement"], opened]})

    def state(self, ground: Any) -> Json:
        return self.document.read(ground)


@contextlib.contextmanager
def _changed(ground: Any, document: Document, content: Json) -> Iterator[None]:
    stood = document.read(ground)
    document.write(ground, content)
    try:
        yield
    finally:
        document.write(ground, stood)

"""Runs attempts and judges them: closed, beside what is allowed, opened, and with only one control left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from tests.network.attempts import ELSEWHERE, PUBLIC, Attempt
from tests.network.controls import opened
from tests.network.ground import Ground, new_mark

PATIENCE = 8.0


@dataclass
class Row:
    """What became of one attempt."""

    attempt: Attempt
    stopped: bool = False
    came: str = ""
    # Whether an allowed one beside it, or itself with its controls opened, got through; and each control alone.
    beside: bool | None = None
    opened: bool | None = None
    alone: dict[str, bool] = field(default_factory=dict)

    def holds(self) -> bool:
        """Stopped, and there is a proof that it could have got through."""
        twins = [twin for twin in (self.beside, self.opened) if twin is not None]
        return self.stopped and bool(twins) and all(twins) and all(self.alone.values())


class Trial:
    """One run over all attempts."""

    def __init__(self, ground: Ground, attempts: list[Attempt]) -> None:
        self._ground, self.rows = ground, [Row(attempt) for attempt in attempts]
        self._words = {"resolver": ground.resolver()}
        self._macs = {
            device: ground.router_mac(interface)
            for device, interface in ((PUBLIC, ground.box.inner_interface), ("ens6", ground.box.private_interface))
        }

    def closed(self) -> None:
        """As the stack is."""
        for row, (through, came) in zip(self.rows, self._run([row.attempt for row in self.rows]), strict=True):
            row.stopped, row.came = not through, came

    def beside(self) -> None:
        """What is allowed must get through by the same tool."""
        rows = [row for row in self.rows if row.attempt.beside]
        twins = []
        for row in rows:
            tool, arguments = row.attempt.beside or ("", {})
            who = row.attempt.who if row.attempt.who in ("peer", "outsider") else "box"
            usual = {"before": "", "after": "", "arrives": ELSEWHERE, "only_arrival": False}
            twins.append(replace(row.attempt, tool=tool, arguments=arguments, who=who, **usual))
        for row, (through, _) in zip(rows, self._run(twins), strict=True):
            row.beside = through

    def opened(self) -> None:
        """With all of its controls opened each attempt must get through."""
        for controls, rows in self._by_controls():
            with opened(self._ground, controls):
                came = self._until(rows, through=True)
            for row, got_through in zip(rows, came, strict=True):
                row.opened = got_through

    def alone(self) -> None:
        """Where several controls stop an attempt, each must do so by itself. It is opened as well, and closed once the
        attempt got through: by then the others are seen to be open, so that what stops it next is that one. A control
        takes as long as the changes do, twice PATIENCE at the most."""
        for controls, rows in self._by_controls():
            for kept in controls if len(controls) > 1 else ():
                others = tuple(control for control in controls if control != kept)
                with opened(self._ground, others):
                    with opened(self._ground, (kept,)):
                        shown = self._until(rows, through=True)
                    stopped = self._until(rows, through=False)
                for row, *both in zip(rows, shown, stopped, strict=True):
                    row.alone[kept] = all(both)

    def _by_controls(self) -> list[tuple[tuple[str, ...], list[Row]]]:
        def controls(row: Row) -> tuple[str, ...]:
            return row.attempt.stopped_by

        rows = sorted((row for row in self.rows if row.attempt.stopped_by), key=controls)
        return [(found, list(group)) for found, group in groupby(rows, controls)]

    def _until(self, rows: list[Row], *, through: bool) -> list[bool]:
        """Of each whether that came of it. A name service and the metadata follow a moment after the fabric."""
        end = time.monotonic() + PATIENCE
        came = [False] * len(rows)
        while True:
            left = [number for number, done in enumerate(came) if not done]
            found = self._run([rows[number].attempt for number in left])
            for number, (got_through, _) in zip(left, found, strict=True):
                came[number] = got_through == through
            if all(came) or time.monotonic() >= end:
                return came

    def _run(self, attempts: list[Attempt]) -> list[tuple[bool, str]]:
        """Of each whether it got through, and what came of it. Those that change the machine run alone."""
        marks = [new_mark() for _ in attempts]
        said: dict[str, dict[str, Any]] = {}
        for who in ("box", "container", "outsider"):
            batch = [self._asked(a, m) for a, m in zip(attempts, marks, strict=True) if a.who == who and not a.is_alone()]
            if batch:
                said |= {answer["mark"]: answer for answer in self._ground.escape(who, batch)}
        for attempt, mark in zip(attempts, marks, strict=True):
            if attempt.is_alone():
                said[mark] = self._alone(attempt, mark)
        self._ground.catch_up()
        return [self._judged(attempt, said[mark]) for attempt, mark in zip(attempts, marks, strict=True)]

    def _alone(self, attempt: Attempt, mark: str) -> dict[str, Any]:
        """One attempt, and what its box does before and after."""
        ground = self._ground
        ground.shell(ground.box, attempt.before)
        if attempt.first:
            tool, arguments = attempt.first
            ground.escape("box", [{"tool": tool, "mark": mark, "with": arguments}])
        (answer,) = ground.escape(attempt.who, [self._asked(attempt, mark)])
        ground.shell(ground.box, attempt.after)
        return answer

    def _judged(self, attempt: Attempt, answer: dict[str, Any]) -> tuple[bool, str]:
        heard = [place for place in self._ground.heard(answer["mark"]) if place in attempt.arrives]
        came = f"heard at {', '.join(heard)}" if heard else answer["said"]
        return bool(heard) or answer["through"] and not attempt.only_arrival, came

    def _asked(self, attempt: Attempt, mark: str) -> dict[str, Any]:
        """As escape.py takes it, with what is known only here."""
        words = {**self._words, "mark": mark, "router": self._macs.get(attempt.arguments.get("device", ""), "")}
        return {"tool": attempt.tool, "mark": mark, "with": _filled(attempt.arguments, words)}


def _filled(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, words) for key, inner in value.items()}
    if isinstance(value, str):
        for word, meant in words.items():
            value = value.replace(f"{{{word}}}", meant)
    return value

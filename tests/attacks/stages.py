"""Where rows are tried, one ground after the other: what one sets up would be in another's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.attacks import catalogue
from tests.attacks.attack import Attack, Verdict
from tests.attacks.ground import Ground
from tests.attacks.judging import judge


@dataclass(frozen=True)
class Choice:
    """What a run was asked for."""

    run: str
    stack: Path
    only: str
    removing: bool
    kubernetes: bool

    def of(self, attacks: list[Attack]) -> list[Attack]:
        return [attack for attack in attacks if self.only in attack.id]


Stage = Callable[[Choice], list[Verdict]]


def stages(choice: Choice) -> list[tuple[str, Stage]]:
    """Those that the test bed has what they need for."""
    return [("identities of the account", policies)]


def policies(choice: Choice) -> list[Verdict]:
    chosen = choice.of(catalogue.policies())
    if not chosen:
        return []
    with Ground(choice.run, choice.stack).set_up() as ground:
        return judge(ground, chosen, choice.removing)

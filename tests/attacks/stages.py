"""Where rows are tried, one ground after the other: what one sets up would be in another's way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.attacks import box_root, catalogue
from tests.attacks.attack import Attack, Verdict
from tests.attacks.catalogue import cluster as of_the_cluster, memory
from tests.attacks.cluster import Cluster
from tests.attacks.ground import Ground
from tests.attacks.judging import judge
from tests.attacks.sessions import Sessions
from tests.network.ground import Ground as TwoBoxes
from tests.network.objects import buckets


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
    found: list[tuple[str, Stage]] = [
        ("identities of the account", _identities),
        ("an open session", _sessions(memory.with_an_open_session, Sessions.standing)),
        ("every slot taken", _sessions(memory.with_full_slots, Sessions.full)),
        ("a day's sessions used up", _sessions(memory.with_a_spent_day, Sessions.spent)),
        ("a stopped stack", _sessions(memory.with_a_stop, Sessions.stopped)),
        ("root on a box", _box_root),
    ]
    return [*found, ("identities of the cluster", _cluster)] if choice.kubernetes else found


def _identities(choice: Choice) -> list[Verdict]:
    chosen = choice.of(catalogue.identities(choice.kubernetes))
    if not chosen:
        return []
    with Ground(choice.run, choice.stack).set_up() as ground:
        return judge(ground, chosen, choice.removing)


def _sessions(rows: Callable[[], list[Attack]], standing: Callable[[Sessions], AbstractContextManager[Sessions]]) -> Stage:
    def stage(choice: Choice) -> list[Verdict]:
        chosen = choice.of(rows())
        if not chosen:
            return []
        with standing(Sessions(choice.run, choice.stack)) as ground:
            return judge(ground, chosen, choice.removing)

    return stage


def _box_root(choice: Choice) -> list[Verdict]:
    if not any(choice.only in row for row in box_root.WAYS):
        return []
    ground = TwoBoxes(choice.run, choice.stack)
    with ground.standing(), buckets(ground):
        return box_root.judge(ground, choice.only, choice.removing)


def _cluster(choice: Choice) -> list[Verdict]:
    chosen = choice.of(of_the_cluster.attacks())
    if not chosen:
        return []
    with Cluster(choice.run).standing() as ground:
        return judge(ground, chosen, choice.removing)

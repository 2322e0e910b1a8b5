"""Where rows are tried, one ground after the other: what one sets up would be in another's way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.attacks import box_root, catalogue
from tests.attacks.attack import Attack, Verdict
from tests.attacks.catalogue import box_role, cluster as of_the_cluster, memory, wire
from tests.attacks.cluster import Cluster
from tests.attacks.ground import Ground
from tests.attacks.judging import judge
from tests.attacks.middle import Middle
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
        ("sessions of the deployed functions", _sessions),
        ("between a box and S3", _middle),
        ("root on a box", _box_root),
    ]
    return [*found, ("identities of the cluster", _cluster)] if choice.kubernetes else found


def _identities(choice: Choice) -> list[Verdict]:
    chosen = choice.of(catalogue.identities(choice.kubernetes))
    if not chosen:
        return []
    with Ground(choice.run, choice.stack).set_up() as ground:
        return judge(ground, chosen, choice.removing)


def _sessions(choice: Choice) -> list[Verdict]:
    """One box serves them all. The slots come last: those who wait for one are told nothing else."""
    parts: list[tuple[list[Attack], Callable[[Sessions], AbstractContextManager[None]]]] = [
        (choice.of([*memory.with_an_open_session(), *box_role.with_an_open_session()]), lambda _ground: nullcontext()),
        (choice.of(memory.with_a_spent_day()), Sessions.spent),
        (choice.of(memory.with_a_stop()), Sessions.stopped),
        (choice.of(memory.with_full_slots()), Sessions.full),
    ]
    verdicts: list[Verdict] = []
    if not any(chosen for chosen, _ in parts):
        return verdicts
    with Sessions(choice.run, choice.stack).standing() as ground:
        for chosen, so in parts:
            if chosen:
                with so(ground):
                    verdicts += judge(ground, chosen, choice.removing)
                ground.close_others()
    return verdicts


def _middle(choice: Choice) -> list[Verdict]:
    chosen = choice.of(wire.in_the_middle())
    if not chosen:
        return []
    with Middle(choice.run, choice.stack).between() as ground:
        return judge(ground, chosen, choice.removing)


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

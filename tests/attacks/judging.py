"""Runs rows and judges them: as the bed stands, without their controls, and with everything back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from botocore.exceptions import ClientError

from testbed.common.errors import TestbedError
from testbed.common.progress import say
from tests.attacks.attack import Attack, Control, Verdict
from tests.attacks.controls import NotBack, taken_away
from tests.policy.kubernetes_probes import ProbeError
from tests.policy.probe import Outcome
from tests.sessions.account import Failed

# What was changed takes effect a moment later.
PATIENCE = 8.0
EVERY = 0.3


def judge(ground: Any, attacks: Sequence[Attack], removing: bool) -> list[Verdict]:
    """In the order of the attacks. `removing`: also without their controls."""
    verdicts = [_standing(ground, attack) for attack in attacks]
    if removing:
        pairs = sorted(zip(attacks, verdicts, strict=True), key=lambda pair: _names(pair[0]))
        for _, group in groupby(pairs, key=lambda pair: _names(pair[0])):
            rows = list(group)
            try:
                _without(ground, rows)
            except (ClientError, Failed, ProbeError, TestbedError) as error:
                if isinstance(error, NotBack):
                    raise
                for attack, verdict in rows:
                    verdict.broken = str(error)
                    say(f"{attack.id}: BROKEN: {error}")
    return verdicts


def _standing(ground: Any, attack: Attack) -> Verdict:
    """As the bed stands."""
    attempt, twin = attack.attempt.run(ground), attack.twin.run(ground)
    verdict = Verdict(
        attack.id,
        attack.thief,
        attack.attempt.what,
        attack.error,
        attack.twin.what,
        _names(attack),
        said=str(attempt),
        denied=attempt.code == attack.error,
        twin_said=str(twin),
        twin_allowed=twin.allowed,
    )
    say(f"{attack.id}: {'denied' if verdict.denied else f'NOT AS EXPECTED: {verdict.said}'}, twin {twin}")
    return verdict


def _without(ground: Any, rows: list[tuple[Attack, Verdict]]) -> None:
    """Rows of one set of controls."""
    controls = rows[0][0].controls
    with taken_away(ground, controls):
        for attack, verdict in rows:
            outcome = _until(lambda found: found.allowed, attack, ground)
            verdict.through, verdict.through_said = outcome.allowed, str(outcome)
            say(f"{attack.id}: without {' and '.join(verdict.controls)}: {'got through' if verdict.through else str(outcome)}")
    if len(controls) > 1:
        for kept in controls:
            _with_only(ground, kept, [control for control in controls if control is not kept], rows)
    for attack, verdict in rows:
        _back(ground, attack, verdict)


def _with_only(ground: Any, kept: Control, others: Sequence[Control], rows: Sequence[tuple[Attack, Verdict]]) -> None:
    """Takes `kept` away as well, and puts it back once the attempt got through: by then the others are seen to be gone, so
    that what stops it next is `kept`. A row and a control take as long as the changes do, twice PATIENCE at the most."""
    with taken_away(ground, others):
        with taken_away(ground, [kept]):
            shown = [_until(lambda found: found.allowed, attack, ground) for attack, _ in rows]
        for (attack, verdict), before in zip(rows, shown, strict=True):
            verdict.alone[kept.name], verdict.alone_said[kept.name] = _stops(ground, kept, attack, before)


def _stops(ground: Any, kept: Control, attack: Attack, before: Outcome) -> tuple[bool, str]:
    """Whether a control that was put back ends an attempt with its own error, and what was seen."""
    if not before.allowed:
        return False, f"it cannot be told: with all of them gone the attempt ended with {before}"
    error = attack.error_by(kept)
    outcome = _until(lambda found: found.code == error, attack, ground)
    return outcome.code == error, f"the attempt must end with {error}, and ended with {outcome}"


def _back(ground: Any, attack: Attack, verdict: Verdict) -> None:
    """`taken_away` has seen that the controls stand as before; this sees that they stop the same again."""
    outcome = _until(lambda found: found.code == attack.error, attack, ground)
    twin = attack.twin.run(ground)
    verdict.back = outcome.code == attack.error and twin.allowed
    verdict.back_said = f"the attempt ends with {outcome}, its twin with {twin}"


def _until(holds: Callable[[Outcome], bool], attack: Attack, ground: Any) -> Outcome:
    """Asks again until it is as expected, for a while."""
    end = time.monotonic() + PATIENCE
    while not holds(outcome := attack.attempt.run(ground)) and time.monotonic() < end:
        time.sleep(EVERY)
    return outcome


def _names(attack: Attack) -> tuple[str, ...]:
    return tuple(control.name for control in attack.controls)

"""The rows as Markdown, for docs/evidence/attacks.md."""

from __future__ import annotations

from collections import Counter

from tests.attacks.attack import Thief, Verdict

HEAD = (
    "| row | denied call | expected error | allowed twin | what stops it | without it | each alone | put back |",
    "|---|---|---|---|---|---|---|---|",
)


def table(verdicts: list[Verdict]) -> str:
    """A section a thief."""
    lines = [summary(verdicts)]
    for thief in Thief:
        rows = [verdict for verdict in verdicts if verdict.thief is thief]
        if rows:
            lines += ["", f"## {thief.value[0].upper()}{thief.value[1:]}", "", *HEAD, *map(_line, rows)]
    return "\n".join(lines) + "\n"


def summary(verdicts: list[Verdict]) -> str:
    """One line."""
    held = [verdict for verdict in verdicts if not verdict.faults()]
    removed = [verdict for verdict in verdicts if verdict.through]
    counts = Counter(verdict.thief.value for verdict in verdicts)
    thieves = ", ".join(f"{count} by {thief}" for thief, count in counts.items())
    return (
        f"{len(verdicts)} attempts ({thieves}): {len(held)} hold, {len(verdicts) - len(held)} do not; "
        f"{len(removed)} got through when their controls were taken away, or what code compares with was forged"
    )


def _line(verdict: Verdict) -> str:
    alone = "" if not verdict.alone else "stops it" if all(verdict.alone.values()) else _bad(_weak(verdict))
    cells = (
        f"`{verdict.id}`",
        verdict.attempt,
        f"`{verdict.error}`" if verdict.denied else _bad(verdict.said),
        verdict.twin if verdict.twin_allowed else _bad(f"{verdict.twin}: {verdict.twin_said}"),
        " + ".join(f"`{control}`" for control in verdict.controls),
        _bad(verdict.broken) if verdict.broken else _asked(verdict.through, "gets through", verdict.through_said),
        alone,
        _asked(verdict.back, "yes", verdict.back_said),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _weak(verdict: Verdict) -> str:
    return "not stopped by " + ", ".join(control for control, stops in verdict.alone.items() if not stops)


def _asked(holds: bool | None, yes: str, said: str) -> str:
    return "not tried" if holds is None else yes if holds else _bad(said)


def _bad(text: str) -> str:
    return f"**{text}**"

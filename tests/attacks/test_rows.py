"""What can be said of the attack suite without an account."""

from __future__ import annotations

import contextlib
import fnmatch
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.attacks import box_root, catalogue, judging  # noqa: E402
from tests.attacks.attack import Attack, Thief, Verdict, asks  # noqa: E402
from tests.attacks.catalogue import cluster, memory, wire  # noqa: E402
from tests.attacks.controls import NotBack, taken_away  # noqa: E402
from tests.attacks.table import table  # noqa: E402
from tests.policy.probe import Outcome  # noqa: E402

PAGES = Path(__file__).resolve().parents[2] / "docs"


def rows() -> list[Attack]:
    sessions = (memory.with_an_open_session, memory.with_a_spent_day, memory.with_a_stop, memory.with_full_slots)
    others = (cluster.attacks, wire.in_the_middle, *sessions)
    return [*catalogue.identities(kubernetes=True), *(row for made in others for row in made())]


class Door:
    """A control: while it is shut, whoever asks is told to go."""

    def __init__(self, name: str = "the door", *, sticks: bool = False, shut: bool = True) -> None:
        self.name, self.shut, self._sticks = name, shut, sticks

    @contextlib.contextmanager
    def removed(self, _ground: Any) -> Iterator[None]:
        stood, self.shut = self.shut, False
        yield
        self.shut = stood and not self._sticks

    def state(self, _ground: Any) -> bool:
        return self.shut


class Going:
    """An attempt or a twin that gets past all of these doors."""

    what = "go in"

    def __init__(self, *doors: Door) -> None:
        self._doors = doors

    def run(self, _ground: Any) -> Outcome:
        return Outcome("Shut" if any(door.shut for door in self._doors) else None)


def faults(attack: Attack) -> list[str]:
    (verdict,) = judging.judge(None, [attack], removing=True)
    return verdict.faults()


def row(attempt: Going, *controls: Door, twin: Going | None = None, error: str = "Shut") -> Attack:
    return Attack("a-row", Thief.TOKEN, attempt, error, twin or Going(), controls)


class Catalogue(unittest.TestCase):
    def test_there_are_sixty_distinct_attempts_and_every_thief_tries(self) -> None:
        names = [*(attack.id for attack in rows()), *box_root.WAYS]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(names), 60)
        thieves = {attack.thief for attack in rows()} | {Thief.BOX_ROOT}
        self.assertEqual(thieves, set(Thief))
        self.assertEqual(len(set(box_root.WAYS.values())), len(box_root.WAYS))
        requests = [(attack.thief, attack.attempt.what) for attack in rows()]
        self.assertEqual(len(requests), len(set(requests)), "two rows of one thief read alike")

    def test_every_row_names_what_stops_it_and_how_the_refusal_reads(self) -> None:
        for attack in rows():
            self.assertTrue(attack.controls, attack.id)
            self.assertTrue(attack.error, attack.id)
            self.assertNotEqual(attack.attempt, attack.twin, attack.id)

    def test_rows_that_the_docs_name_exist(self) -> None:
        """`attacks: NAME` in docs/security.md."""
        words = (PAGES / "security.md").read_text().split("`attacks: ")[1:]
        named = {name for text in words for name in text.partition("`")[0].split(", ")}
        self.assertTrue(named)
        known = [*(attack.id for attack in rows()), *box_root.WAYS]
        self.assertEqual({name for name in named if not fnmatch.filter(known, name)}, set())


class Judging(unittest.TestCase):
    def setUp(self) -> None:
        patience, judging.PATIENCE = judging.PATIENCE, 0.0
        self.addCleanup(setattr, judging, "PATIENCE", patience)

    def test_a_row_holds_that_its_controls_stop(self) -> None:
        first, second = Door("first"), Door("second")
        self.assertEqual(faults(row(Going(first), first)), [])
        self.assertEqual(faults(row(Going(first, second), first, second)), [])

    def test_a_row_that_something_else_stops_is_red(self) -> None:
        door, other = Door(), Door("another")
        (fault,) = faults(row(Going(door, other), door))
        self.assertIn("without the door it must get through", fault)

    def test_a_control_that_does_not_stop_it_alone_is_red(self) -> None:
        door, idle = Door(), Door("idle")
        (fault,) = faults(row(Going(door), door, idle))
        self.assertIn("'idle' alone must stop it", fault)

    def test_another_error_than_the_expected_one_is_red(self) -> None:
        door = Door()
        found = faults(row(Going(door), door, error="Closed"))
        self.assertIn("must end with Closed, and ended with Shut", found[0])

    def test_a_refused_twin_is_red(self) -> None:
        door = Door()
        self.assertIn("its twin must be allowed", faults(row(Going(door), door, twin=Going(Door())))[0])

    def test_an_open_door_is_red(self) -> None:
        door = Door(shut=False)
        self.assertIn("must end with Shut, and ended with allowed", faults(row(Going(door), door))[0])

    def test_what_is_not_put_back_ends_the_run(self) -> None:
        door = Door(sticks=True)
        with self.assertRaisesRegex(NotBack, "the door"), taken_away(None, [door]):
            pass

    def test_the_table_shows_what_does_not_hold(self) -> None:
        verdict = Verdict("a-row", Thief.TOKEN, "go in", "Shut", "look in", ("the door",), said="allowed", twin_allowed=True)
        self.assertIn("**allowed**", table([verdict]))


class Asking(unittest.TestCase):
    def test_an_attempt_says_nothing_of_what_must_become_of_it(self) -> None:
        self.assertEqual(asks("operator", "x", lambda _world: None).expected, "")


if __name__ == "__main__":
    unittest.main()

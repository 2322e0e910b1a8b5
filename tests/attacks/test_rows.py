"""What can be said of the attack suite without an account."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.attacks import box_root, catalogue, judging, markers  # noqa: E402
from tests.attacks.attack import Attack, Thief, Verdict, asks  # noqa: E402
from tests.attacks.catalogue import box_role, cluster, memory, wire  # noqa: E402
from tests.attacks.controls import NotBack, taken_away  # noqa: E402
from tests.attacks.sessions import Comparison, TakingOver  # noqa: E402
from tests.attacks.table import table  # noqa: E402
from tests.network import trying  # noqa: E402
from tests.network.attempts import Attempt  # noqa: E402
from tests.policy.probe import Outcome  # noqa: E402
from tests.sessions.account import JOB, KEY, OTHER_KEY  # noqa: E402

PAGES = Path(__file__).resolve().parents[2] / "docs"


def rows() -> list[Attack]:
    sessions = (memory.with_an_open_session, memory.with_a_spent_day, memory.with_a_stop, memory.with_full_slots)
    others = (cluster.attacks, wire.in_the_middle, box_role.with_an_open_session, *sessions)
    return [*catalogue.identities(kubernetes=True), *(row for made in others for row in made())]


class Door:
    """A control: while it is shut, whoever asks is told to go."""

    def __init__(self, name: str = "the door", *, sticks: bool = False, shut: bool = True, word: str = "Shut") -> None:
        self.name, self.shut, self._sticks, self.word = name, shut, sticks, word

    def stops(self) -> bool:
        return self.shut

    @contextlib.contextmanager
    def removed(self, _ground: Any) -> Iterator[None]:
        stood, self.shut = self.shut, False
        yield
        self.shut = stood and not self._sticks

    def state(self, _ground: Any) -> bool:
        return self.shut


class LateDoor(Door):
    """Whoever looks sees a change of it some looks later."""

    def __init__(self, name: str, looks: int = 3) -> None:
        super().__init__(name)
        self._looks = looks
        self._before: list[bool] = []

    @contextlib.contextmanager
    def removed(self, ground: Any) -> Iterator[None]:
        with super().removed(ground):
            self._before = [True] * self._looks
            yield
        self._before = [False] * self._looks

    def stops(self) -> bool:
        return self._before.pop() if self._before else self.shut


class Going:
    """An attempt or a twin that gets past all of these doors."""

    what = "go in"

    def __init__(self, *doors: Door) -> None:
        self._doors = doors

    def run(self, _ground: Any) -> Outcome:
        return Outcome(next((door.word for door in self._doors if door.stops()), None))


class WayOut(trying.Trial):
    """One that these doors stop; `controls` are all that are said to."""

    def __init__(self, controls: list[Door], *doors: Door) -> None:
        self._controls, self._doors = {door.name: door for door in controls}, doors
        self._ground: Any = None
        self.rows = [trying.Row(Attempt("a way out", "tcp", {}, tuple(self._controls)))]

    def _run(self, attempts: list[Attempt]) -> list[tuple[bool, str]]:
        return [(not any(door.stops() for door in self._doors), "") for _ in attempts]

    @contextlib.contextmanager
    def opened_by_name(self, ground: Any, names: tuple[str, ...]) -> Iterator[None]:
        with contextlib.ExitStack() as closing:
            for name in names:
                closing.enter_context(self._controls[name].removed(ground))
            yield


class Obeying:
    """A ground whose boxes are ready by these orders, whoever asks for them."""

    forged = False

    def __init__(self, key: str, job: dict[str, Any]) -> None:
        self.account, self._orders = self, {"client_key": key, "job": job}

    def new(self) -> str:
        return "a-session"

    def claim(self, session: str) -> None:
        pass

    def create(self, _session: str, _key: str, _job: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": {"ready": {}}}

    def orders(self, _session: str) -> dict[str, Any]:
        return self._orders

    def close(self, session: str) -> None:
        pass


class Marked:
    """A ground whose cleanup ends a marked session once its deadline has passed, and says so in its log later."""

    forged = False

    def __init__(self, *, compares: bool = True) -> None:
        self.account, self._compares = self, compares
        self.objects: dict[str, bytes] = {}
        self.log: list[str] = []

    def new(self) -> str:
        return "a-session"

    def claim(self, session: str) -> None:
        self.objects[f"sessions/{session}.json"] = b'{"deadline": "2999-01-01T00:00:00Z", "slot": 1}'

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def write(self, key: str, content: bytes) -> None:
        self.objects[key] = content

    def put(self, session: str) -> None:
        deadline = json.loads(self.objects[f"sessions/{session}.json"])["deadline"]
        if deadline < "2999" or not self._compares:
            self.objects[f"closed/{session}"] = b""
        self.log.append(session)

    def marker_function_said(self, _session: str) -> str:
        return "; ".join(self.log)

    def close(self, session: str) -> None:
        pass


def faults(attack: Attack) -> list[str]:
    (verdict,) = judging.judge(None, [attack], removing=True)
    return verdict.faults()


def row(attempt: Going, *controls: Door, twin: Going | None = None, error: str = "Shut", **alone: str) -> Attack:
    return Attack("a-row", Thief.TOKEN, attempt, error, twin or Going(), controls, alone)


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
            self.assertLessEqual(set(attack.alone), {control.name for control in attack.controls}, attack.id)

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

    def test_a_control_that_is_still_seen_after_its_removal_does_not_pass_for_the_one_that_is_left(self) -> None:
        late, idle = LateDoor("late"), Door("idle")
        with mock.patch.multiple(judging, PATIENCE=0.2, EVERY=0.001):
            (fault,) = faults(row(Going(late), late, idle))
            self.assertIn("'idle' alone must stop it, and the attempt must end with Shut, and ended with allowed", fault)
            other = LateDoor("other", looks=5)
            self.assertEqual(faults(row(Going(late, other), late, other)), [])

    def test_a_control_that_is_left_alone_stops_it_by_its_own_error(self) -> None:
        first, second = Door("first"), Door("second", word="Closed")
        (fault,) = faults(row(Going(first, second), first, second))
        self.assertIn("'second' alone must stop it, and the attempt must end with Shut, and ended with Closed", fault)
        self.assertEqual(faults(row(Going(first, second), first, second, second="Closed")), [])

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


class WaysOut(unittest.TestCase):
    def test_a_control_that_is_still_seen_after_its_removal_does_not_pass_for_the_one_that_is_left(self) -> None:
        late, idle = LateDoor("late"), Door("idle")
        trial = WayOut([late, idle], late)
        with mock.patch.multiple(trying, PATIENCE=0.2, opened=trial.opened_by_name):
            trial.opened()
            trial.alone()
        (found,) = trial.rows
        self.assertTrue(found.opened)
        self.assertEqual(found.alone, {"late": True, "idle": False})


class Sessions(unittest.TestCase):
    def test_a_box_that_obeys_somebody_else_is_none_of_the_thief_s(self) -> None:
        attempt = TakingOver("with his own key", OTHER_KEY, JOB)
        self.assertTrue(attempt.run(Obeying(OTHER_KEY, JOB)).allowed)
        self.assertEqual(attempt.run(Obeying(KEY, JOB)).code, "NotHis")
        self.assertEqual(attempt.run(Obeying(OTHER_KEY, {**JOB, "uid": "0b"})).code, "NotHis")


class Markers(unittest.TestCase):
    def setUp(self) -> None:
        replaced = mock.patch.object(markers, "put", lambda ground, session: ground.put(session))
        replaced.start()
        self.addCleanup(replaced.stop)

    def test_a_marker_got_through_only_if_the_session_ended(self) -> None:
        self.assertEqual(markers.Marking("early").run(Marked()).code, markers.LIVES_ON)
        self.assertTrue(markers.Marking("in time", over=True).run(Marked()).allowed)
        self.assertTrue(markers.Marking("early").run(Marked(compares=False)).allowed)

    def test_a_comparison_is_said_to_be_shown_by_a_forged_state(self) -> None:
        ground, control = Marked(), Comparison("cleanup compares")
        self.assertEqual(control.name, "cleanup compares, shown by a forged state")
        with taken_away(ground, [control]):
            self.assertTrue(markers.Marking("early").run(ground).allowed)
        self.assertEqual(markers.Marking("early").run(Marked()).code, markers.LIVES_ON)


class Asking(unittest.TestCase):
    def test_an_attempt_says_nothing_of_what_must_become_of_it(self) -> None:
        self.assertEqual(asks("operator", "x", lambda _world: None).expected, "")


if __name__ == "__main__":
    unittest.main()

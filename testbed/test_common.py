"""Tests of what both halves rest on; none needs a cluster. `python3 -m unittest testbed.test_common`, as root."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
import time
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from unittest import mock

from testbed.common import cgroup, run as runs, teardown
from testbed.common.errors import TestbedError
from testbed.common.made import Made
from testbed.common.process import Daemons, Identity, end, identify, is_alive, marked
from testbed.images.mkimage import Entry, Image, build


class WithState(unittest.TestCase):
    """Registry and state directories of the test's own."""

    def setUp(self) -> None:
        warnings.simplefilter("ignore", ResourceWarning)  # daemons outlive the object that started them, by design
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        for module, name in ((runs, "REGISTRY"), (runs, "STATE"), (teardown, "STATE")):
            patch = mock.patch.object(module, name, self.place / name.lower())
            patch.start()
            self.addCleanup(patch.stop)


class Indexes(WithState):
    def test_runs_that_claim_at_once_get_different_indexes(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: runs.claim(f"run-{n}").index, range(20)))
        self.assertEqual(sorted(found), list(range(20)))

    def test_runs_that_come_and_go_at_once_do_not_stumble_over_each_other(self) -> None:
        """Each that is the last one to go removes registry and state; another may come in that moment."""

        def come_and_go(number: int) -> None:
            for _ in range(200):
                self.assertTrue(runs.claim(f"run-{number}").dir.is_dir())
                self.assertTrue(runs.release(f"run-{number}"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(come_and_go, range(4)))
        self.assertEqual(list(self.place.iterdir()), [], "an idle machine has no registry and no state")

    def test_both_parts_of_a_run_share_its_index(self) -> None:
        self.assertEqual(runs.claim("a", "aws").index, runs.claim("a", "kubernetes").index)

    def test_an_index_is_free_again_when_the_last_part_is_down(self) -> None:
        run = runs.claim("a")
        run.part("aws").mkdir()
        run.part("kubernetes").mkdir()
        teardown.take_down("a", "aws")
        self.assertEqual([other.id for other in runs.everything()], ["a"])
        teardown.take_down("a", "kubernetes")
        self.assertEqual(list(self.place.iterdir()), [], "an idle machine has no registry and no state")
        self.assertEqual(runs.claim("b").index, 0)

    def test_with_all_indexes_held_only_dead_runs_are_reclaimed(self) -> None:
        nobody = Identity(2**22 - 1, 1)
        with mock.patch.object(runs, "identify", return_value=nobody):
            for number in runs.INDEXES:
                runs.claim(f"run-{number}")
        alive = runs.find("run-7")
        assert alive is not None
        daemons = Daemons("run-7", "aws", alive.part("aws"))
        daemons.start("sleeper", ["sleep", "60"])
        self.addCleanup(daemons.stop, "sleeper")
        teardown.claim("new", "aws")
        self.assertEqual({run.id for run in runs.everything()}, {"run-7", "new"})

    def test_without_an_index_teardown_undoes_nothing_of_the_host(self) -> None:
        directory = runs.STATE / "old" / "kubernetes"
        directory.mkdir(parents=True)
        Made(directory).note("link", "lo")
        with mock.patch.dict("testbed.common.made.UNDO", {"link": mock.Mock(side_effect=AssertionError)}):
            teardown.take_down("old", "kubernetes")
        self.assertFalse(directory.exists())

    def test_ids_that_would_be_paths_are_refused(self) -> None:
        for bad in ("", "../x", "A", "x" * 21):
            with self.assertRaises(TestbedError):
                runs.claim(bad)


class Processes(WithState):
    def test_a_process_with_the_same_id_but_another_start_is_left_alone(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as stranger:
            real = identify(stranger.pid)
            assert real is not None
            end([Identity(real.pid, real.started - 1)])
            self.assertTrue(is_alive(real))
            end([real])
            self.assertFalse(is_alive(real))

    def test_a_daemon_without_a_record_is_found_by_its_mark(self) -> None:
        daemons = Daemons("marked-run", "aws", self.place)
        pid = daemons.start("sleeper", ["sleep", "60"])
        (self.place / "processes" / "sleeper.json").unlink()
        self.assertEqual([process.pid for process in marked("marked-run", "aws")], [pid])
        self.assertEqual(marked("marked-run", "kubernetes"), [])
        daemons.stop_all()
        self.assertEqual(marked("marked-run"), [])

    def test_a_daemon_that_ends_is_named_with_its_last_words(self) -> None:
        daemons = Daemons("a", "aws", self.place)
        daemons.start("short", ["sh", "-c", "sleep 0.05; echo no such thing"])
        with self.assertRaisesRegex(TestbedError, "short ended.*no such thing"):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                daemons.expect("short")


class UndoList(WithState):
    def test_one_failure_keeps_nothing_else_from_being_undone(self) -> None:
        undone: list[str] = []
        made = Made(self.place)
        broken = mock.Mock(side_effect=OSError)
        with mock.patch.dict("testbed.common.made.UNDO", {"netns": undone.append, "link": broken}):
            for kind, name in (("netns", "first"), ("link", "broken"), ("netns", "last")):
                made.note(kind, name)
            self.assertEqual(len(made.undo()), 1)
        self.assertEqual(undone, ["last", "first"])
        self.assertEqual(len(made.entries()), 3, "the list stays, for the next teardown")


class CgroupV2(WithState):
    """Against plain files, since no machine with cgroup v2 was at hand: what is written, not what the kernel says."""

    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.object(cgroup, "ROOT", self.place)
        patch.start()
        self.addCleanup(patch.stop)

    def test_missing_controllers_are_delegated(self) -> None:
        (self.place / "cgroup.controllers").write_text("cpuset cpu io memory pids misc\n")
        (self.place / "cgroup.subtree_control").write_text("cpu memory pids\n")
        self.assertEqual(cgroup.version(), 2)
        self.assertEqual(cgroup.controllers_to_delegate(), ["cpuset", "io"])

    def test_a_controller_that_kubelet_needs_and_the_tree_lacks_is_named(self) -> None:
        (self.place / "cgroup.controllers").write_text("cpu memory pids\n")
        with self.assertRaisesRegex(TestbedError, "cpuset"):
            cgroup.controllers_to_delegate()


class Images(WithState):
    ENTRIES = [
        Entry(b"etc", "directory", mode=0o750, uid=7),
        Entry(b"etc/new\nline \xff", content=b"x", uid=1234, gid=5678),
        Entry(b"etc/" + b"long" * 60, "symlink", target=b"\xfe"),
    ]

    def test_same_input_same_bytes(self) -> None:
        for name in ("one", "two"):
            build(Image("x.test/x:1"), self.ENTRIES, self.place / name)
        self.assertEqual((self.place / "one").read_bytes(), (self.place / "two").read_bytes())

    def test_names_owners_and_modes_are_kept(self) -> None:
        build(Image("x.test/x:1"), self.ENTRIES, self.place / "image")
        with tarfile.open(self.place / "image") as archive:
            blobs = [member for member in archive if member.name.startswith("blobs/")]
            content = archive.extractfile(max(blobs, key=lambda member: member.size))
            assert content is not None
            layer = tarfile.open(fileobj=BytesIO(content.read()), encoding="utf-8", errors="surrogateescape")
        found = {m.name.encode("utf-8", "surrogateescape"): m for m in layer}
        self.assertEqual(set(found), {entry.path for entry in self.ENTRIES})
        odd = found[b"etc/new\nline \xff"]
        self.assertEqual((odd.uid, odd.gid, odd.size, odd.mtime), (1234, 5678, 1, 0))


if __name__ == "__main__":
    unittest.main()

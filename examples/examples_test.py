"""The examples fit together, and the demo's tree is as odd and as deterministic as it says."""

from __future__ import annotations

import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).resolve().parent
BUSYBOX = "/bin/busybox"


def load(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


def by_kind(name: str, kind: str) -> dict[str, Any]:
    (found,) = [document for document in load(name) if document["kind"] == kind]
    return found


def make_tree(root: Path, pod: str, mib: int = 4) -> str:
    """Runs the workload's own script, and returns the listing that restores are compared by."""
    script = by_kind("demo/workload.yaml", "ConfigMap")["data"]["make-tree.sh"]
    data = root / "data"
    data.mkdir(parents=True)
    subprocess.run([BUSYBOX, "sh", "-s", "--", str(data), pod, str(mib)], input=script, text=True, check=True)
    return listing(root)


def listing(root: Path) -> str:
    script = EXAMPLES / "demo/checksums.sh"
    result = subprocess.run([BUSYBOX, "sh", str(script), "data/etc", "data/log"], cwd=root, capture_output=True, text=True, check=True)
    return result.stdout


class Examples(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def test_everything_is_in_one_namespace_that_the_vault_lets_in(self) -> None:
        namespace = by_kind("demo/workload.yaml", "Namespace")["metadata"]
        objects = [o for name in ("demo/workload.yaml", "gatherer.yaml", "backupjob.yaml") for o in load(name)]
        self.assertEqual({o["metadata"]["namespace"] for o in objects if o["kind"] != "Namespace"}, {namespace["name"]})
        wanted = by_kind("backupvault.yaml", "BackupVault")["spec"]["allowedNamespaces"]["selector"]["matchLabels"]
        self.assertLessEqual(wanted.items(), namespace["labels"].items())

    def test_the_job_selects_the_workload_and_its_mounts(self) -> None:
        template = by_kind("demo/workload.yaml", "StatefulSet")["spec"]["template"]
        mounts = [mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]]
        for source in by_kind("backupjob.yaml", "BackupJob")["spec"]["sources"]:
            self.assertLessEqual(source["files"]["selector"]["matchLabels"].items(), template["metadata"]["labels"].items())
            for path in source["files"]["paths"]:
                self.assertTrue(any(path.startswith(mount + "/") for mount in mounts), path)

    def test_the_job_of_logs_selects_the_workload(self) -> None:
        template = by_kind("demo/workload.yaml", "StatefulSet")["spec"]["template"]
        (source,) = by_kind("logs.yaml", "BackupJob")["spec"]["sources"]
        self.assertLessEqual(source["logs"]["selector"]["matchLabels"].items(), template["metadata"]["labels"].items())

    def test_the_gatherer_may_read_pods_and_their_logs_and_exec_and_nothing_else(self) -> None:
        rules = by_kind("gatherer.yaml", "Role")["rules"]
        self.assertEqual(
            rules,
            [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
                {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            ],
        )

    def test_a_pods_tree_is_always_the_same_and_another_pods_is_not(self) -> None:
        first = make_tree(self.directory / "a", "demo-app-0")
        self.assertEqual(first, make_tree(self.directory / "b", "demo-app-0"))
        self.assertNotEqual(first, make_tree(self.directory / "c", "demo-app-1"))

    def test_the_tree_has_what_backups_stumble_over(self) -> None:
        make_tree(self.directory / "a", "demo-app-0")
        base = os.fsencode(self.directory / "a/data/etc")
        paths = [os.path.join(d, name) for d, dirs, files in os.walk(base) for name in dirs + files]
        names = [os.path.basename(path) for path in paths]
        self.assertTrue(any(name.startswith(b"-") for name in names), "leading dash")
        for oddity in (b" ", b"\n", b"\t", b"'", b'"', b"`", b"\\", b"*", "日本語".encode(), b"\xe9"):
            self.assertTrue(any(oddity in name for name in names), oddity)
        self.assertTrue(any(len(path) - len(base) > 255 for path in paths), "long path")
        self.assertTrue(any(os.path.islink(path) and not os.path.exists(path) for path in paths), "dangling link")
        self.assertTrue(any(os.path.isdir(path) and not os.listdir(path) for path in paths), "empty directory")
        self.assertTrue(any(os.path.isfile(path) and os.path.getsize(path) == 0 for path in paths), "empty file")

    def test_the_listing_tells_a_changed_byte_mode_name_and_link(self) -> None:
        before = make_tree(self.directory / "a", "demo-app-0")
        base = self.directory / "a/data/etc/app"
        changes = [
            lambda: (base / "run.sh").write_text("#!/bin/sh\nexit 1\n"),
            lambda: (base / "app.ini").chmod(0o600),
            lambda: (base / "empty").rename(base / "empty "),
            lambda: ((base / "dangling").unlink(), (base / "dangling").symlink_to("elsewhere")),
        ]
        for change in changes:
            change()
            after = listing(self.directory / "a")
            self.assertNotEqual(before, after)
            before = after

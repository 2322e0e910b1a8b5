"""The controller's image: reproducible, and nothing in it but the program and what it needs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

BUILDER = Path(__file__).resolve().parent / "controller.py"
# Any dynamic program does; the controller need not be built for this.
PROGRAM = Path("/bin/true")


def build(out: Path, umask: int = 0o022) -> bytes:
    subprocess.run(
        [sys.executable, str(BUILDER), "--binary", str(PROGRAM), "--out", str(out), "--name", "drawbridge.dev/controller:test"],
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.umask(umask) and None,
    )
    return out.read_bytes()


class Image(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def test_two_builds_give_the_same_bytes_whatever_the_umask(self) -> None:
        self.assertEqual(build(self.directory / "a.tar"), build(self.directory / "b.tar", umask=0o077))

    def test_it_runs_the_program_as_nobody_and_holds_nothing_else(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(build(self.directory / "a.tar"))) as archive:

            def read(name: str) -> bytes:
                file = archive.extractfile(name)
                assert file
                return file.read()

            (image,) = json.loads(read("manifest.json"))
            config = json.loads(read(image["Config"]))["config"]
            (layer,) = image["Layers"]
            with tarfile.open(fileobj=io.BytesIO(read(layer))) as root:
                members = {member.name: member for member in root.getmembers() if not member.isdir()}
        self.assertEqual(image["RepoTags"], ["drawbridge.dev/controller:test"])
        self.assertEqual((config["Entrypoint"], config["User"]), (["/drawbridge-controller"], "65532:65532"))
        plain = {name for name in members if ".so" not in name}
        expected = {"drawbridge-controller", "etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}
        self.assertEqual(plain, expected)
        self.assertTrue([name for name in members if "ld-linux" in name], "the loader is missing")
        for member in members.values():
            self.assertEqual((member.uid, member.gid, member.mtime), (0, 0, 0))
            self.assertFalse(member.mode & 0o6022, f"{member.name} is writable by others or setuid")

#!/usr/bin/env python3
"""Builds the controller's container image without Docker: the program, the shared libraries it names, the CA certificates.

The image has no shell, no package manager and no other program, so that there is nothing in it to run but the controller.
The same program and libraries give the same bytes: the file's digest is the build's identity, and CI compares two builds.

    python3 images/controller.py --binary target/release/drawbridge-controller --out controller.tar
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MKIMAGE = ROOT / "testbed/images/mkimage.py"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PROGRAM = "drawbridge-controller"
USER = 65532

# What libc's resolver and getpwuid look for.
FILES = {
    "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nnonroot:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class ImageError(Exception):
    """What stops the build, in a sentence for the person who started it."""


def needed_libraries(binary: Path) -> list[Path]:
    """The loader and the shared libraries of a dynamic program, at the paths where it will look for them."""
    result = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if result.returncode != 0:
        if "not a dynamic executable" in result.stdout + result.stderr:
            return []
        raise ImageError(f"ldd cannot read {binary}: {result.stderr.strip()}")
    libraries = []
    for line in result.stdout.splitlines():
        name, arrow, target = (part.strip() for part in line.partition("=>"))
        if arrow and target == "not found":
            raise ImageError(f"{binary} needs {name}, which this machine does not have; build the program here")
        path = (target if arrow else name).split(" (")[0]
        # linux-vdso has no file: the kernel maps it.
        if path.startswith("/"):
            libraries.append(Path(path))
    return sorted(libraries)


def place(source: Path, root: Path, target: str, mode: int) -> None:
    """Copies the content, not the link: `libc.so.6` is looked up by that name."""
    path = root / target.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.resolve(), path)
    path.chmod(mode)


def fill(root: Path, binary: Path) -> None:
    """Makes the image's file system below `root`."""
    if not CERTIFICATES.exists():
        raise ImageError(f"{CERTIFICATES} is missing: install the package ca-certificates")
    place(binary, root, PROGRAM, 0o755)
    for library in needed_libraries(binary):
        place(library, root, str(library), 0o755)
    place(CERTIFICATES, root, str(CERTIFICATES), 0o644)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    # The builder's umask must not reach the image.
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o755)


def version() -> str:
    """The version of the workspace: the chart's default tag is the same."""
    with open(ROOT / "Cargo.toml", "rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


def build(binary: Path, out: Path, name: str) -> str:
    """Writes the image's archive and returns its sha256."""
    if not binary.is_file():
        raise ImageError(f"{binary} is no file: build it with `cargo build --release`")
    with tempfile.TemporaryDirectory(prefix="drawbridge-image-") as directory:
        root = Path(directory) / "root"
        root.mkdir()
        fill(root, binary)
        subprocess.run(
            [sys.executable, str(MKIMAGE), name, str(out), str(root), "--entrypoint", f"/{PROGRAM}", "--user", f"{USER}:{USER}"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
    with open(out, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the controller's program")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write: an OCI layout that `docker load` takes too")
    parser.add_argument("--name", default=f"drawbridge.dev/controller:{version()}", help="the image's name and tag")
    arguments = parser.parse_args()
    try:
        digest = build(arguments.binary, arguments.out, arguments.name)
    except (ImageError, subprocess.CalledProcessError) as error:
        print(f"images/controller.py: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.name} {arguments.out} sha256:{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

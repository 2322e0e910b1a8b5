#!/usr/bin/env python3
"""Builds a one-layer container image without Docker: same input, same bytes.

The result is an OCI layout that also carries docker's manifest.json, so containerd, podman and docker all load it.
Owners, modes and names are given, not taken from the machine that builds: a path may be any bytes, a file's time is
always 0. As a program:

    mkimage.py NAME:TAG OUT.tar ROOTDIR [--entrypoint A]... [--cmd A]... [--env K=V]... [--user U] [--workdir D]
               [--label K=V]... [--own PATH=UID:GID]... [--mode PATH=0755]...
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Iterable, Iterator, Literal

MEDIA_TYPE = "application/vnd.oci.image"
EPOCH = "1970-01-01T00:00:00Z"
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One thing in the image. `path` is relative to the root; any bytes but NUL will do."""

    path: bytes
    kind: Literal["file", "directory", "symlink", "hardlink"] = "file"
    content: bytes | Path = b""
    target: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Image:
    """What an image is called and how it runs."""

    name: str
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    user: str = ""
    directory: str = "/"

    def config(self) -> dict[str, Any]:
        """The part of the image's config that a runtime reads; empty settings are left out."""
        settings: dict[str, Any] = {"Env": [SEARCH_PATH, *self.environment], "WorkingDir": self.directory}
        for key, value in (
            ("Entrypoint", self.entrypoint),
            ("Cmd", self.command),
            ("Labels", self.labels),
            ("User", self.user),
        ):
            if value:
                settings[key] = value
        return settings


def tree(root: Path) -> Iterator[Entry]:
    """The entries of a directory, in byte order of their paths, owned by root; hard links stay hard links."""
    top = os.fsencode(root)
    seen: dict[tuple[int, int], bytes] = {}
    for directory, directories, files in os.walk(top):
        directories.sort()
        for name in sorted(directories + files):
            full = os.path.join(directory, name)
            path = os.path.relpath(full, top)
            about = os.lstat(full)
            mode = stat.S_IMODE(about.st_mode)
            if stat.S_ISLNK(about.st_mode):
                yield Entry(path, "symlink", target=os.readlink(full), mode=0o777)
            elif stat.S_ISDIR(about.st_mode):
                yield Entry(path, "directory", mode=mode)
            elif not stat.S_ISREG(about.st_mode):
                raise ValueError(f"{os.fsdecode(full)} is neither a file, a directory nor a link")
            elif (about.st_dev, about.st_ino) in seen:
                yield Entry(path, "hardlink", target=seen[about.st_dev, about.st_ino], mode=mode)
            else:
                if about.st_nlink > 1:
                    seen[about.st_dev, about.st_ino] = path
                yield Entry(path, content=Path(os.fsdecode(full)), mode=mode)


TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}


def _write_layer(entries: Iterable[Entry], file: IO[bytes]) -> None:
    """GNU format: it stores a name's bytes as they are, whatever their encoding, and any length."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as layer:
        for entry in entries:
            about = tarfile.TarInfo(entry.path.decode("utf-8", "surrogateescape"))
            about.type = TAR_TYPES[entry.kind]
            about.linkname = entry.target.decode("utf-8", "surrogateescape")
            about.mode, about.uid, about.gid = entry.mode, entry.uid, entry.gid
            if entry.kind != "file":
                layer.addfile(about)
            elif isinstance(entry.content, Path):
                with open(entry.content, "rb") as content:
                    about.size = os.fstat(content.fileno()).st_size
                    layer.addfile(about, content)
            else:
                about.size = len(entry.content)
                layer.addfile(about, io.BytesIO(entry.content))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{MEDIA_TYPE}.{kind}", "digest": f"sha256:{digest}", "size": size}


def _blob_path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def build(image: Image, entries: Iterable[Entry], out: Path) -> str:
    """Writes the image to `out` and returns its manifest's digest. The layer goes through a file, not memory."""
    with tempfile.TemporaryFile(dir=out.parent) as layer_file:
        _write_layer(entries, layer_file)
        size = layer_file.tell()
        layer_file.seek(0)
        layer = _descriptor("layer.v1.tar", hashlib.file_digest(layer_file, "sha256").hexdigest(), size)
        config_bytes = _json(
            {
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "created": EPOCH,
                "config": image.config(),
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
                "history": [{"created": EPOCH, "created_by": "mkimage"}],
            }
        )
        config = _descriptor("config.v1+json", hashlib.sha256(config_bytes).hexdigest(), len(config_bytes))
        manifest_kind = "manifest.v1+json"
        manifest_bytes = _json(
            {"schemaVersion": 2, "mediaType": f"{MEDIA_TYPE}.{manifest_kind}", "config": config, "layers": [layer]}
        )
        manifest = _descriptor(manifest_kind, hashlib.sha256(manifest_bytes).hexdigest(), len(manifest_bytes))
        _write_archive(image.name, manifest, manifest_bytes, config, config_bytes, layer, layer_file, out)
    return str(manifest["digest"])


def _write_archive(
    name: str,
    manifest: dict[str, Any],
    manifest_bytes: bytes,
    config: dict[str, Any],
    config_bytes: bytes,
    layer: dict[str, Any],
    layer_file: IO[bytes],
    out: Path,
) -> None:
    tag = name.rpartition(":")[2]
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    small = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [{**manifest, "annotations": annotations}]}),
        "manifest.json": _json(
            [{"Config": _blob_path(config), "RepoTags": [name], "Layers": [_blob_path(layer)]}]
        ),
        _blob_path(config): config_bytes,
        _blob_path(manifest): manifest_bytes,
    }
    draft = out.with_name(f"{out.name}.{os.getpid()}.new")
    with tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(small):
            about = tarfile.TarInfo(path)
            about.size = len(small[path])
            archive.addfile(about, io.BytesIO(small[path]))
        about = tarfile.TarInfo(_blob_path(layer))
        about.size = int(layer["size"])
        layer_file.seek(0)
        archive.addfile(about, layer_file)
    draft.replace(out)


def _pairs(given: list[str], option: str) -> dict[bytes, str]:
    """`PATH=VALUE` options. The last '=' separates, since a path may have one."""
    found = {}
    for text in given:
        path, separator, value = text.rpartition("=")
        if not separator:
            raise SystemExit(f"mkimage.py: {option} {text!r}: give PATH=VALUE")
        found[os.fsencode(path.strip("/"))] = value
    return found


def _adjusted(entries: Iterable[Entry], owners: dict[bytes, str], modes: dict[bytes, str]) -> Iterator[Entry]:
    unused = {*owners, *modes}
    for entry in entries:
        unused.discard(entry.path)
        uid, _, gid = owners.get(entry.path, "0:0").partition(":")
        mode = int(modes[entry.path], 8) if entry.path in modes else entry.mode
        yield Entry(entry.path, entry.kind, entry.content, entry.target, mode, int(uid), int(gid or uid))
    if unused:
        raise SystemExit(f"mkimage.py: --own or --mode names what is not there: {sorted(map(os.fsdecode, unused))}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="mkimage.py", description="one-layer container image without Docker")
    parser.add_argument("name", help="NAME:TAG")
    parser.add_argument("out", type=Path)
    parser.add_argument("root", type=Path)
    for option in ("entrypoint", "cmd", "env", "label", "own", "mode"):
        parser.add_argument(f"--{option}", action="append", default=[])
    parser.add_argument("--user", default="")
    parser.add_argument("--workdir", default="/")
    given = parser.parse_args()
    image = Image(
        given.name,
        entrypoint=given.entrypoint,
        command=given.cmd,
        environment=given.env,
        labels=dict(label.split("=", 1) for label in given.label),
        user=given.user,
        directory=given.workdir,
    )
    owners, modes = _pairs(given.own, "--own"), _pairs(given.mode, "--mode")
    print(build(image, _adjusted(tree(given.root), owners, modes), given.out))


if __name__ == "__main__":
    main()

"""Programs of this machine as the contents of an image, with the libraries that they load."""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed.common.shell import run

from .mkimage import Entry


def programs(*names: str) -> list[Entry]:
    """Each program in /usr/bin, its libraries where it looks for them, and /data and /tmp to write to."""
    entries = {b"data": Entry(b"data", "directory", mode=0o777), b"tmp": Entry(b"tmp", "directory", mode=0o1777)}
    for name in names:
        found = shutil.which(name)
        if found is None:
            raise SystemExit(f"this machine has no {name}: apt-get install {name}")
        program = Path(found).resolve()
        path = f"usr/bin/{name}".encode()
        entries[path] = Entry(path, content=program, mode=0o755)
        for word in run("ldd", str(program)).split():
            if word.startswith("/"):
                path = word[1:].encode()
                entries[path] = Entry(path, content=Path(word).resolve(), mode=0o755)
    return list(entries.values())

"""Running other programs to their end, with errors that show what was run and what it said."""

from __future__ import annotations

import shlex
import subprocess
import time
from typing import Callable, Mapping, Sequence

from .errors import TestbedError


class CommandFailed(TestbedError):
    """A program ended with an exit code other than zero."""


def run(
    *argv: str,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = 60,
) -> str:
    """Runs a program and gives back its standard output; raises CommandFailed with what it said otherwise."""
    try:
        done = subprocess.run(
            argv,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            env=environment,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"`{argv[0]}` is not installed or not in PATH") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{shlex.join(argv)}` did not end within {timeout} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise CommandFailed(f"`{shlex.join(argv)}` ended with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def succeeds(*argv: str) -> bool:
    """Whether a program ends with zero; its output is dropped."""
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def wait_until(
    what: str,
    condition: Callable[[], bool],
    *,
    seconds: float,
    meanwhile: Callable[[], None] | None = None,
    every: float = 0.03,
) -> None:
    """Waits for a condition with a deadline. `meanwhile` runs between tries and may raise (a daemon ended, say)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if meanwhile is not None:
            meanwhile()
        if time.monotonic() > deadline:
            raise TestbedError(f"{what}: not so after {seconds:g} s")
        time.sleep(every)


def inside(prefix: Sequence[str]) -> Callable[..., str]:
    """`run` with a prefix, such as the command that enters a node's namespaces."""

    def run_inside(*argv: str, **options: object) -> str:
        return run(*prefix, *argv, **options)  # type: ignore[arg-type]

    return run_inside

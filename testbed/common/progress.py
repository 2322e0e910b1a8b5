"""Progress lines on stderr, with the seconds since the testbed began to boot.

The start is handed to child programs in the environment, so that both halves of a boot count from the same moment.
"""

from __future__ import annotations

import os
import sys
import time

STARTED_VARIABLE = "DRAWBRIDGE_TESTBED_STARTED"


def _started() -> float:
    """Unix time of the boot's start; the first caller decides it for itself and its children."""
    return float(os.environ.setdefault(STARTED_VARIABLE, repr(time.time())))


def begin() -> None:
    """Starts the clock, unless a parent program has."""
    _started()


def say(message: str) -> None:
    """`[  3.2 s] apiserver ready`, in one write, so that lines of parallel programs do not mix."""
    started = _started()
    line = f"[{time.time() - started:5.1f} s] {message}\n"
    sys.stderr.write(line)
    sys.stderr.flush()

"""The one error that the testbed shows to people: a sentence that names the thing and says what to do."""

from __future__ import annotations

import sys
from typing import Callable


class TestbedError(Exception):
    """Something that a person can understand and act on; anything else is a bug and keeps its trace."""


def main_wrapper(program: str, main: Callable[[], int]) -> None:
    """Runs `main`, turning a TestbedError into one line on stderr and exit code 1."""
    try:
        sys.exit(main())
    except TestbedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{program}: interrupted; `down` removes what was made so far", file=sys.stderr)
        sys.exit(130)

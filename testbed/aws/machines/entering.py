"""Sockets of another network namespace. A thread's namespace is its own, and ends with it; a socket keeps the one that it was
made in."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Callable, TypeVar

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def enter(namespace: str) -> None:
    """Moves the calling thread, and it alone."""
    library = ctypes.CDLL("libc.so.6", use_errno=True)
    with open(f"/run/netns/{namespace}") as handle:
        if library.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"entering the namespace {namespace}: {os.strerror(ctypes.get_errno())}")


def within(namespace: str, make: Callable[[], T]) -> T:
    """What `make` gives when it runs in the namespace."""
    made: list[T] = []
    failed: list[BaseException] = []

    def inside() -> None:
        try:
            enter(namespace)
            made.append(make())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]

"""The account owner's key is the one that this run made, and its signature counts. The neighbour, another account's owner,
has his account's number for a key, and the same secret.

ministack takes "test" and every account number for a root key, and checks no root key's signature: whoever knew the
emulator would be root, and every refusal worthless.
"""

from __future__ import annotations

import os

from ministack.core import iam_evaluator as evaluator
from ministack.services import sts

from ..layout import NEIGHBOUR_ACCOUNT


def _is_root(access_key: str) -> bool:
    """A call of the emulator's own carries no key; requests without one are told apart before (anonymous)."""
    return not access_key or access_key in (os.environ["AWS_ACCESS_KEY_ID"], NEIGHBOUR_ACCOUNT)


def install() -> None:
    evaluator.is_root_access_key = sts.is_root_access_key = _is_root
    # This one decides whose signatures are not looked at.
    evaluator._is_root_key = lambda access_key: not access_key

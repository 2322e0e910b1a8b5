"""All rows, by where they can be tried."""

from __future__ import annotations

from tests.attacks.attack import Attack
from tests.attacks.catalogue import box_role, neighbour, operator_token, wire


def policies() -> list[Attack]:
    """By identities of the account, on a `tests.attacks.ground.Ground`."""
    return [attack for module in (operator_token, box_role, neighbour, wire) for attack in module.attacks()]

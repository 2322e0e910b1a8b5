"""All rows, by where they can be tried."""

from __future__ import annotations

from tests.attacks.attack import Attack
from tests.attacks.catalogue import box_role, neighbour, operator_token, tokens, user_data, wire

WITHOUT_A_CLUSTER = (operator_token, box_role, neighbour, wire, user_data)


def identities(kubernetes: bool) -> list[Attack]:
    """Of identities in the account, on a `tests.attacks.ground.Ground`. Tokens need a cluster that mints them."""
    modules = (*WITHOUT_A_CLUSTER, tokens) if kubernetes else WITHOUT_A_CLUSTER
    return [attack for module in modules for attack in module.attacks()]

"""What a box boots from: whoever may read an instance's user data fetches the orders, and has the URL for its report."""

from __future__ import annotations

from typing import Any

from tests.attacks.attack import Attack, Thief, asks
from tests.attacks.controls import Statement
from tests.attacks.documents import STATE_BUCKET
from tests.policy.catalogue.requests import presigned
from tests.policy.probe import Place

WHO = "whoever has the URL"


def attacks() -> list[Attack]:
    inside = Place.ENDPOINT
    once: dict[str, Any] = {"IfNoneMatch": "*"}
    outside = presigned("put_object", "ready/probe", Place.INTERNET, **once)
    as_the_box = presigned("put_object", "ready/probe", inside, **once)
    return [
        Attack(
            "user-data-reports-in-the-box-s-place",
            Thief.USER_DATA,
            asks(WHO, "s3:PutObject into ready/, presigned, from the internet", outside),
            "AccessDenied",
            asks(WHO, "the same from the private subnet, as the box sends it", as_the_box, inside),
            (Statement(STATE_BUCKET, "ReportsThroughTheEndpoint"),),
        )
    ]

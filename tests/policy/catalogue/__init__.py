"""All probes, by what they are about."""

from __future__ import annotations

from tests.policy.catalogue import (
    buckets,
    cleanup,
    create,
    endpoint,
    identity,
    jumpbox,
    operator,
    posture,
    receipt_key,
    settings,
    tls,
)
from tests.policy.probe import Probe


def everything() -> list[Probe]:
    """In the order in which they run: those that change the stack for a moment come last."""
    modules = (operator, jumpbox, create, cleanup, posture, receipt_key, buckets, settings, endpoint, tls, identity)
    return [probe for module in modules for family in module.families() for probe in family.checked()]

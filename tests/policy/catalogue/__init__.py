"""All probes, by what they are about."""

from __future__ import annotations

from tests.policy.catalogue import buckets, cleanup, create, endpoint, jumpbox, operator, posture, settings, tls
from tests.policy.probe import Probe


def everything() -> list[Probe]:
    """In the order in which they run: those that change the stack for a moment come last."""
    modules = (operator, jumpbox, create, cleanup, posture, buckets, settings, endpoint, tls)
    return [probe for module in modules for family in module.families() for probe in family.checked()]

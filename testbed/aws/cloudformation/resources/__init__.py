"""How each type of resource is made. `KINDS` is all that this interpreter knows."""

from __future__ import annotations

from testbed.aws.cloudformation.resources import compute, dns, identity, keys, network, storage, watching
from testbed.aws.cloudformation.resources.kind import Kind

PARTS = (network.KINDS, dns.KINDS, storage.KINDS, identity.KINDS, keys.KINDS, compute.KINDS, watching.KINDS)
KINDS: dict[str, Kind] = {name: kind for kinds in PARTS for name, kind in kinds.items()}

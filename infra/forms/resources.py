"""How each type of resource is made in Terraform. `KINDS` is all that the translation knows."""

from __future__ import annotations

from infra.forms import compute, dns, identity, network, storage, watching
from infra.forms.kind import Kind

PARTS = (network.KINDS, dns.KINDS, storage.KINDS, identity.KINDS, compute.KINDS, watching.KINDS)
KINDS: dict[str, Kind] = {name: kind for kinds in PARTS for name, kind in kinds.items()}
TYPES = {name: (kind.type, kind.reference, kind.attributes) for name, kind in KINDS.items()}

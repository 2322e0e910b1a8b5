"""How each type of resource is made in Terraform. `KINDS` is all that the translation knows."""

from __future__ import annotations

from infra.forms import compute, identity, network, storage, watching
from infra.forms.kind import Kind

KINDS: dict[str, Kind] = {**network.KINDS, **storage.KINDS, **identity.KINDS, **compute.KINDS, **watching.KINDS}
TYPES = {name: (kind.type, kind.reference, kind.attributes) for name, kind in KINDS.items()}

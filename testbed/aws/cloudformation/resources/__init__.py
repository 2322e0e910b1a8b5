"""How each type of resource is made. `KINDS` is all that this interpreter knows."""

from __future__ import annotations

from testbed.aws.cloudformation.resources import compute, identity, network, storage, watching
from testbed.aws.cloudformation.resources.kind import Kind

KINDS: dict[str, Kind] = {**network.KINDS, **storage.KINDS, **identity.KINDS, **compute.KINDS, **watching.KINDS}

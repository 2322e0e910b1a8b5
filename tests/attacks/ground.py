"""The account as thieves see it: the probes' world, and the stack of another cluster beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testbed.aws.cloudformation.stack import Stack
from tests.attacks.documents import OWN
from tests.policy.options import deploy
from tests.policy.world import World

NEIGHBOUR_CLUSTER = "neighbour"
# Its operator has a key alone: the run's issuer and cluster speak for the first stack's.
PARAMETERS = {"ClusterName": NEIGHBOUR_CLUSTER, "OidcIssuer": "", "EksCluster": ""}


class Ground(World):
    """Identities besides the world's: neighbour-operator, neighbour-create, neighbour-cleanup, neighbour-box."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        super().__init__(run_id, stack_file)
        target = stack_file.with_name("stack-neighbour.json")
        if not target.exists():
            deploy(run_id, stack_file, target, PARAMETERS, {})
        self._neighbour = Stack.load(target)

    @contextlib.contextmanager
    def set_up(self) -> Iterator[Ground]:
        """Makes what attempts point at, and removes it."""
        with super().set_up():
            outputs, user = self._neighbour.outputs, self._neighbour.outputs["OperatorUser"]
            for who, output in (("create", "CreateRoleArn"), ("cleanup", "CleanupRoleArn"), ("box", "JumpBoxRoleArn")):
                self.meet(f"neighbour-{who}", outputs[output])
            self.meet_user("neighbour-operator", user)
            try:
                yield self
            finally:
                iam = self.client("iam", "root")
                for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
                    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])

    def outputs_of(self, stack: str) -> dict[str, str]:
        """`documents.OWN` or `documents.NEIGHBOUR`."""
        return self.outputs if stack == OWN else self._neighbour.outputs

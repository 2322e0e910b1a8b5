#!/usr/bin/env python3
"""The operator's three AWS identities, one after the other, in the real pod: check.py --run ID --stack stack.json

Each is seen to work (the vault is Ready, and AWS's own log says as whom its function was invoked), beside the same with
something wrong that must not. Which tokens AWS believes is asked one by one in tests/policy/catalogue/identity.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common import run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.shell import run as shell, wait_until  # noqa: E402
from testbed.kubernetes import binaries  # noqa: E402
from tests.policy.world import World  # noqa: E402

NAMESPACE, VAULT, DEPLOYMENT = "drawbridge-system", "default", "drawbridge"
CHART = str(Path(__file__).resolve().parents[2] / "charts" / "drawbridge")
TOKENS, VOLUME = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", "eks-pod-identity-token"
Json = dict[str, Any]


class Bed:
    """The installed operator, and who AWS says that it is."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        run = runs.load(run_id)
        facts = json.loads((run.dir / "testbed.json").read_text())
        self.values, self._kubeconfig = run.dir / "values.json", facts["kubernetes"]["kubeconfig"]
        self._audit = Path(facts["aws"]["audit_log"])
        self.world = World(run_id, stack_file)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return shell(binaries.path("kubectl"), f"--kubeconfig={self._kubeconfig}", *words, stdin=stdin.encode())

    def helm(self, *words: str) -> None:
        """The chart with the run's values and these besides."""
        fixed = ("upgrade", "drawbridge", CHART, "--namespace", NAMESPACE, "--values", str(self.values), "--wait")
        shell(binaries.path("helm"), f"--kubeconfig={self._kubeconfig}", *fixed, *words, timeout=180)
        self.settled()

    def restarted(self) -> None:
        """A new process, whose credentials are nobody's earlier ones."""
        self.kubectl("rollout", "restart", "-n", NAMESPACE, f"deployment/{DEPLOYMENT}")
        self.settled()

    def settled(self) -> None:
        """The new pod is ready and the one before it is gone, so that nobody else answers for it."""
        words = ("rollout", "status", "-n", NAMESPACE, f"deployment/{DEPLOYMENT}", "--timeout=120s")
        shell(binaries.path("kubectl"), f"--kubeconfig={self._kubeconfig}", *words, timeout=150)
        pods = ("get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=controller", "-o", "name")
        wait_until("one pod is left", lambda: len(self.kubectl(*pods).split()) == 1, seconds=60, every=0.3)

    def patch(self, content: Json) -> None:
        self.kubectl("patch", "-n", NAMESPACE, f"deployment/{DEPLOYMENT}", "--type=strategic", "-p", json.dumps(content))
        self.settled()

    def asked(self) -> tuple[dict[str, Json], list[str]]:
        """The vault's conditions after the operator has asked its function anew, and as whom AWS saw it invoked since."""
        before = len(self._audit.read_text().splitlines())
        sessions = json.loads(self.kubectl("get", "backupvault", VAULT, "-o", "json"))["spec"]["maxConcurrentSessions"]
        change = json.dumps({"spec": {"maxConcurrentSessions": 4 if sessions != 4 else 5}})
        self.kubectl("patch", "backupvault", VAULT, "--type=merge", "-p", change)
        found: Json = {}

        def current() -> bool:
            found.update(json.loads(self.kubectl("get", "backupvault", VAULT, "-o", "json")))
            return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

        wait_until("the operator has asked its vault", current, seconds=90, every=0.3)
        lines = [json.loads(line) for line in self._audit.read_text().splitlines()[before:]]
        # The schedule invokes, too; it has no ARN.
        invoked = [line["who"] for line in lines if line["action"] == "lambda:InvokeFunction" and _is_arn(line.get("who"))]
        return {condition["type"]: condition for condition in found["status"]["conditions"]}, invoked

    def warnings(self) -> list[str]:
        """Notes of the vault's warnings of a long-lived key."""
        events = json.loads(self.kubectl("get", "events.events.k8s.io", "-A", "-o", "json"))["items"]
        return [e["note"] for e in events if e["regarding"]["kind"] == "BackupVault" and e["reason"] == "StaticKey"]

    def log(self) -> str:
        return self.kubectl("logs", "-n", NAMESPACE, f"deployment/{DEPLOYMENT}")


def _is_arn(who: object) -> bool:
    return isinstance(who, str) and who.startswith("arn:")


def expect(holds: object, what: str, seen: object) -> None:
    if not holds:
        raise TestbedError(f"{what}; seen: {seen}")
    print(f"ok  {what}", flush=True)


def works(bed: Bed, how: str, keyless: str, who: str) -> None:
    conditions, invoked = bed.asked()
    expect(conditions["Ready"]["status"] == "True", f"{how}: the stack's functions answer", conditions["Ready"])
    expect(invoked and all(who in name for name in invoked), f"{how}: AWS sees {who}", invoked)
    expect(conditions["Keyless"]["reason"] == keyless, f"{how}: Keyless says {keyless}", conditions["Keyless"])


def refused(bed: Bed, how: str, said: str) -> None:
    conditions, invoked = bed.asked()
    ready = conditions["Ready"]
    expect(ready["status"] == "False" and said in ready["message"], f"{how}: refused ({said})", ready)
    expect(not invoked, f"{how}: nothing is invoked", invoked)


def static_key(bed: Bed) -> None:
    works(bed, "a key", "StaticKey", ":user/drawbridge-")
    wait_until("an event warns of the key", lambda: bool(bed.warnings()), seconds=20, every=0.3)
    lines = [line for line in bed.log().splitlines() if "long-lived access key" in line]
    expect(len(lines) == 1, "a key: the log warns of it, once", lines)


def web_identity(bed: Bed) -> None:
    role = bed.world.outputs["OperatorRoleArn"]
    name = role.rpartition("/")[2]
    by_token = ("--set", "aws.credentialsSecret=", "--set", f"aws.webIdentity.roleArn={role}")
    bed.helm(*by_token)
    works(bed, "its token", "TemporaryCredentials", f":assumed-role/{name}/drawbridge")
    expect("long-lived access key" not in bed.log(), "its token: the log warns of nothing", "it does")
    bed.helm(*by_token, "--set", "aws.webIdentity.audience=somebody-else")
    refused(bed, "a token for another audience", "InvalidIdentityToken")


def pod_identity(bed: Bed) -> None:
    bed.helm("--set", "aws.credentialsSecret=", "--set", "aws.podIdentity=true")
    bed.patch(as_eks_does())
    role = bed.world.outputs["OperatorPodRoleArn"].rpartition("/")[2]
    works(bed, "EKS Pod Identity", "TemporaryCredentials", f":assumed-role/{role}/eks-testbed-drawbridge-")
    eks, cluster = bed.world.client("eks", "root"), bed.world.stack.parameters["EksCluster"]
    (association,) = eks.list_pod_identity_associations(clusterName=cluster)["associations"]
    eks.delete_pod_identity_association(clusterName=cluster, associationId=association["associationId"])
    try:
        bed.restarted()
        refused(bed, "EKS Pod Identity without an association", "StatusCode(404)")
    finally:
        eks.create_pod_identity_association(
            clusterName=cluster,
            namespace=association["namespace"],
            serviceAccount=association["serviceAccount"],
            roleArn=bed.world.outputs["OperatorPodRoleArn"],
        )


def as_eks_does(undone: bool = False) -> Json:
    """What EKS's webhook puts into a pod whose account has an association; or takes it out again, as patches write that."""
    gone = {"$patch": "delete"} if undone else {}
    token = {"audience": "pods.eks.amazonaws.com", "expirationSeconds": 86400, "path": "eks-pod-identity-token"}
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{TOKENS}/eks-pod-identity-token",
    }
    container = {
        "name": "controller",
        "env": [{"name": name, "value": value, **gone} for name, value in environment.items()],
        "volumeMounts": [{"name": VOLUME, "mountPath": TOKENS, "readOnly": True, **gone}],
    }
    volume = {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}, **gone}
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    arguments = parser.parse_args()
    bed, begun = Bed(arguments.run, arguments.stack), time.monotonic()
    steps: tuple[Callable[[Bed], None], ...] = (static_key, web_identity, pod_identity)
    try:
        for step in steps:
            step(bed)
    finally:
        bed.patch(as_eks_does(undone=True))
        bed.helm()
    works(bed, "the key again", "StaticKey", ":user/drawbridge-")
    print(f"the operator's identities hold, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    main_wrapper("check.py", main)

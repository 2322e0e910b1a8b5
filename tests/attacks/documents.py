"""The policies of a deployed stack as they stand in the account, read and written by those who may change them there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
OWN, NEIGHBOUR = "own", "neighbour"


@dataclass(frozen=True)
class Document:
    """One policy of one stack. `read` and `write` get the ground and the stack's outputs."""

    file: str
    read_: Callable[[Any, dict[str, str]], Any]
    write_: Callable[[Any, dict[str, str], str], Any]
    # Whether its statements say to whom they apply.
    has_principal: bool = False
    stack: str = OWN

    @property
    def name(self) -> str:
        return self.file if self.stack == OWN else f"the other stack's {self.file}"

    def read(self, ground: Any) -> Json:
        found = self.read_(ground, ground.outputs_of(self.stack))
        document: Json = json.loads(found) if isinstance(found, str) else found
        return document

    def write(self, ground: Any, document: Json) -> None:
        self.write_(ground, ground.outputs_of(self.stack), json.dumps(document))

    def of_the_neighbour(self) -> Document:
        """The same of another cluster's stack in the account."""
        return Document(self.file, self.read_, self.write_, self.has_principal, NEIGHBOUR)


def _role(output: str, policy: str) -> Document:
    def named(outputs: dict[str, str]) -> dict[str, str]:
        return {"RoleName": outputs[output].rpartition("/")[2], "PolicyName": policy}

    return Document(
        f"{policy}.json",
        lambda ground, outputs: ground.client("iam", "root").get_role_policy(**named(outputs))["PolicyDocument"],
        lambda ground, outputs, text: ground.client("iam", "root").put_role_policy(**named(outputs), PolicyDocument=text),
    )


def _trust(output: str, name: str) -> Document:
    def role(outputs: dict[str, str]) -> str:
        return outputs[output].rpartition("/")[2]

    return Document(
        name,
        lambda ground, outputs: ground.client("iam", "root").get_role(RoleName=role(outputs))["Role"][
            "AssumeRolePolicyDocument"
        ],
        lambda ground, outputs, text: ground.client("iam", "root").update_assume_role_policy(
            RoleName=role(outputs), PolicyDocument=text
        ),
        has_principal=True,
    )


def _bucket(output: str, file: str) -> Document:
    """CloudFormation may change it; an administrator by himself may not."""
    return Document(
        file,
        lambda ground, outputs: ground.client("s3", "root").get_bucket_policy(Bucket=outputs[output])["Policy"],
        lambda ground, outputs, text: ground.client("s3", "cloudformation").put_bucket_policy(
            Bucket=outputs[output], Policy=text
        ),
        has_principal=True,
    )


def _read_operator(ground: Any, outputs: dict[str, str]) -> Any:
    iam, arn = ground.client("iam", "root"), outputs["OperatorPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def _write_operator(ground: Any, outputs: dict[str, str], text: str) -> None:
    """IAM keeps at most five versions."""
    iam, arn = ground.client("iam", "root"), outputs["OperatorPolicyArn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _read_endpoint(ground: Any, outputs: dict[str, str]) -> Any:
    found = ground.client("ec2", "root").describe_vpc_endpoints(VpcEndpointIds=[outputs["S3EndpointId"]])
    return found["VpcEndpoints"][0]["PolicyDocument"]


OPERATOR = Document("operator.json", _read_operator, _write_operator)
CREATE, CLEANUP, JUMPBOX = (
    _role(output, policy)
    for output, policy in (("CreateRoleArn", "create"), ("CleanupRoleArn", "cleanup"), ("JumpBoxRoleArn", "jumpbox"))
)
BOX_TRUST = _trust("JumpBoxRoleArn", "the box role's trust policy")
WEB_IDENTITY = _trust("OperatorRoleArn", "operator-web-identity.json")
POD_IDENTITY = _trust("OperatorPodRoleArn", "operator-pod-identity.json")
BACKUP_BUCKET = _bucket("BackupBucket", "backup-bucket.json")
STATE_BUCKET = _bucket("StateBucket", "state-bucket.json")
LOG_BUCKET = _bucket("LogBucket", "log-bucket.json")
ENDPOINT = Document(
    "endpoint.json",
    _read_endpoint,
    lambda ground, outputs, text: ground.client("ec2", "root").modify_vpc_endpoint(
        VpcEndpointId=outputs["S3EndpointId"], PolicyDocument=text
    ),
    has_principal=True,
)
RECEIPT_KEY = Document(
    "receipt-key.json",
    lambda ground, outputs: ground.client("kms", "root").get_key_policy(KeyId=outputs["ReceiptKeyArn"])["Policy"],
    lambda ground, outputs, text: ground.client("kms", "root").put_key_policy(
        KeyId=outputs["ReceiptKeyArn"], PolicyName="default", Policy=text
    ),
    has_principal=True,
)

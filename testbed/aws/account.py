"""Asks the local AWS, as the account's owner, what tests and the demo report.

    account.py leftovers --run ID --stack FILE         what sessions left, as JSON lists (all empty when nothing is left)
    account.py operator-actions --run ID --stack FILE  what the deployed policies allow the cluster's identity to do
    account.py exposure --run ID --stack FILE --session ID --instance ID
                     seconds from the box's report, which it puts when it listens, to the end of its machine's `running`
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import boto3

STATE = Path("/var/tmp/drawbridge")
# Outputs of the stack: what the operator is where it has no key.
OPERATOR_ROLES = ("OperatorRoleArn", "OperatorPodRoleArn")
# What stands in the state bucket on purpose, and the slots, which are counted apart.
STANDING = ("slots/", "closed/", "days/", "boot/program/", "baselines/", "sweeps/")


class Account:
    """Clients of one run's local AWS with the account owner's key."""

    def __init__(self, run: str, stack_file: Path) -> None:
        facts = json.loads((STATE / run / "testbed.json").read_text())["aws"]
        self.outputs: dict[str, str] = json.loads(stack_file.read_text())["outputs"]
        self._session = boto3.Session(
            aws_access_key_id=facts["root"]["access_key_id"],
            aws_secret_access_key=facts["root"]["secret_access_key"],
            region_name=facts["region"],
        )
        self._place = {"endpoint_url": facts["endpoint"], "verify": facts["ca_bundle"]}
        self.audit_log = Path(facts["audit_log"])

    def client(self, service: str) -> Any:
        return self._session.client(service, **self._place)


def leftovers(account: Account) -> dict[str, list[str]]:
    """Everything that only a session makes. Tombstones, the day's count and the sweeper's mark are meant to stay and are
    no leftovers."""
    ec2 = account.client("ec2")
    tagged = [{"Name": "tag-key", "Values": ["drawbridge:session"]}]
    reservations = ec2.describe_instances(Filters=tagged)["Reservations"]
    instances = [i for r in reservations for i in r["Instances"] if i["State"]["Name"] != "terminated"]
    private = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [account.outputs["VpcId"]]}])
    groups = ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]
    state = keys(account, account.outputs["StateBucket"])
    uploads = account.client("s3").list_multipart_uploads(Bucket=account.outputs["BackupBucket"]).get("Uploads", [])
    return {
        "instances": [f"{i['InstanceId']} ({i['State']['Name']})" for i in instances],
        "interfaces": [n["NetworkInterfaceId"] for n in private["NetworkInterfaces"]],
        "security_groups": [g["GroupId"] for g in groups],
        "slots": [k for k in state if k.startswith("slots/")],
        "state": [k for k in state if not k.startswith(STANDING)],
        "uploads": [u["Key"] for u in uploads],
    }


def keys(account: Account, bucket: str) -> list[str]:
    pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def operator_actions(account: Account) -> list[str]:
    """`action on resource` for every Allow in every policy of the operator's user, of its groups, and of its roles."""
    iam, user = account.client("iam"), account.outputs["OperatorUser"]
    documents = [
        iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"]
        for name in iam.list_user_policies(UserName=user)["PolicyNames"]
    ]
    attached = list(iam.list_attached_user_policies(UserName=user)["AttachedPolicies"])
    for group in iam.list_groups_for_user(UserName=user)["Groups"]:
        name = group["GroupName"]
        documents += [
            iam.get_group_policy(GroupName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_group_policies(GroupName=name)["PolicyNames"]
        ]
        attached += iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]
    for role in (account.outputs[name].rpartition("/")[2] for name in OPERATOR_ROLES if name in account.outputs):
        documents += [
            iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        attached += iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    for policy in attached:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
        documents.append(found["PolicyVersion"]["Document"])
    return sorted({line for document in documents for line in allowed(document)})


def exposure(account: Account, session: str, instance: str) -> float:
    """Both ends from the account's audit log, so that neither the cluster's word nor the box's is taken for it."""
    lines = [json.loads(line) for line in account.audit_log.read_text().splitlines()]
    granted = [line for line in lines if line["decision"] == "allow"]

    def moment(action: str, end: str) -> float:
        times = [line["time"] for line in granted if line["action"] == action and line["resource"].endswith(end)]
        if not times:
            raise SystemExit(f"the audit log {account.audit_log} has no granted {action} on ...{end}")
        return min(times)

    return moment("ec2:TerminateInstances", f"/{instance}") - moment("s3:PutObject", f"/ready/{session}.json")


def allowed(document: Any) -> list[str]:
    document = json.loads(document) if isinstance(document, str) else document
    lines = []
    for statement in as_list(document["Statement"]):
        if statement["Effect"] != "Allow":
            continue
        # NotAction and NotResource allow what they do not name; show them as they stand.
        actions = as_list(statement.get("Action", f"everything but {statement.get('NotAction')}"))
        resources = as_list(statement.get("Resource", f"everything but {statement.get('NotResource')}"))
        lines += [f"{a} on {str(r).rsplit(':', 1)[-1]}" for a in actions for r in resources]
    return lines


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["leftovers", "operator-actions", "exposure"])
    parser.add_argument("--session")
    parser.add_argument("--instance")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", required=True, type=Path)
    options = parser.parse_args()
    account = Account(options.run, options.stack)
    match options.what:
        case "leftovers":
            answer: Any = leftovers(account)
        case "operator-actions":
            answer = operator_actions(account)
        case _:
            answer = exposure(account, options.session, options.instance)
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

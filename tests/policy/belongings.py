"""What probes point at: objects, an instance with an interface and a group of this stack's, the same of another's.

All of it is made by the account's owner, is found again by name or tag, and can be removed at any time.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from testbed.aws.layout import EKS_CLUSTER, OTHER_EKS_CLUSTER
from testbed.common.shell import wait_until
from tests.policy.tokens import ACCOUNT, ELSEWHERE, NAMESPACE, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.policy.world import Credentials, World

ADMIN = "drawbridge-probe-admin"
ROLE = "drawbridge-probe-role"
DEPLOYER = "drawbridge-deployer"
BREAK_GLASS = "drawbridge-break-glass"
POWERFUL = (DEPLOYER, BREAK_GLASS)
BUCKET = "drawbridge-probe-elsewhere"
MARK = "drawbridge:probe"
FURTHER_AUDIENCE = "drawbridge-probe"
OTHER_STACK = "drawbridge-of-somebody-else"
SESSION = "0" * 32
DEADLINE = "2099-01-01T00:00:00Z"
# In the stack's VPC, beside its two subnets.
SIDE_CIDR = "10.0.3.0/24"

STATE_KEYS = (
    "slots/probe",
    "sessions/probe.json",
    "boot/probe/orders.json",
    "boot/program/probe",
    "ready/probe.json",
    "closed/probe",
    "baselines/probe",
    "sweeps/probe",
    "days/probe",
    "switch/probe",
    "elsewhere/probe",
)


class Belongings:
    """Made once for a run of probes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.own_instance = self.own_interface = self.own_group = self.side_instance = ""
        self.other_instance = self.other_interface = self.other_group = ""
        self.role_arn = self.open_key = ""
        # A key of the same kind beside the stack's, under KMS's own default policy: identities' policies decide.
        self.other_key = ""
        # Roles whose own policy allows everything, by name.
        self.powerful: dict[str, str] = {}

    def make(self) -> None:
        root = self._world.client
        # A sweep would take the instance below for a box that nobody knows.
        root("events", "root").disable_rule(Name=self._sweep())
        self._make_objects(root("s3", "root"))
        iam = root("iam", "root")
        iam.create_user(UserName=ADMIN)
        everything = {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}
        iam.put_user_policy(UserName=ADMIN, PolicyName="all", PolicyDocument=_policy(everything))
        anybody = {"Effect": "Allow", "Principal": {"AWS": self._world.stack.account}, "Action": "sts:AssumeRole"}
        made = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_policy(anybody))
        self.role_arn = made["Role"]["Arn"]
        for role in POWERFUL:
            made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=_policy(anybody))
            self.powerful[role] = made["Role"]["Arn"]
            iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=_policy(everything))

        anything = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
        key = root("kms", "root").create_key(Description=MARK, Policy=_policy(anything))["KeyMetadata"]
        self.open_key = key["Arn"]
        self.other_key = root("kms", "root").create_key(
            KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=[{"TagKey": MARK, "TagValue": "yes"}]
        )["KeyMetadata"]["Arn"]

        self._make_identities()

        self.own_group = self._group("own", self._world.stack.name)
        self.other_group = self._group("other", OTHER_STACK)
        self.own_interface = self._interface(self._world.stack.name)
        self.other_interface = self._interface(OTHER_STACK)
        self.own_instance = self._instance(self._world.stack.name)
        self.other_instance = self._instance(OTHER_STACK)
        self.side_instance = self._side_instance()
        ec2 = root("ec2", "root")
        wait_until("the probes' instances run", lambda: self._states(ec2) == {"running"}, seconds=30)

    def _make_identities(self) -> None:
        """What an administrator may have done that the operator's role must not trust: an audience more at the provider,
        other accounts associated with the role."""
        self._world.tokens.make()
        if not self._known_by_tokens():
            return
        further = {"OpenIDConnectProviderArn": self._provider(), "ClientID": FURTHER_AUDIENCE}
        self._world.client("iam", "root").add_client_id_to_open_id_connect_provider(**further)
        others = ((EKS_CLUSTER, NAMESPACE, OTHER), (EKS_CLUSTER, ELSEWHERE, ACCOUNT), (OTHER_EKS_CLUSTER, NAMESPACE, ACCOUNT))
        for cluster, namespace, account in others:
            self._world.client("eks", "root").create_pod_identity_association(
                clusterName=cluster,
                namespace=namespace,
                serviceAccount=account,
                roleArn=self._world.outputs["OperatorPodRoleArn"],
            )

    def _known_by_tokens(self) -> bool:
        """Whether the stack's operator has roles; a second stack beside it knows its operator by a key alone."""
        return "OidcProvider" in self._world.stack.resources

    def _provider(self) -> str:
        return str(self._world.stack.resources["OidcProvider"]["reference"])

    def admin_key(self) -> Credentials:
        key = self._world.client("iam", "root").create_access_key(UserName=ADMIN)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def tags(self, stack: str) -> list[dict[str, str]]:
        """What a session's things carry, and our mark."""
        tags = {"drawbridge:stack": stack, "drawbridge:session": SESSION, "drawbridge:deadline": DEADLINE, MARK: "yes"}
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    def image(self) -> str:
        """The image that the template chose."""
        variables = self._world.stack.resources["CreateFunction"]["properties"]["Environment"]["Variables"]
        return str(variables["DRAWBRIDGE_IMAGE_ID"])

    def remove(self) -> None:
        client = self._world.client
        self._remove_instances(client("ec2", "root"))
        self._remove_objects(client("s3", "root"))
        self._remove_identities(client("iam", "root"))
        if self.open_key:
            client("kms", "root").schedule_key_deletion(KeyId=self.open_key, PendingWindowInDays=7)
        self._remove_associations(client("eks", "root"))
        self._world.tokens.remove()
        self._remove_key(client("kms", "root"))
        client("events", "root").enable_rule(Name=self._sweep())

    def _sweep(self) -> str:
        return str(self._world.stack.resources["Sweep"]["reference"])

    def _make_objects(self, s3: Any) -> None:
        outputs = self._world.outputs
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
        for prefix in (f"clusters/{self._world.cluster}", "clusters/another"):
            s3.put_object(Bucket=outputs["BackupBucket"], Key=f"{prefix}/probe/existing", Body=b"x")
        for key in STATE_KEYS:
            s3.put_object(Bucket=outputs["StateBucket"], Key=key, Body=b"x")
        s3.put_object(Bucket=outputs["LogBucket"], Key="probe", Body=b"x")

    def _group(self, name: str, stack: str) -> str:
        return str(
            self._world.client("ec2", "root").create_security_group(
                GroupName=f"drawbridge-probe-{name}",
                Description="something for a probe to point at",
                VpcId=self._world.outputs["VpcId"],
                TagSpecifications=[{"ResourceType": "security-group", "Tags": self.tags(stack)}],
            )["GroupId"]
        )

    def _interface(self, stack: str) -> str:
        made = self._world.client("ec2", "root").create_network_interface(
            SubnetId=self._world.outputs["PrivateSubnetId"],
            Groups=[self._world.outputs["PrivateSecurityGroupId"]],
            TagSpecifications=[{"ResourceType": "network-interface", "Tags": self.tags(stack)}],
        )
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def _side_instance(self) -> str:
        """A machine behind the stack's S3 endpoint, in a subnet and a group that let plain HTTP out, as no box's do."""
        ec2, marked = self._world.client("ec2", "root"), [{"Key": MARK, "Value": "yes"}]
        subnet = ec2.create_subnet(
            VpcId=self._world.outputs["VpcId"],
            CidrBlock=SIDE_CIDR,
            TagSpecifications=[{"ResourceType": "subnet", "Tags": marked}],
        )["Subnet"]["SubnetId"]
        table = self._world.stack.resources["PrivateRouteTable"]["reference"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        # A new group lets everything out.
        group = ec2.create_security_group(
            GroupName="drawbridge-probe-side",
            Description="plain HTTP out",
            VpcId=self._world.outputs["VpcId"],
            TagSpecifications=[{"ResourceType": "security-group", "Tags": marked}],
        )["GroupId"]
        return self._machine(subnet, group, marked)

    def _instance(self, stack: str) -> str:
        """A machine with the box's profile and only a private side."""
        outputs = self._world.outputs
        return self._machine(outputs["PrivateSubnetId"], outputs["PrivateSecurityGroupId"], self.tags(stack))

    def _machine(self, subnet: str, group: str, tags: list[dict[str, str]]) -> str:
        profile = self._world.stack.resources["JumpBoxProfile"]["attributes"]["Arn"]
        made = self._world.client("ec2", "root").run_instances(
            ImageId=self.image(),
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Arn": profile},
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            InstanceInitiatedShutdownBehavior="terminate",
            NetworkInterfaces=[
                {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "DeleteOnTermination": True}
            ],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def _states(self, ec2: Any) -> set[str]:
        found = ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": [MARK]}])["Reservations"]
        states = {i["State"]["Name"] for reservation in found for i in reservation["Instances"]}
        return states - {"terminated"}

    def _remove_instances(self, ec2: Any) -> None:
        ours = [{"Name": "tag-key", "Values": [MARK]}]
        found = ec2.describe_instances(Filters=ours)["Reservations"]
        instances = [i["InstanceId"] for r in found for i in r["Instances"] if i["State"]["Name"] != "terminated"]
        if instances:
            ec2.terminate_instances(InstanceIds=instances)
            wait_until("the probes' instances end", lambda: not self._states(ec2), seconds=30)
        # `cleanup` hears of an instance's end too, and removes what carries its stack's tags at the same time.
        for interface in ec2.describe_network_interfaces(Filters=ours)["NetworkInterfaces"]:
            with _unless_gone():
                ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
        for group in ec2.describe_security_groups(Filters=ours)["SecurityGroups"]:
            with _unless_gone():
                ec2.delete_security_group(GroupId=group["GroupId"])
        for subnet in ec2.describe_subnets(Filters=ours)["Subnets"]:
            within = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
            for table in ec2.describe_route_tables(Filters=within)["RouteTables"]:
                for link in table["Associations"]:
                    if link.get("SubnetId") == subnet["SubnetId"]:
                        ec2.disassociate_route_table(AssociationId=link["RouteTableAssociationId"])
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])

    def _remove_objects(self, s3: Any) -> None:
        outputs = self._world.outputs
        for bucket in (outputs["BackupBucket"], outputs["StateBucket"], outputs["LogBucket"], BUCKET):
            with contextlib.suppress(s3.exceptions.NoSuchBucket):
                for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                    if "probe" in entry["Key"]:
                        s3.delete_object(Bucket=bucket, Key=entry["Key"])
                for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                    if "probe" in upload["Key"]:
                        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        with contextlib.suppress(s3.exceptions.NoSuchBucket):
            s3.delete_bucket(Bucket=BUCKET)

    def _remove_associations(self, eks: Any) -> None:
        for cluster in (EKS_CLUSTER, OTHER_EKS_CLUSTER):
            for found in eks.list_pod_identity_associations(clusterName=cluster)["associations"]:
                if (cluster, found["namespace"], found["serviceAccount"]) != (EKS_CLUSTER, NAMESPACE, ACCOUNT):
                    eks.delete_pod_identity_association(clusterName=cluster, associationId=found["associationId"])

    def _remove_key(self, kms: Any) -> None:
        if self.other_key:
            kms.schedule_key_deletion(KeyId=self.other_key, PendingWindowInDays=7)
            self.other_key = ""

    def _remove_identities(self, iam: Any) -> None:
        if self._known_by_tokens():
            iam.remove_client_id_from_open_id_connect_provider(
                OpenIDConnectProviderArn=self._provider(), ClientID=FURTHER_AUDIENCE
            )
        with contextlib.suppress(iam.exceptions.NoSuchEntityException):
            for key in iam.list_access_keys(UserName=ADMIN)["AccessKeyMetadata"]:
                iam.delete_access_key(UserName=ADMIN, AccessKeyId=key["AccessKeyId"])
            iam.delete_user_policy(UserName=ADMIN, PolicyName="all")
        for remove in (
            lambda: iam.delete_user(UserName=ADMIN),
            lambda: iam.delete_role(RoleName=ROLE),
            *(lambda role=role: iam.delete_role_policy(RoleName=role, PolicyName="all") for role in POWERFUL),
            *(lambda role=role: iam.delete_role(RoleName=role) for role in POWERFUL),
        ):
            with contextlib.suppress(iam.exceptions.NoSuchEntityException, ClientError):
                remove()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith(".NotFound"):
            raise


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

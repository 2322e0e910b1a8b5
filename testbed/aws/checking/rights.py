"""EC2 permissions as the policies of `create` and `cleanup` use them: tags on what is made, tags on what is touched, the passed role."""

from __future__ import annotations

from typing import Any

from testbed.aws.layout import REGION

from .kit import Bed, Checks, allow, until
from .stack import Stack


def authorization(bed: Bed, stack: Stack, checks: Checks) -> None:
    """Tag conditions and PassRole, as the policies of `create` and `cleanup` use them."""
    ours = {"StringEquals": {"aws:RequestTag/drawbridge:stack": "one"}}
    own = {"StringEquals": {"aws:ResourceTag/drawbridge:stack": "one"}}
    arn = f"arn:aws:ec2:{REGION}:*:"
    key = bed.user(
        "checks-creator",
        allow("ec2:Describe*"),
        allow(["ec2:CreateSecurityGroup"], f"{arn}security-group/*", Condition=ours),
        allow("ec2:CreateSecurityGroup", f"{arn}vpc/{stack.vpc}"),
        allow("ec2:CreateNetworkInterface", f"{arn}network-interface/*", Condition=ours),
        allow(
            "ec2:CreateNetworkInterface",
            [f"{arn}subnet/{stack.private_subnet}", f"{arn}security-group/{stack.private_group}"],
        ),
        allow(
            "ec2:RunInstances",
            [f"{arn}{kind}/*" for kind in ("instance", "volume", "network-interface")],
            Condition=ours,
        ),
        allow("ec2:RunInstances", [f"{arn}subnet/{stack.public_subnet}", f"arn:aws:ec2:{REGION}::image/*"]),
        allow("ec2:RunInstances", f"{arn}security-group/*", Condition=own),
        allow(
            "ec2:CreateTags",
            f"{arn}*/*",
            Condition={
                "StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateSecurityGroup", "CreateNetworkInterface"]}
            },
        ),
        allow(
            [
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:DeleteSecurityGroup",
                "ec2:DeleteNetworkInterface",
                "ec2:AttachNetworkInterface",
                "ec2:ModifyNetworkInterfaceAttribute",
                "ec2:TerminateInstances",
            ],
            Condition={"StringEquals": {"ec2:ResourceTag/drawbridge:stack": "one"}},
        ),
        allow("iam:PassRole", stack.role, Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
    )
    ec2, root = bed.client("ec2", key), bed.client("ec2")
    refused = "UnauthorizedOperation"

    def tags(kind: str, value: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "drawbridge:stack", "Value": value}]}]

    def group(client: Any, name: str, value: str) -> str:
        return client.create_security_group(
            GroupName=name, Description="d", VpcId=stack.vpc, TagSpecifications=tags("security-group", value)
        )["GroupId"]

    mine = checks.allowed("CreateSecurityGroup with our tag", lambda: group(ec2, "mine", "one"))
    checks.denied("CreateSecurityGroup with another's tag", lambda: group(ec2, "other", "two"), refused)
    checks.denied(
        "CreateSecurityGroup without a tag",
        lambda: ec2.create_security_group(GroupName="none", Description="d", VpcId=stack.vpc),
        refused,
    )
    foreign = group(root, "foreign", "two")
    rule = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.10/32"}]}]
    checks.allowed(
        "AuthorizeSecurityGroupIngress on ours",
        lambda: ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=rule),
    )
    checks.denied(
        "AuthorizeSecurityGroupIngress on another's",
        lambda: ec2.authorize_security_group_ingress(GroupId=foreign, IpPermissions=rule),
        refused,
    )
    checks.denied(
        "CreateTags on an existing group, to make it ours",
        lambda: ec2.create_tags(Resources=[foreign], Tags=tags("", "one")[0]["Tags"]),
        refused,
    )

    def interface(client: Any, value: str) -> str:
        made = client.create_network_interface(
            SubnetId=stack.private_subnet,
            Groups=[stack.private_group],
            TagSpecifications=tags("network-interface", value),
        )
        return made["NetworkInterface"]["NetworkInterfaceId"]

    own_interface = checks.allowed("CreateNetworkInterface with our tag", lambda: interface(ec2, "one"))
    checks.denied("CreateNetworkInterface with another's tag", lambda: interface(ec2, "two"), refused)
    foreign_interface = interface(root, "two")

    def launch(value: str, **changes: Any) -> str:
        specifications = [s for kind in ("instance", "volume", "network-interface") for s in tags(kind, value)]
        nic = [stack.interface(0, AssociatePublicIpAddress=True, Groups=[changes.pop("group", mine)])]
        wanted = stack.launch(TagSpecifications=specifications, NetworkInterfaces=nic, **changes)
        return ec2.run_instances(**wanted)["Instances"][0]["InstanceId"]

    checks.denied(
        "DeleteNetworkInterface of one that is gone",
        lambda: ec2.delete_network_interface(NetworkInterfaceId="eni-0deadbeef0deadbee"),
        "InvalidNetworkInterfaceID.NotFound",
    )
    checks.denied(
        "StopInstances of one that is gone, without the right",
        lambda: ec2.stop_instances(InstanceIds=["i-0deadbeef0deadbee"]),
        refused,
    )
    box = checks.allowed("RunInstances with our tags, group and role", lambda: launch("one"))
    checks.denied("RunInstances with another's tags", lambda: launch("two"), refused)
    checks.denied("RunInstances with another's group", lambda: launch("one", group=foreign), refused)
    iam = bed.client("iam")
    bed.role("checks-admin", "ec2.amazonaws.com", allow("*"))
    iam.create_instance_profile(InstanceProfileName="checks-admin")
    iam.add_role_to_instance_profile(InstanceProfileName="checks-admin", RoleName="checks-admin")
    checks.denied(
        "RunInstances with another role in the profile",
        lambda: launch("one", IamInstanceProfile={"Name": "checks-admin"}),
        refused,
    )
    until(
        lambda: ec2.describe_instances(InstanceIds=[box])["Reservations"][0]["Instances"][0]["State"]["Name"]
        == "running"
    )
    attach = lambda nic: ec2.attach_network_interface(
        NetworkInterfaceId=nic, InstanceId=box, DeviceIndex=1
    )  # noqa: E731
    checks.denied("AttachNetworkInterface of another's", lambda: attach(foreign_interface), refused)
    checks.allowed("AttachNetworkInterface of ours", lambda: attach(own_interface))
    other_box = root.run_instances(**stack.launch())["Instances"][0]["InstanceId"]
    checks.denied("TerminateInstances of another's", lambda: ec2.terminate_instances(InstanceIds=[other_box]), refused)
    checks.denied(
        "TerminateInstances of ours and another's at once",
        lambda: ec2.terminate_instances(InstanceIds=[box, other_box]),
        refused,
    )
    checks.allowed("TerminateInstances of ours", lambda: ec2.terminate_instances(InstanceIds=[box]))
    root.terminate_instances(InstanceIds=[other_box])
    ended = (
        lambda i: root.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]["State"]["Name"]
        == "terminated"
    )  # noqa: E731
    until(lambda: ended(box) and ended(other_box))
    checks.denied(
        "DeleteNetworkInterface of another's",
        lambda: ec2.delete_network_interface(NetworkInterfaceId=foreign_interface),
        refused,
    )
    checks.allowed(
        "DeleteNetworkInterface of ours", lambda: ec2.delete_network_interface(NetworkInterfaceId=own_interface)
    )
    checks.denied("DeleteSecurityGroup of another's", lambda: ec2.delete_security_group(GroupId=foreign), refused)
    checks.allowed("DeleteSecurityGroup of ours", lambda: ec2.delete_security_group(GroupId=mine))
    root.delete_network_interface(NetworkInterfaceId=foreign_interface)
    root.delete_security_group(GroupId=foreign)

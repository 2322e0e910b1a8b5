"""The network and identities that the checks use, in the shape of the product's own stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.aws.layout import ACCOUNT, AMI_PARAMETER, API_PORT, CLUSTER_ADDRESS, REGION

from .kit import Bed, allow, policy

BUCKET, OTHER_BUCKET = "checks-backup", "checks-other"
EVERYWHERE = [{"CidrIp": "0.0.0.0/0"}]
ALL_TRAFFIC = [{"IpProtocol": "-1", "IpRanges": EVERYWHERE}]


def tcp(port: int, address_range: str) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": address_range}]}]


@dataclass
class Stack:
    """Ids of what was made."""

    image: str
    vpc: str
    public_subnet: str
    private_subnet: str
    public_table: str
    private_table: str
    gateway: str
    endpoint: str
    public_group: str
    private_group: str
    profile: str
    role: str

    def launch(self, **changes: Any) -> dict[str, Any]:
        """Parameters of RunInstances for one box with its public interface."""
        tags = [{"Key": "drawbridge:session", "Value": "checks"}]
        return {
            "ImageId": self.image,
            "InstanceType": "t3.small",
            "MinCount": 1,
            "MaxCount": 1,
            "NetworkInterfaces": [self.interface(0, AssociatePublicIpAddress=True)],
            "InstanceInitiatedShutdownBehavior": "terminate",
            "IamInstanceProfile": {"Arn": self.profile},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "TagSpecifications": [
                {"ResourceType": t, "Tags": tags} for t in ("instance", "volume", "network-interface")
            ],
            **changes,
        }

    def interface(self, index: int, **changes: Any) -> dict[str, Any]:
        subnet, group = (
            (self.public_subnet, self.public_group) if index == 0 else (self.private_subnet, self.private_group)
        )
        return {"DeviceIndex": index, "SubnetId": subnet, "Groups": [group], "DeleteOnTermination": True, **changes}


def endpoint_policy() -> str:
    """Puts into the backup bucket and nothing else."""
    return policy({**allow("s3:PutObject", f"arn:aws:s3:::{BUCKET}/*"), "Principal": "*"})


def make(bed: Bed) -> Stack:
    ec2, iam, s3 = bed.client("ec2"), bed.client("iam"), bed.client("s3")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnets, tables = [], []
    for cidr in ("10.0.1.0/24", "10.0.2.0/24"):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        subnets.append(subnet)
        tables.append(table)
    ec2.create_route(RouteTableId=tables[0], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[tables[1]],
        PolicyDocument=endpoint_policy(),
    )["VpcEndpoint"]["VpcEndpointId"]
    public_group = ec2.create_security_group(GroupName="checks-public", Description="ssh in, nothing out", VpcId=vpc)[
        "GroupId"
    ]
    ec2.revoke_security_group_egress(GroupId=public_group, IpPermissions=ALL_TRAFFIC)
    ec2.authorize_security_group_ingress(GroupId=public_group, IpPermissions=tcp(22, f"{CLUSTER_ADDRESS}/32"))
    private_group = ec2.create_security_group(GroupName="checks-private", Description="S3 out", VpcId=vpc)["GroupId"]
    ec2.revoke_security_group_egress(GroupId=private_group, IpPermissions=ALL_TRAFFIC)
    ec2.authorize_security_group_egress(GroupId=private_group, IpPermissions=tcp(API_PORT, "0.0.0.0/0"))
    for bucket in (BUCKET, OTHER_BUCKET):
        s3.create_bucket(Bucket=bucket)
    rights = allow(["s3:PutObject", "s3:GetObject"], [f"arn:aws:s3:::{bucket}/*" for bucket in (BUCKET, OTHER_BUCKET)])
    role = bed.role("checks-box", "ec2.amazonaws.com", rights)
    profile = iam.create_instance_profile(InstanceProfileName="checks-box")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="checks-box", RoleName="checks-box")
    image = bed.client("ssm").get_parameter(Name=AMI_PARAMETER)["Parameter"]["Value"]
    return Stack(
        image,
        vpc,
        subnets[0],
        subnets[1],
        tables[0],
        tables[1],
        gateway,
        endpoint,
        public_group,
        private_group,
        profile,
        role,
    )


def create_function(bed: Bed, name: str, package: bytes, role: str) -> str:
    """A function of the custom runtime, ready to be invoked."""
    functions = bed.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=role,
        Code={"ZipFile": package},
        Timeout=20,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"

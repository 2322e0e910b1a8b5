"""Root on a box: ways out of tests/network, each with an allowed twin, judged by its own trial."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from testbed.aws.layout import API_ADDRESS, API_PORT, GUEST_AUTHORITY
from testbed.common.progress import say
from tests.attacks.attack import Thief, Verdict
from tests.network import controls
from tests.network.attempts import Attempt, everything
from tests.network.ground import Ground
from tests.network.trying import Row, Trial

# How each tool ends that is stopped: nobody answers, the name does not exist, S3 refuses, a frame is heard nowhere.
REFUSED = {"tcp": "TimeoutError: timed out", "dns": "no answer in it, code 3", "web": "status 403", "frame": "sent"}
ENDS_OTHERWISE = {
    "root-asks-a-name-server-of-its-own": REFUSED["tcp"],
    "root-reads-metadata-without-a-token": "status 401",
    "root-lets-a-container-read-metadata": REFUSED["tcp"],
}
# Row -> the way out.
WAYS = {
    "root-reaches-the-internet-from-the-public-side": "public side: TCP 80 to the internet",
    "root-reaches-the-internet-from-the-private-side": "private side: TCP 80 to the internet",
    "root-reaches-the-aws-api": "private side: the AWS API (EC2, STS, Lambda, SSM)",
    "root-reaches-the-aws-api-from-the-public-side": "public side: the AWS API (EC2, STS, Lambda, SSM)",
    "root-reaches-s3-around-the-endpoint": "public side: S3 around the endpoint",
    "root-speaks-plain-http-to-s3": "private side: S3 in plain HTTP",
    "root-answers-nobody": "raw frame that looks like an SSH answer, to the internet",
    "root-tunnels-by-names": "DNS tunnel: the VPC's resolver by udp",
    "root-tunnels-by-names-over-tcp": "DNS tunnel: 169.254.169.253 by tcp",
    "root-asks-a-name-server-of-its-own": "DNS: a server of one's own, public side",
    "root-reads-metadata-without-a-token": "metadata: version 1, without a token",
    "root-lets-a-container-read-metadata": "metadata: a token for a container of the box",
    "root-borrows-another-box-s-address": "another box's address, to S3",
    "root-makes-an-address-up": "made-up address, to S3",
    "root-reaches-another-box": "another box: SSH in the private subnet",
    "root-reaches-another-box-s-public-address": "another box: SSH at its public address",
    "root-writes-into-another-bucket": "S3 through the endpoint: put into another bucket of the account, as its owner",
    "root-reads-another-bucket": "S3 through the endpoint: get from another bucket of the account, as its owner",
    "root-writes-into-another-account-s-bucket": "S3 through the endpoint: put into another account's bucket, as its owner",
    "root-writes-into-anybody-s-bucket": "S3 through the endpoint: put into a bucket that anybody may write to, unsigned",
    # With the client key, but from elsewhere: the box's door is not even reached.
    "memory-uses-the-client-key-from-elsewhere": "from outside of the client networks: TCP 22",
}
TWINS = {
    "tcp": "TCP to S3 from the private side",
    "dns": "the backup bucket's name",
    "web": "an allowed request by the same tool",
    "frame": "the same frame under its own address",
    "outsider": "TCP to the AWS API from the same place",
}


def judge(ground: Ground, only: str, removing: bool) -> list[Verdict]:
    """On a ground that stands. Rows whose id holds `only`."""
    attempts = chosen(ground, only)
    trial = Trial(ground, list(attempts.values()))
    before = state(ground)
    trial.closed()
    trial.beside()
    verdicts = [_standing(name, row) for name, row in zip(attempts, trial.rows, strict=True)]
    if removing:
        trial.opened()
        trial.alone()
        for verdict, row in zip(verdicts, trial.rows, strict=True):
            verdict.through = bool(row.opened)
            verdict.through_said = "got through" if row.opened else "still stopped"
            verdict.alone = dict(row.alone)
        after = state(ground)
        changed = [f"{name} was {before[name]} and is {after[name]}" for name in before if after[name] != before[name]]
        trial.closed()
        for verdict, row in zip(verdicts, trial.rows, strict=True):
            verdict.back = row.stopped and row.came == verdict.said and not changed
            verdict.back_said = "; ".join([*changed, f"the attempt: {row.came}"])
    return verdicts


def chosen(ground: Ground, only: str) -> dict[str, Attempt]:
    """By row, each with an allowed one of the same tool."""
    named = {attempt.name: attempt for attempt in everything(ground)}
    if missing := set(WAYS.values()) - set(named):
        raise ValueError(f"tests/network has no attempt {missing}")
    twins = _twins(ground, named)
    made = {}
    for row, way in WAYS.items():
        attempt = named[way]
        twin = attempt.beside or twins["outsider" if attempt.who == "outsider" else attempt.tool]
        if only in row:
            made[row] = replace(attempt, beside=twin)
    return made


def _twins(ground: Ground, named: dict[str, Attempt]) -> dict[str, tuple[str, dict[str, Any]]]:
    to_s3 = {"to": ground.s3_address, "port": ground.s3_port, "device": "ens6"}
    plain = named["raw frame with a VLAN tag, to S3"].beside
    asked = named["DNS tunnel: the VPC's resolver by udp"].beside
    if plain is None or asked is None:
        raise ValueError("tests/network has no allowed frame, or no allowed name")
    orders = {"method": "GET", "url": _orders(ground), "source": ground.box.private, "trust": GUEST_AUTHORITY}
    return {
        "tcp": ("tcp", to_s3),
        "frame": plain,
        "dns": asked,
        "web": ("web", orders),
        "outsider": ("tcp", {"to": API_ADDRESS, "port": API_PORT}),
    }


def _orders(ground: Ground) -> str:
    """The box's orders, presigned by create as it does at boot: what the endpoint lets through."""
    role = ground.client("sts").assume_role(RoleArn=ground.outputs["CreateRoleArn"], RoleSessionName="boot")["Credentials"]
    s3 = ground.client_with(role, ground.facts["s3_endpoint"])
    named = {"Bucket": ground.outputs["StateBucket"], "Key": f"boot/{ground.box.session}/orders.json"}
    return str(s3.generate_presigned_url("get_object", Params=named, ExpiresIn=3600))


def _standing(name: str, row: Row) -> Verdict:
    attempt = row.attempt
    error = ENDS_OTHERWISE.get(name, REFUSED[attempt.tool])
    verdict = Verdict(
        name,
        Thief.MEMORY if attempt.who == "outsider" else Thief.BOX_ROOT,
        attempt.name,
        f"{error}, and heard nowhere",
        TWINS["outsider" if attempt.who == "outsider" else attempt.tool],
        attempt.stopped_by,
        said=row.came,
        denied=row.stopped and row.came == error,
        twin_said="an answer" if row.beside else "nothing",
        twin_allowed=bool(row.beside),
    )
    say(f"{name}: {'denied' if verdict.denied else f'NOT AS EXPECTED: {row.came}'}, twin {verdict.twin_said}")
    return verdict


def state(ground: Ground) -> dict[str, Any]:
    """All that the controls of these ways open, as EC2 says it."""
    ec2, outputs, resources = ground.ec2, ground.outputs, ground.resources
    groups = [ground.box.group, ground.peer.group, outputs["PrivateSecurityGroupId"]]
    acl, routes = (resources[name]["reference"] for name in ("PrivateAcl", "PrivateRouteTable"))
    interfaces = [ground.box.inner_interface, ground.box.private_interface]
    options = ground.describe(ground.box.instance)["MetadataOptions"]
    firewall = ground.client("route53resolver").list_firewall_rule_group_associations(VpcId=outputs["VpcId"])
    said = {
        "groups": [
            (group["GroupId"], group["IpPermissions"], group["IpPermissionsEgress"])
            for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        ],
        controls.ACL: ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"],
        controls.ROUTES: ec2.describe_route_tables(RouteTableIds=[routes])["RouteTables"][0]["Routes"],
        "interfaces": [
            (found["NetworkInterfaceId"], found.get("SourceDestCheck"), found.get("Association", {}).get("PublicIp"))
            for found in ec2.describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"]
        ],
        controls.DNS_FIREWALL: [
            (found["FirewallRuleGroupId"], found["VpcId"], found["Priority"])
            for found in firewall["FirewallRuleGroupAssociations"]
        ],
        controls.ENDPOINT: json.loads(
            ec2.describe_vpc_endpoints(VpcEndpointIds=[outputs["S3EndpointId"]])["VpcEndpoints"][0]["PolicyDocument"]
        ),
        "metadata": [options["HttpTokens"], options["HttpPutResponseHopLimit"]],
    }
    return {name: sorted(value, key=str) if isinstance(value, list) else value for name, value in said.items()}

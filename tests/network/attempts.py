"""All attempts. Each says what stops it; where nothing can be opened, an allowed one of the same tool stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.aws.layout import OUTSIDER_ADDRESS
from tests.network import controls as c
from tests.network.ground import Ground
from tests.network.objects import objects

PUBLIC, PRIVATE = "ens5", "ens6"
METADATA = "http://169.254.169.254/latest"
ROUTER = "{router}"
RESOLVER, LINK_LOCAL = "{resolver}", "169.254.169.253"
TUNNEL = "{mark}.tunnel.example"
NOT_ROUTED_6 = "2001:db8::20"
OUT = (c.ROUTES, c.NO_ADDRESS)
SIDE_OUT = (c.PRIVATE_OUT, c.ACL, *OUT)
SYN, ACK = 2, 16
# Where nothing of the box may arrive that is not allowed; `box` is a witness on the box itself.
ELSEWHERE = ("internet", "services", "peer")


@dataclass(frozen=True)
class Attempt:
    """One way out. It is stopped by each of `stopped_by`: all must be opened for it to get through."""

    name: str
    tool: str
    arguments: dict[str, Any]
    stopped_by: tuple[str, ...] = ()
    # An allowed one of the same tool, for what nobody can open.
    beside: tuple[str, dict[str, Any]] | None = None
    who: str = "box"
    # Shell of the box's root before and after; such an attempt runs alone.
    before: str = ""
    after: str = ""
    # What the box does first, while another one tries.
    first: tuple[str, dict[str, Any]] | None = None
    # Where its mark must not arrive; an answer tells nothing where only that counts.
    arrives: tuple[str, ...] = ELSEWHERE
    only_arrival: bool = False

    def is_alone(self) -> bool:
        return bool(self.before or self.first)


def everything(ground: Ground) -> list[Attempt]:
    """Filled in with the addresses of these two boxes."""
    made = [
        *_internet(),
        *_aws(ground),
        *_names(ground),
        *_version_6(),
        *_metadata(),
        *_neighbours(ground),
        *_addresses(ground),
        *_frames(ground),
        *_inwards(ground),
        *objects(ground, Attempt),
    ]
    names = [attempt.name for attempt in made]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled or any(not attempt.stopped_by and not attempt.beside for attempt in made):
        raise ValueError(f"attempts without a twin, or of one name: {doubled}")
    return made


def _internet() -> list[Attempt]:
    made = []
    for side, device, stopped in (("public", PUBLIC, (c.GROUP_OUT,)), ("private", PRIVATE, SIDE_OUT)):
        to = {"to": OUTSIDER_ADDRESS, "device": device}
        for port in (22, 53, 80, 9000):
            made.append(Attempt(f"{side} side: TCP {port} to the internet", "tcp", {**to, "port": port}, stopped))
        for port in (53, 123, 9000):
            made.append(Attempt(f"{side} side: UDP {port} to the internet", "udp", {**to, "port": port}, stopped))
        made.append(Attempt(f"{side} side: ICMP echo to the internet", "icmp", to, stopped))
        for number, name in ((47, "GRE"), (50, "ESP"), (89, "OSPF"), (253, "an experimental protocol")):
            made.append(Attempt(f"{side} side: {name} to the internet", "protocol", {**to, "number": number}, stopped))
    return made


def _aws(ground: Ground) -> list[Attempt]:
    """AWS's other services, and S3's address in other ways than its port from the private side."""
    api = {"to": ground.api_address, "port": ground.api_port}
    s3 = {"to": ground.s3_address, "port": ground.s3_port}
    return [
        Attempt("public side: the AWS API (EC2, STS, Lambda, SSM)", "tcp", {**api, "device": PUBLIC}, (c.GROUP_OUT,)),
        Attempt("private side: the AWS API (EC2, STS, Lambda, SSM)", "tcp", {**api, "device": PRIVATE}, OUT),
        Attempt("public side: S3 around the endpoint", "tcp", {**s3, "device": PUBLIC}, (c.GROUP_OUT,)),
        Attempt(
            "private side: S3 in plain HTTP",
            "tcp",
            {"to": ground.s3_address, "port": 80, "device": PRIVATE},
            (c.PRIVATE_OUT, c.ACL),
        ),
        Attempt(
            "private side: UDP to S3's address",
            "udp",
            {**s3, "device": PRIVATE},
            (c.PRIVATE_OUT, c.ACL),
        ),
        Attempt(
            "private side: ICMP echo to S3's address",
            "icmp",
            {"to": ground.s3_address, "device": PRIVATE},
            (c.PRIVATE_OUT, c.ACL),
        ),
        # `ground.ROUTES` gave it one, past the box's own rules.
        Attempt("private side: the internet, by a route of the box's own", "tcp", {**s3, "to": OUTSIDER_ADDRESS}, OUT),
    ]


def _names(ground: Ground) -> list[Attempt]:
    """The name's holder hears it, or an answer comes."""
    stopped = (c.DNS_FIREWALL,)
    bucket = f"{ground.outputs['BackupBucket']}.s3.{ground.facts['region']}.amazonaws.com"
    allowed = ("dns", {"server": RESOLVER, "name": bucket})
    made = [
        Attempt(f"DNS tunnel: {server} by {over}", "dns", {"server": address, "name": TUNNEL, "over": over}, stopped, allowed)
        for server, address in (("the VPC's resolver", RESOLVER), ("169.254.169.253", LINK_LOCAL))
        for over in ("udp", "tcp")
    ]
    for kind, number in (("TXT", 16), ("AAAA", 28), ("NULL", 10)):
        asked = {"server": RESOLVER, "name": TUNNEL, "kind": number}
        made.append(Attempt(f"DNS tunnel: a query for {kind}", "dns", asked, stopped, allowed))
    others = {
        "a name below an allowed bucket's": "{mark}." + bucket,
        "another bucket's name": "{mark}.s3." + ground.facts["region"] + ".amazonaws.com",
        "another AWS service's name": "lambda." + ground.facts["region"] + ".amazonaws.com",
    }
    for what, name in others.items():
        made.append(Attempt(f"DNS: {what}", "dns", {"server": RESOLVER, "name": name}, stopped, allowed))
    for side, device, way in (("public", PUBLIC, (c.GROUP_OUT,)), ("private", PRIVATE, SIDE_OUT)):
        own = {"server": OUTSIDER_ADDRESS, "name": TUNNEL, "device": device}
        made.append(Attempt(f"DNS: a server of one's own, {side} side", "dns", own, way))
    return made


def _version_6() -> list[Attempt]:
    made = []
    for side, device in (("public", PUBLIC), ("private", PRIVATE)):
        for tool, more in (("tcp", {"port": 443}), ("udp", {"port": 9000}), ("icmp", {})):
            to = {"to": NOT_ROUTED_6, "device": device, "family": "6", **more}
            own = (tool, {"to": "::1", "family": "6", **more})
            made.append(Attempt(f"{side} side: IPv6 {tool}", tool, to, beside=own))
    routers = {"to": "ff02::2", "device": PRIVATE, "family": "6"}
    return [*made, Attempt("IPv6: any router on the link", "icmp", routers, beside=("icmp", {"to": "::1", "family": "6"}))]


def _metadata() -> list[Attempt]:
    token = {"method": "PUT", "url": f"{METADATA}/api/token", "headers": {"X-aws-ec2-metadata-token-ttl-seconds": "60"}}
    plain = {"method": "GET", "url": f"{METADATA}/meta-data/iam/security-credentials/"}
    own = ("web", token)
    return [
        Attempt("metadata: version 1, without a token", "web", plain, (c.TOKENS,), own),
        Attempt("metadata: a token for a container of the box", "web", token, (c.HOPS,), own, who="container"),
    ]


def _neighbours(ground: Ground) -> list[Attempt]:
    peer, s3_port = ground.peer, ground.s3_port
    public, private = {"device": PUBLIC}, {"device": PRIVATE}
    both, within = (c.GROUP_OUT, c.PEER_IN), (c.PRIVATE_OUT, c.PRIVATE_IN)
    return [
        Attempt("another box: SSH at its public address", "tcp", {"to": peer.public, "port": 22, **public}, both),
        Attempt("another box: SSH in the public subnet", "tcp", {"to": peer.inner, "port": 22, **public}, both),
        Attempt("another box: ICMP echo in the public subnet", "icmp", {"to": peer.inner, **public}, both),
        Attempt("another box: SSH in the private subnet", "tcp", {"to": peer.private, "port": 22, **private}, within),
        Attempt("another box: UDP in the private subnet", "udp", {"to": peer.private, "port": 9000, **private}, within),
        Attempt("another box: ICMP echo in the private subnet", "icmp", {"to": peer.private, **private}, within),
        Attempt(
            "another box: S3's port in the private subnet",
            "tcp",
            {"to": peer.private, "port": s3_port, **private},
            (c.PRIVATE_IN,),
        ),
        Attempt(
            "another box: from the private subnet into the public one",
            "tcp",
            {"to": peer.inner, "port": 22, **private},
            (c.PRIVATE_OUT, c.ACL, c.PEER_IN),
        ),
        Attempt(
            "another box: S3's port, from the private subnet into the public one",
            "tcp",
            {"to": peer.inner, "port": s3_port, **private},
            (c.ACL, c.PEER_IN),
        ),
        Attempt(
            "another box: its traffic, by claiming its addresses and the router's (ARP)",
            "tcp",
            {"to": ground.s3_address, "port": s3_port, **private},
            beside=("tcp", {"to": ground.s3_address, "port": s3_port, **private}),
            who="peer",
            first=("claim", {"device": PRIVATE, "addresses": [peer.private, peer.inner, ground.router()]}),
            arrives=("box",),
            only_arrival=True,
        ),
        Attempt(
            "everybody: a broadcast on the private side",
            "udp",
            {"to": "255.255.255.255", "port": 9000, **private},
            beside=("icmp", {"to": ground.box.private}),
        ),
    ]


def _addresses(ground: Ground) -> list[Attempt]:
    """A packet to S3, which is allowed, under an address that is not the interface's."""
    s3 = {"device": PRIVATE, "to": ground.s3_address, "port": ground.s3_port, "flags": SYN, "router": ROUTER}
    out = {"device": PUBLIC, "to": OUTSIDER_ADDRESS, "router": ROUTER}
    spoofed = (c.GROUP_OUT, c.SOURCE_CHECK)
    return [
        Attempt("made-up address, to S3", "frame", {**s3, "source": "10.0.2.250"}, (c.SOURCE_CHECK,)),
        Attempt("another box's address, to S3", "frame", {**s3, "source": ground.peer.private}, (c.SOURCE_CHECK,)),
        Attempt("the public side's address on the private side", "frame", {**s3, "source": ground.box.inner}, (c.SOURCE_CHECK,)),
        Attempt("another box's address, to the internet", "frame", {**out, "source": ground.peer.inner}, spoofed),
        Attempt(
            "an address added to the interface, to S3",
            "tcp",
            {"to": ground.s3_address, "port": ground.s3_port, "device": PRIVATE, "source": "10.0.2.250"},
            beside=("tcp", {"to": ground.s3_address, "port": ground.s3_port, "device": PRIVATE}),
            before="ip addr add 10.0.2.250/32 dev ens6",
            after="ip addr del 10.0.2.250/32 dev ens6",
        ),
        Attempt(
            "another MAC on the interface, to S3",
            "tcp",
            {"to": ground.s3_address, "port": ground.s3_port, "device": PRIVATE},
            beside=("tcp", {"to": ground.s3_address, "port": ground.s3_port, "device": PRIVATE}),
            before="cp /sys/class/net/ens6/address /run/mac; ip link set ens6 address 02:00:00:00:00:99",
            after="ip link set ens6 address $(cat /run/mac)",
        ),
    ]


def _frames(ground: Ground) -> list[Attempt]:
    """Past the box's own routes and filters, straight onto the wire."""
    s3 = {"to": ground.s3_address, "port": ground.s3_port, "flags": SYN}
    private = {"device": PRIVATE, "source": ground.box.private, "router": ROUTER}
    public = {"device": PUBLIC, "source": ground.box.inner, "router": ROUTER}
    plain = ("frame", {**private, **s3})
    return [
        Attempt("raw frame, public side, to the internet", "frame", {**public, "to": OUTSIDER_ADDRESS}, (c.GROUP_OUT,)),
        Attempt("raw frame, private side, to the internet", "frame", {**private, "to": OUTSIDER_ADDRESS}, SIDE_OUT),
        Attempt(
            "raw frame that looks like an SSH answer, to the internet",
            "frame",
            {**public, "to": OUTSIDER_ADDRESS, "port": 22, "flags": ACK},
            (c.GROUP_OUT,),
        ),
        Attempt("raw frame with another MAC, to S3", "frame", {**private, **s3, "mac": "02:00:00:00:00:99"}, beside=plain),
        Attempt("raw frame with a VLAN tag, to S3", "frame", {**private, **s3, "vlan": 7}, beside=plain),
        Attempt(
            "raw frame with a source route by S3 to the internet",
            "frame",
            {**private, **s3, "options": "830704cb00711400"},
            beside=plain,
            arrives=("internet", "peer"),
        ),
        Attempt(
            "a packet to the internet within one to S3",
            "tunnel",
            {**private, "to": {"inner": OUTSIDER_ADDRESS, "outer": ground.s3_address}},
            (c.PRIVATE_OUT, c.ACL),
        ),
    ]


def _inwards(ground: Ground) -> list[Attempt]:
    """From the internet, by somebody outside of the client networks."""
    return [
        Attempt(
            f"from outside of the client networks: TCP {port}",
            "tcp",
            {"to": ground.box.public, "port": port},
            (c.GROUP_IN,),
            who="outsider",
        )
        for port in (22, 111, 9000)
    ]

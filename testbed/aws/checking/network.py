"""Who reaches whom: security groups, route tables, the gateway endpoint and its policy, and S3's own address."""

from __future__ import annotations

import subprocess
import time

from testbed.aws import namespaces
from testbed.aws.layout import API_ADDRESS, API_PORT, API_URL, OUTSIDER_ADDRESS, S3_ADDRESS, S3_URL

from .kit import Bed, Checks, policy, reaches, until
from .stack import BUCKET, OTHER_BUCKET, Stack, endpoint_policy, tcp

PORT = 8080


class Network:
    """Checks from inside a box with both interfaces, from a client like the cluster's node, and from an outsider."""

    def __init__(self, bed: Bed, stack: Stack, checks: Checks, box: str) -> None:
        self.bed, self.stack, self.checks, self.box = bed, stack, checks, box
        self.ec2 = bed.client("ec2")
        nics = self.ec2.describe_instances(InstanceIds=[box])["Reservations"][0]["Instances"][0]["NetworkInterfaces"]
        self.private = next(n["PrivateIpAddress"] for n in nics if n["SubnetId"] == stack.private_subnet)
        first = next(n for n in nics if n["SubnetId"] == stack.public_subnet)
        self.inner, self.public = first["PrivateIpAddress"], first["Association"]["PublicIp"]

    def inside(self, script: str) -> subprocess.CompletedProcess[str]:
        return self.bed.inside(self.box, script)

    def outside(self, script: str) -> subprocess.CompletedProcess[str]:
        return self.bed.outside("bash", "-c", script)

    def way_in(self) -> None:
        """SSH from the client networks, and nothing else from anywhere."""
        checks = self.checks
        self.inside(f"for port in 22 {PORT}; do python3 -m http.server $port >/dev/null 2>&1 & done")
        until(lambda: self.inside("</dev/tcp/127.0.0.1/22").returncode == 0)
        node = subprocess.Popen(["unshare", "-n", "sleep", "60"])
        until(
            lambda: not subprocess.run(
                ["nsenter", "-t", str(node.pid), "-n", "ip", "link", "set", "lo", "up"], check=False
            ).returncode,
            2,
        )
        time.sleep(0.1)

        def client(script: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["nsenter", "-t", str(node.pid), "-n", "bash", "-c", script],
                capture_output=True,
                text=True,
                check=False,
            )

        try:
            namespaces.connect(self.bed.names, node.pid)
            namespaces.connect(self.bed.names, node.pid)
            checks.that("a client reaches the box's port 22", reaches(client, self.public, 22))
            checks.that("an outsider does not", not reaches(self.outside, self.public, 22))
            checks.that("a client does not reach another port", not reaches(client, self.public, PORT))
            self.ec2.authorize_security_group_ingress(
                GroupId=self.stack.public_group, IpPermissions=tcp(PORT, f"{OUTSIDER_ADDRESS}/32")
            )
            checks.that(
                "an outsider does, once a rule allows it", until(lambda: reaches(self.outside, self.public, PORT), 3)
            )
            self.ec2.revoke_security_group_ingress(
                GroupId=self.stack.public_group, IpPermissions=tcp(PORT, f"{OUTSIDER_ADDRESS}/32")
            )
            checks.that(
                "... and no more when it is revoked", until(lambda: not reaches(self.outside, self.public, PORT), 3)
            )
            checks.that("a client reaches the AWS API", reaches(client, API_ADDRESS, API_PORT))
            checks.that(
                "nobody reaches the back end behind it",
                not reaches(client, API_ADDRESS, 5000) and not reaches(client, API_ADDRESS, 4567),
            )
            route = f"ip route replace {self.inner}/32 via 203.0.113.1 dev ext0; "
            plain = client(route + f"timeout 1 bash -c '</dev/tcp/{self.inner}/22'").returncode
            checks.that("the box's private address is not reached from the internet", plain != 0)
            checks.that(
                "a client and an outsider reach each other",
                reaches(client, OUTSIDER_ADDRESS, 9) is False
                and "refused" in client(f"</dev/tcp/{OUTSIDER_ADDRESS}/9").stderr,
            )
        finally:
            node.kill()
            node.wait()

    def public_side_out(self) -> None:
        """The public group has no egress rule at all."""
        checks = self.checks
        server = subprocess.Popen(
            [*self.bed.facts["outside_command"], "python3", "-m", "http.server", "9000"], stdout=-3, stderr=-3
        )
        try:
            until(lambda: reaches(self.outside, "127.0.0.1", 9000))
            checks.that("no egress from the public side", not reaches(self.inside, OUTSIDER_ADDRESS, 9000))
            checks.that("... not to the AWS API either", not reaches(self.inside, API_ADDRESS, API_PORT))
            self._allow_out()
            checks.that("with an egress rule there is", until(lambda: reaches(self.inside, OUTSIDER_ADDRESS, 9000), 3))
            self.ec2.delete_route(RouteTableId=self.stack.public_table, DestinationCidrBlock="0.0.0.0/0")
            checks.that(
                "without the internet gateway's route there is none",
                until(lambda: not reaches(self.inside, OUTSIDER_ADDRESS, 9000), 3),
            )
            self.ec2.create_route(
                RouteTableId=self.stack.public_table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.stack.gateway
            )
            spoof = "ip addr add 10.0.1.250/32 dev ens5; curl -s -m 1 --interface 10.0.1.250 http://203.0.113.20:9000/ -o /dev/null -w '%{http_code}'"
            checks.that("... with it there is again", until(lambda: reaches(self.inside, OUTSIDER_ADDRESS, 9000), 3))
            checks.that("a made-up source address goes nowhere", self.inside(spoof).stdout == "000")
        finally:
            server.kill()
            server.wait()

    def _allow_out(self) -> None:
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self.ec2.authorize_security_group_egress(GroupId=self.stack.public_group, IpPermissions=everything)

    def s3(self, method: str, bucket: str, key: str, *options: str, private: bool = True) -> str:
        side = self.private if private else self.inner
        return self.bed.s3_inside(self.box, method, f"/{bucket}/{key}", "--interface", side, *options)

    def endpoint(self) -> None:
        """The private side has S3 and nothing else; what comes through has the endpoint's name and obeys its policy."""
        checks, stack, bed = self.checks, self.stack, self.bed
        data = ("--data-binary", "x")
        checks.that("private side: PutObject through the endpoint", self.s3("PUT", BUCKET, "a", *data) == "200")
        checks.that("private side: GetObject is refused by the endpoint's policy", self.s3("GET", BUCKET, "a") == "403")
        checks.that(
            "private side: PutObject to another bucket is, too", self.s3("PUT", OTHER_BUCKET, "a", *data) == "403"
        )
        checks.that(
            "around the endpoint the identity may do both",
            self.s3("GET", BUCKET, "a", private=False) == "200"
            and self.s3("PUT", OTHER_BUCKET, "a", *data, private=False) == "200",
        )
        for address, port, name in ((API_ADDRESS, API_PORT, "the AWS API"), (OUTSIDER_ADDRESS, 9, "the internet")):
            tried = self.inside(
                f"curl -s -m 1 --interface {self.private} http://{address}:{port}/; echo $?"
            ).stdout.strip()
            checks.that(
                f"private side: {name} is out of reach", tried.endswith("28"), tried
            )  # 28: timed out, no answer of any kind
        only = policy(
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/*",
                "Condition": {"StringNotEquals": {"aws:SourceVpce": stack.endpoint}},
            }
        )
        bed.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=only)
        checks.that("aws:SourceVpce: through the endpoint", self.s3("PUT", BUCKET, "b", *data) == "200")
        checks.that(
            "aws:SourceVpce: around the endpoint refused", self.s3("PUT", BUCKET, "b", *data, private=False) == "403"
        )
        bed.client("s3").delete_bucket_policy(Bucket=BUCKET)
        self.ec2.modify_vpc_endpoint(VpcEndpointId=stack.endpoint, PolicyDocument=policy())
        checks.that(
            "an endpoint policy without a statement lets nothing through", self.s3("PUT", BUCKET, "c", *data) == "403"
        )
        self.ec2.modify_vpc_endpoint(VpcEndpointId=stack.endpoint, PolicyDocument=endpoint_policy())
        self.ec2.modify_vpc_endpoint(VpcEndpointId=stack.endpoint, RemoveRouteTableIds=[stack.private_table])
        checks.that(
            "without the endpoint in the route table S3 is out of reach",
            until(lambda: self.s3("PUT", BUCKET, "d", *data) == "000", 4),
        )
        self.ec2.modify_vpc_endpoint(VpcEndpointId=stack.endpoint, AddRouteTableIds=[stack.private_table])
        checks.that("with it, it is there again", until(lambda: self.s3("PUT", BUCKET, "d", *data) == "200", 4))

    def s3_address(self) -> None:
        """198.51.100.3 serves S3 only. Asked from outside, where both addresses are reached."""
        checks = self.checks
        body = "-d", "Action=GetCallerIdentity&Version=2011-06-15"

        def status(*curl: str) -> str:
            return self.bed.outside("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", *curl).stdout

        sts = ["--aws-sigv4", "aws:amz:us-east-1:sts", "--user", ":".join(self.bed.facts["root"].values()), *body]
        checks.that("STS at the API's address", status(*sts, f"{API_URL}/") == "200")
        checks.that("STS at S3's address is refused", status(*sts, f"{S3_URL}/") == "403")
        for path in ("/2015-03-31/functions/", "/_ministack/health", "/_testbed/ready", "/latest/meta-data/"):
            checks.that(
                f"{path} at S3's address is refused",
                status(f"{S3_URL}{path}") in ("403", "404"),
                status(f"{S3_URL}{path}"),
            )
        checks.that(
            "another host name at S3's address is refused",
            status("-H", "Host: x.lambda-url.us-east-1.localhost", f"{S3_URL}/") == "403",
        )
        checks.that(
            "the emulator's administration is closed to the internet",
            status("-X", "POST", f"{API_URL}/_ministack/reset") == "403",
        )
        s3 = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", ":".join(self.bed.facts["root"].values())]
        checks.that("S3 at S3's address", status(*s3, f"{S3_URL}/{BUCKET}/a") == "200")
        for key in ("test:test", "000000000000:test", f"{self.bed.facts['root']['access_key_id']}:wrong"):
            known = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", key]
            checks.that(
                f"{key.split(':')[0]} with a wrong secret is not root", status(*known, f"{S3_URL}/{BUCKET}/a") == "403"
            )
        checks.that("nobody reads an object", status(f"{S3_URL}/{BUCKET}/a") == "403")
        checks.that("nobody lists buckets", status(f"{S3_URL}/") == "403")
        checks.that("nobody makes a bucket", status("-X", "PUT", f"{S3_URL}/checks-nobody") == "403")
        checks.that(
            "nobody asks EC2", status("-d", "Action=DescribeInstances", f"{API_URL}/") != "200"
        )

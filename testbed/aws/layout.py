"""Names, addresses and paths of a run's AWS half, so that no other module spells one out.

The "internet" of a run is a router namespace, the fabric. Inside it the addresses are the same in every run;
on the host every name carries the run's index.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "000000000000"
# Somebody else's account, for what may not get there.
NEIGHBOUR_ACCOUNT = "222222222222"
# Every AWS API speaks TLS here. S3 answers plain HTTP too, as in AWS, and only it.
API_PORT = 443
PLAIN_PORT = 80
# Of the services' own loopback: the instance host's way to the emulator, which nobody else reaches.
PRIVATE_PORT = 4566
BACKEND_PORT = 5000
CONTROL_PORT = 4567

API_ADDRESS = "198.51.100.2"
S3_ADDRESS = "198.51.100.3"
API_URL = f"https://{API_ADDRESS}"
S3_URL = f"https://{S3_ADDRESS}"
LAMBDA_ADDRESS = "198.51.100.4"
INTERNET_ROUTER = "198.51.100.1"
# The direct link between the services and the functions' namespace; only Lambda's runtime API is on it.
RUNTIME_ADDRESS = "169.254.100.1"
FUNCTION_RUNTIME_ADDRESS = "169.254.100.2"
INTERNET_RANGE = "198.51.100.0/24"
INSTANCE_PUBLIC_ADDRESSES = [f"198.51.100.{host}" for host in range(20, 220)]

CLIENTS_ROUTER = "203.0.113.1"
CLIENTS_RANGE = "203.0.113.0/24"
CLUSTER_ADDRESS = "203.0.113.10"
# Where pods ask EKS's agent for credentials, on real nodes too.
POD_AGENT_ADDRESS = "169.254.170.23"
# How the account calls the run's cluster.
EKS_CLUSTER = "testbed"
# Of somebody else in the account; tokens of the run's cluster serve for it, too.
OTHER_EKS_CLUSTER = "another"
OUTSIDER_ADDRESS = "203.0.113.20"

AMI = "ami-0d4b1d9e2a7c3f586"
# The image's, as data/images.json has it.
ROOT_DEVICE = "/dev/xvda"
AMI_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"

# What each token issuer publishes, by its name. Within the run's directory.
ISSUERS = "issuers.json"

# Where a guest finds the CA of its run's AWS; it is in no system's trust store.
GUEST_AUTHORITY = "/etc/ssl/local-aws.pem"

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


@dataclass(frozen=True)
class Names:
    """What a run is called on the host, by its index."""

    index: int

    @property
    def prefix(self) -> str:
        return f"dba{self.index}-"

    @property
    def services(self) -> str:
        """Namespace of the API emulator and the EC2 back end."""
        return f"{self.prefix}aws"

    @property
    def functions(self) -> str:
        """Namespace of the Lambda processes."""
        return f"{self.prefix}fn"

    @property
    def fabric(self) -> str:
        """Namespace of the router: internet, internet gateways, security groups."""
        return f"{self.prefix}fab"

    @property
    def outsider(self) -> str:
        """Namespace of somebody on the internet who is not in the client networks."""
        return f"{self.prefix}out"

    def machine(self, instance_id: str) -> str:
        """Namespace of an instance."""
        return f"{self.prefix}{instance_id[-8:]}"

    def namespace_pattern(self) -> re.Pattern[str]:
        """Every namespace of this run and of no other."""
        return re.compile(rf"dba{self.index}-[a-z0-9]+")

    @property
    def host_link(self) -> str:
        """The host's end of the link to the services."""
        return f"dba{self.index}"

    @property
    def host_address(self) -> str:
        return f"172.29.{self.index}.1"

    @property
    def services_address(self) -> str:
        """Where the host reaches the AWS API and the control API."""
        return f"172.29.{self.index}.2"


def venv_python() -> str:
    """The interpreter that has ministack, moto and boto3."""
    cache = Path(os.environ.get("DRAWBRIDGE_CACHE", Path.home() / ".cache" / "drawbridge"))
    return str(Path(os.environ.get("DRAWBRIDGE_VENV", cache / "venv")) / "bin" / "python")

"""The other side: `kubectl exec POD -- tar c | zstd -3 | ssh BOX "aws s3 cp - s3://..."`, with its own box, role and
bucket. The box is of the same instance type, has stock OpenSSH, and is up before the clock starts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from testbed.aws.layout import AMI_PARAMETER, GUEST_AUTHORITY, REGION, S3_URL
from testbed.common.shell import run as shell

from .memory import Watch, processes
from .ours import Result
from .world import NAMESPACE, World, until

BUCKET = "bench-pipeline"
AWS_CLI = "/usr/local/lib/aws-cli"
ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


class Pipeline:
    """The other side's box, once for all runs."""

    def __init__(self, world: World, aws_cli: Path) -> None:
        self.world, self.aws_cli = world, aws_cli
        self.key = world.run.dir / "bench-key"
        self.host_key = world.run.dir / "bench-host-key"
        for key in (self.key, self.host_key):
            if not key.exists():
                shell("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        self.instance, self.address = self._launch()
        known = f"{self.address} {self.host_key.with_suffix('.pub').read_text()}"
        self.known_hosts = world.run.dir / "bench-known-hosts"
        self.known_hosts.write_text(known)
        until("the pipeline's box answers", lambda: self._ssh("true").returncode == 0, 60)
        self._install_aws_cli()

    def _launch(self) -> tuple[str, str]:
        ec2, iam = self.world.client("ec2"), self.world.client("iam")
        self.world.client("s3").create_bucket(Bucket=BUCKET)
        name = "bench-pipeline"
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document("sts:AssumeRole", {"Principal": {"Service": "ec2.amazonaws.com"}}))
        puts = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        iam.put_role_policy(RoleName=name, PolicyName="put", PolicyDocument=document(puts, {"Resource": f"arn:aws:s3:::{BUCKET}/*"}))
        profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        vpc = [{"Name": "vpc-id", "Values": [self.world.outputs["VpcId"]]}]
        subnets = ec2.describe_subnets(Filters=vpc)["Subnets"]
        public = next(s["SubnetId"] for s in subnets if s["CidrBlock"].startswith("10.0.1."))
        group = ec2.create_security_group(GroupName=name, Description="ssh in", VpcId=self.world.outputs["VpcId"])["GroupId"]
        ssh = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANYWHERE}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ssh)
        interface = {"DeviceIndex": 0, "SubnetId": public, "Groups": [group], "AssociatePublicIpAddress": True}
        launched = ec2.run_instances(
            ImageId=self.world.client("ssm").get_parameter(Name=AMI_PARAMETER)["Parameter"]["Value"],
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
            IamInstanceProfile={"Arn": profile},
            UserData=self._user_data(),
        )
        instance = launched["Instances"][0]["InstanceId"]

        def address() -> str | None:
            found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
            return found.get("PublicIpAddress") if found["State"]["Name"] == "running" else None

        return instance, until("the pipeline's box runs", address, 60)

    def _install_aws_cli(self) -> None:
        """Into the box, which sees nothing of this machine but its system's directories."""
        record = self.world.run.dir / "aws/machines" / self.instance / "init.json"
        root = Path(f"/proc/{json.loads(record.read_text())['pid']}/root")
        packages = next((self.aws_cli / "lib").glob("python3*/site-packages"))
        ignored = shutil.ignore_patterns("__pycache__", "pip", "setuptools", "examples")
        shutil.copytree(packages, root / AWS_CLI[1:], ignore=ignored)

    def _user_data(self) -> str:
        place = "/run/bench"
        options = f"-p 22 -h {place}/host -o AuthorizedKeysFile={place}/keys -o StrictModes=no -o UsePAM=no -o PidFile=none"
        return "\n".join(
            [
                "#!/bin/bash",
                "systemctl mask --now sshd",
                f"mkdir -p {place} /run/sshd && umask 077",
                f"cat >{place}/host <<'END'\n{self.host_key.read_text()}END",
                f"cat >{place}/keys <<'END'\n{self.key.with_suffix('.pub').read_text()}END",
                f"/usr/sbin/sshd -f /dev/null {options}",
                "",
            ]
        )

    def _ssh_words(self) -> list[str]:
        options = [f"UserKnownHostsFile={self.known_hosts}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"]
        options += ["BatchMode=yes", "ConnectTimeout=5"]
        return ["ssh", "-F", "none", "-i", str(self.key), *(w for o in options for w in ("-o", o)), f"root@{self.address}"]

    def _in_node(self) -> list[str]:
        """Where pods are: the way out is the same as the controller's."""
        return list(self.world.facts["kubernetes"]["node_netns_command"])

    def _ssh(self, command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self._in_node(), *self._ssh_words(), command], capture_output=True, check=False)

    def _carry(self, pod: str, key: str) -> None:
        gather = shlex.join(self.world.kubectl_words("exec", "-n", NAMESPACE, pod, "--", "tar", "-c", "-f", "-", "-C", "/", "data"))
        environment = f"AWS_REGION={REGION} AWS_ENDPOINT_URL_S3={S3_URL} AWS_CA_BUNDLE={GUEST_AUTHORITY}"
        upload = f"{environment} PYTHONPATH={AWS_CLI} /usr/bin/python3 -m awscli s3 cp --quiet - s3://{BUCKET}/{key}"
        line = f"set -o pipefail; {gather} | zstd -3 -q -c | {shlex.join(self._ssh_words())} {shlex.quote(upload)}"
        done = subprocess.run([*self._in_node(), "bash", "-c", line], capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"the pipeline for {pod} failed: {done.stderr.decode()[-2000:]}")

    def run(self, name: str, pods: list[str]) -> Result:
        """One run: a pipeline for each pod, all at once."""
        index = self.world.run.index
        boxes = Watch(lambda: processes(("sshd", "aws", "python", "python3"), f"dba{index}-machines/{self.instance}"))
        own = Watch(lambda: descendants(("kubectl", "zstd", "ssh")))
        begun = time.monotonic()
        with boxes, own, ThreadPoolExecutor(len(pods)) as pool:
            list(pool.map(lambda pod: self._carry(pod, f"{name}/{pod}.tar.zst"), pods))
        seconds = time.monotonic() - begun
        listing = self.world.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/")
        stored = sum(found["Size"] for found in listing.get("Contents", []))
        if len(listing.get("Contents", [])) != len(pods):
            raise SystemExit(f"the pipeline stored {len(listing.get('Contents', []))} objects for {len(pods)} pods")
        return Result(seconds, seconds, own.bytes, boxes.bytes, stored)


def descendants(names: tuple[str, ...]) -> list[int]:
    """Processes of these names that this program started, at any depth."""
    table = shell("ps", "-eo", "pid=,ppid=,comm=").splitlines()
    rows = [(int(pid), int(parent), name) for pid, parent, name in (line.split(None, 2) for line in table)]
    ours = {os.getpid()}
    for _ in range(6):
        ours |= {pid for pid, parent, _ in rows if parent in ours}
    return [pid for pid, _, name in rows if pid in ours and name in names]


def document(actions: Any, more: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, **more}]})

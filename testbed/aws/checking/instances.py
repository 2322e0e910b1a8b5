"""An instance's life: launch, interfaces, metadata, and every way in which it ends."""

from __future__ import annotations

import base64
import time
from typing import Any

from .kit import Bed, Checks, until
from .stack import Stack

USER_DATA = """#!/bin/bash
base=http://169.254.169.254/latest
token=$(curl -fsS -X PUT $base/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
get() { curl -sS -H "X-aws-ec2-metadata-token: $token" "$base/meta-data/$1"; }
echo "V1 $(curl -s -o /dev/null -w '%{http_code}' $base/meta-data/instance-id)"
echo "V2 $(get instance-id) $(get public-ipv4) $(get iam/security-credentials/)"
systemctl mask --now sshd && echo MASKED
"""


class Instances:
    """Checks on instances; `box` is one that runs on for the others to use."""

    def __init__(self, bed: Bed, stack: Stack, checks: Checks) -> None:
        self.bed, self.stack, self.checks = bed, stack, checks
        self.ec2 = bed.client("ec2")

    def describe(self, instance: str) -> dict[str, Any]:
        return self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]

    def state(self, instance: str) -> str:
        return self.describe(instance)["State"]["Name"]

    def start(self, **changes: Any) -> str:
        instance = self.ec2.run_instances(**self.stack.launch(**changes))["Instances"][0]["InstanceId"]
        until(lambda: self.state(instance) == "running")
        return instance

    def refused_launches(self) -> None:
        checks, stack, run = self.checks, self.stack, self.ec2.run_instances
        both = [stack.interface(0, AssociatePublicIpAddress=True), stack.interface(1)]
        checks.denied(
            "two interfaces and AssociatePublicIpAddress",
            lambda: run(**stack.launch(NetworkInterfaces=both)),
            "InvalidParameterCombination",
        )
        large = base64.b64encode(b"#" * 16384).decode()
        checks.denied("user data over 16 KiB", lambda: run(**stack.launch(UserData=large)), "InvalidParameterValue")
        checks.denied(
            "unknown image", lambda: run(**stack.launch(ImageId="ami-0deadbeef0deadbee")), "InvalidAMIID.NotFound"
        )
        unknown = [stack.interface(0, Groups=["sg-0deadbeef0deadbee"])]
        checks.denied("unknown group", lambda: run(**stack.launch(NetworkInterfaces=unknown)), "InvalidGroup.NotFound")
        profile = {"Name": "no-such-profile"}
        checks.denied(
            "unknown profile", lambda: run(**stack.launch(IamInstanceProfile=profile)), "InvalidParameterValue"
        )
        self.bed.control("/capacity", {"type": "t3.small", "available": False})
        checks.denied("t3.small without capacity", lambda: run(**stack.launch()), "InsufficientInstanceCapacity")
        other = checks.allowed("t3a.small in its place", lambda: self.start(InstanceType="t3a.small"))
        self.bed.control("/capacity", {"type": "t3.small", "available": True})
        if other:
            self.ec2.terminate_instances(InstanceIds=[other])

    def launch_box(self) -> str:
        """A box as `create` makes one: public interface at launch, private one attached when it runs."""
        checks, stack, ec2 = self.checks, self.stack, self.ec2
        launch = stack.launch(ClientToken="checks-session", UserData=USER_DATA)
        begun = time.monotonic()
        first = ec2.run_instances(**launch)["Instances"][0]
        box: str = first["InstanceId"]
        checks.that("RunInstances answers pending", first["State"]["Name"] == "pending")
        checks.that(
            "pending to running under 1 s",
            until(lambda: self.state(box) == "running", 1.5),
            f"{time.monotonic() - begun:.2f} s",
        )
        again = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
        checks.that("the same ClientToken gives the same instance", again == box)
        checks.denied(
            "the same ClientToken with other parameters",
            lambda: ec2.run_instances(**{**launch, "UserData": "#!/bin/sh"}),
            "IdempotentParameterMismatch",
        )
        self._attach(box)
        self._console(box)
        self._filters(box)
        return box

    def _attach(self, box: str) -> None:
        checks, stack, ec2 = self.checks, self.stack, self.ec2
        wanted = dict(
            SubnetId=stack.private_subnet,
            Groups=[stack.private_group],
            ClientToken="checks-private",
            TagSpecifications=[
                {"ResourceType": "network-interface", "Tags": [{"Key": "drawbridge:session", "Value": "checks"}]}
            ],
        )
        interface = ec2.create_network_interface(**wanted)["NetworkInterface"]["NetworkInterfaceId"]
        again = ec2.create_network_interface(**wanted)["NetworkInterface"]["NetworkInterfaceId"]
        checks.that("CreateNetworkInterface honours ClientToken", interface == again)
        checks.denied(
            "another interface under that token",
            lambda: ec2.create_network_interface(**{**wanted, "Description": "x"}),
            "IdempotentParameterMismatch",
        )
        attach = dict(NetworkInterfaceId=interface, InstanceId=box, DeviceIndex=1)
        attachment = checks.allowed("AttachNetworkInterface", lambda: ec2.attach_network_interface(**attach))[
            "AttachmentId"
        ]
        checks.denied("attached twice", lambda: ec2.attach_network_interface(**attach), "InvalidNetworkInterface.InUse")
        kept = {"AttachmentId": attachment, "DeleteOnTermination": True}
        checks.allowed(
            "DeleteOnTermination of it",
            lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Attachment=kept),
        )
        found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
        checks.that("... is described", found["Attachment"]["DeleteOnTermination"] is True, found["Attachment"])
        checks.that(
            "the machine gets the interface", until(lambda: "10.0.2." in self.bed.inside(box, "ip -br -4 a").stdout)
        )
        checks.denied(
            "DeleteNetworkInterface in use",
            lambda: ec2.delete_network_interface(NetworkInterfaceId=interface),
            "InvalidParameterValue",
        )
        checks.denied(
            "DeleteSecurityGroup in use",
            lambda: ec2.delete_security_group(GroupId=stack.private_group),
            "DependencyViolation",
        )

    def _console(self, box: str) -> None:
        output = until(
            lambda: (lambda o: o if "MASKED" in o else "")(
                self.ec2.get_console_output(InstanceId=box).get("Output", "")
            )
        )
        public = self.describe(box)["PublicIpAddress"]
        self.checks.that("IMDSv1 is refused", "V1 401" in output, output)
        self.checks.that("IMDSv2 answers", f"V2 {box} {public} checks-box" in output)
        self.checks.that("systemctl mask --now sshd ends well in user data", "MASKED" in output)

    def _filters(self, box: str) -> None:
        filters = {
            "client-token": "checks-session",
            "tag:drawbridge:session": "checks",
            "tag-key": "drawbridge:session",
            "instance.group-name": "checks-public",
            "network-interface.group-id": self.stack.private_group,
            "iam-instance-profile.arn": self.stack.profile,
            "instance-state-name": "running",
            "vpc-id": self.stack.vpc,
        }
        for name, value in filters.items():
            live = {"Name": "instance-state-name", "Values": ["running"]}
            wanted = [{"Name": name, "Values": [value]}] + ([live] if name != "instance-state-name" else [])
            found = [
                i["InstanceId"]
                for r in self.ec2.describe_instances(Filters=wanted)["Reservations"]
                for i in r["Instances"]
            ]
            none = self.ec2.describe_instances(Filters=[{"Name": name, "Values": ["no-such"]}])["Reservations"]
            self.checks.that(f"DescribeInstances by {name}", box in found and not none, found)
        for name, value in {
            "attachment.instance-id": box,
            "tag:drawbridge:session": "checks",
            "group-id": self.stack.public_group,
            "status": "in-use",
        }.items():
            found = self.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])[
                "NetworkInterfaces"
            ]
            none = self.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": ["no-such"]}])[
                "NetworkInterfaces"
            ]
            mine = [n for n in found if n.get("Attachment", {}).get("InstanceId") == box]
            self.checks.that(f"DescribeNetworkInterfaces by {name}", mine and not none, len(found))

    def visibility(self) -> None:
        """Eventual consistency, when asked for: a new instance is not found at first."""
        self.bed.control("/visibility", {"milliseconds": 700})
        instance = self.ec2.run_instances(**self.stack.launch())["Instances"][0]["InstanceId"]
        self.checks.denied("a new instance, hidden", lambda: self.describe(instance), "InvalidInstanceID.NotFound")
        time.sleep(0.8)
        self.checks.allowed("... is found later", lambda: self.describe(instance))
        self.bed.control("/visibility", {"milliseconds": 0})
        until(lambda: self.state(instance) == "running")
        self.ec2.terminate_instances(InstanceIds=[instance])

    def bounded(self, box: str) -> None:
        """A guest cannot fill the host's memory, nor see what the host keeps."""
        filled = self.bed.inside(box, "head -c 600M /dev/zero >/tmp/fill; stat -c %s /tmp/fill; rm /tmp/fill")
        self.checks.that("a guest's disk is bounded", "No space left" in filled.stderr, filled.stdout.strip())
        seen = self.bed.inside(
            box, "ls -A /root /home /var/tmp /work 2>/dev/null | grep -v ':$' | grep -c ."
        ).stdout.strip()
        self.checks.that("a guest sees no files of the host's people", seen == "0", seen)
        others = self.bed.inside(box, "ls -d /proc/[0-9]* | wc -l").stdout.strip()
        self.checks.that("a guest sees its own processes only", int(others) < 20, others)

    def shutdown_inside(self) -> None:
        checks, bed = self.checks, self.bed
        instance = self.start()
        bed.inside(instance, "shutdown -h +1; sleep .1; shutdown -c")
        time.sleep(0.3)
        pending = bed.inside(instance, "pgrep -xa sleep | grep -c 'sleep 60'").stdout.strip()
        checks.that(
            "shutdown -c calls shutdown -h +1 off", self.state(instance) == "running" and pending == "0", pending
        )
        begun = time.monotonic()
        bed.inside(instance, "shutdown -h now")
        ended = until(lambda: self.state(instance) == "terminated")
        reason = self.describe(instance).get("StateReason", {}).get("Code")
        checks.that("shutdown -h now inside terminates", ended, f"{time.monotonic() - begun:.2f} s")
        checks.that("... as Client.InstanceInitiatedShutdown", reason == "Client.InstanceInitiatedShutdown", reason)
        stopping = self.start(InstanceInitiatedShutdownBehavior="stop")
        bed.inside(stopping, "poweroff")
        checks.that("with behaviour stop it stops", until(lambda: self.state(stopping) == "stopped"))
        self.ec2.terminate_instances(InstanceIds=[stopping])
        checks.that("... and can be terminated", until(lambda: self.state(stopping) == "terminated"))

    def terminate(self, box: str) -> None:
        checks, ec2 = self.checks, self.ec2
        answer = ec2.terminate_instances(InstanceIds=[box])["TerminatingInstances"][0]["CurrentState"]["Name"]
        checks.that("TerminateInstances answers shutting-down", answer == "shutting-down")
        checks.that("... then terminated", until(lambda: self.state(box) == "terminated"))
        again = ec2.terminate_instances(InstanceIds=[box])["TerminatingInstances"][0]["CurrentState"]["Name"]
        checks.that("TerminateInstances again answers terminated", again == "terminated")
        checks.denied(
            "TerminateInstances of an unknown id",
            lambda: ec2.terminate_instances(InstanceIds=["i-0deadbeef0deadbee"]),
            "InvalidInstanceID.NotFound",
        )
        left = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [self.stack.vpc]}])[
            "NetworkInterfaces"
        ]
        checks.that(
            "no interface is left, the attached one included", not left, [n["NetworkInterfaceId"] for n in left]
        )
        checks.that("DescribeInstances still knows it, with its tags", self.describe(box)["Tags"])

    def crash_leaks_interface(self) -> None:
        """Without DeleteOnTermination an attached interface outlives its machine."""
        instance = self.start()
        made = self.ec2.create_network_interface(SubnetId=self.stack.private_subnet, Groups=[self.stack.private_group])
        interface = made["NetworkInterface"]["NetworkInterfaceId"]
        self.ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=1)
        self.ec2.terminate_instances(InstanceIds=[instance])
        until(lambda: self.state(instance) == "terminated")
        status = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["Status"]
        self.checks.that("an interface without DeleteOnTermination outlives its machine", status == "available", status)
        self.checks.allowed(
            "... and can be deleted", lambda: self.ec2.delete_network_interface(NetworkInterfaceId=interface)
        )

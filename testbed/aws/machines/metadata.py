"""The instance metadata service (IMDSv2) of one instance, at 169.254.169.254 in the fabric.

Each interface of an instance has a socket of its own, bound to the fabric's end of it: the instance's root can cut itself
off from it, and reach no other's. A token's packets live for as many hops as the instance's metadata options say, so what
is forwarded by the instance, to a container of it, is one hop too far.
"""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import socket
import socketserver
import threading
import time
from typing import Any, Callable
from urllib.parse import unquote

from .entering import within
from .sending import METADATA_ADDRESS as ADDRESS

LONGEST_TOKEN_SECONDS = 21600
USUAL_HOPS = 64

Json = dict[str, Any]


def host_name(instance: Json) -> str:
    return "ip-" + instance["nics"][0]["ip"].replace(".", "-")


def properties(instance: Json) -> dict[str, str]:
    """Everything below /latest/meta-data/ as flat paths."""
    first = instance["nics"][0]
    found = {
        "ami-id": instance["image"],
        "hostname": host_name(instance),
        "instance-id": instance["id"],
        "instance-life-cycle": "on-demand",
        "instance-type": instance["type"],
        "local-hostname": host_name(instance),
        "local-ipv4": first["ip"],
        "mac": first["mac"],
        "placement/availability-zone": instance["zone"],
        "placement/region": instance["region"],
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    if first["public"]:
        found["public-ipv4"] = first["public"]
    for nic in instance["nics"]:
        found.update(_interface_properties(nic))
    if instance["metadata"]["tags"] == "enabled":
        found.update({f"tags/instance/{key}": value for key, value in instance["tags"].items()})
    if instance["role"]:
        found["iam/security-credentials/"] = instance["role"]
        profile = {
            "Code": "Success",
            "LastUpdated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "InstanceProfileArn": instance["profile"],
            "InstanceProfileId": instance["profile_id"],
        }
        found["iam/info"] = json.dumps(profile)
    return found


def _interface_properties(nic: Json) -> dict[str, str]:
    base = f"network/interfaces/macs/{nic['mac']}/"
    found = {
        "device-number": str(nic["index"]),
        "interface-id": nic["id"],
        "local-ipv4s": nic["ip"],
        "mac": nic["mac"],
        "security-group-ids": "\n".join(nic["groups"]),
        "subnet-id": nic["subnet"],
        "subnet-ipv4-cidr-block": nic["subnet_range"],
        "vpc-id": nic["vpc"],
        "vpc-ipv4-cidr-block": nic["vpc_ranges"][0],
    }
    if nic["public"]:
        found["public-ipv4s"] = nic["public"]
    return {base + name: value for name, value in found.items()}


def look_up(instance: Json, path: str, credentials: Callable[[], str]) -> str | bytes | None:
    """The answer to a GET, None for 404; a path that others lie below lists them."""
    if path == "/latest/user-data":
        return base64.b64decode(instance["user_data"]) if instance["user_data"] else None
    if path == "/latest/dynamic/instance-identity/document":
        return json.dumps(_identity(instance), indent=1)
    if path.rstrip("/") == "/latest":
        return "dynamic\nmeta-data\nuser-data"
    if not path.startswith("/latest/meta-data"):
        return None
    wanted = path.removeprefix("/latest/meta-data").lstrip("/")
    found = properties(instance)
    if instance["role"] and wanted == f"iam/security-credentials/{instance['role']}":
        return credentials()
    if wanted in found or f"{wanted}/" in found:
        return found.get(wanted) or found[f"{wanted}/"]
    directory = wanted.rstrip("/") + "/" if wanted else ""
    below = [key.removeprefix(directory) for key in found if key.startswith(directory)]
    names = {name.split("/")[0] + ("/" if "/" in name else "") for name in below}
    return "\n".join(sorted(names)) or None


def _identity(instance: Json) -> Json:
    return {
        "accountId": instance["account"],
        "architecture": "x86_64",
        "availabilityZone": instance["zone"],
        "imageId": instance["image"],
        "instanceId": instance["id"],
        "instanceType": instance["type"],
        "privateIp": instance["nics"][0]["ip"],
        "region": instance["region"],
        "version": "2017-09-30",
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    server: _Server
    timeout = 10

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: str | bytes = b"", **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _live_for(self, hops: int) -> None:
        """How far the answer's packets get: EC2 limits those to a PUT only."""
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, max(1, int(hops)))

    def do_PUT(self) -> None:  # noqa: N802, the name is the base class's
        if self.path != "/latest/api/token":
            return self._answer(405)
        if self.headers.get("X-Forwarded-For"):
            return self._answer(403)
        self._live_for(self.server.service.instance()["metadata"]["hops"])
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST_TOKEN_SECONDS:
            return self._answer(400)
        self._answer(200, self.server.service.new_token(int(seconds)), X_aws_ec2_metadata_token_ttl_seconds=seconds)

    def do_GET(self) -> None:  # noqa: N802
        self._live_for(USUAL_HOPS)
        service = self.server.service
        instance = service.instance()
        token = self.headers.get("X-aws-ec2-metadata-token")
        if instance["metadata"]["endpoint"] == "disabled":
            return self._answer(403)
        if (
            token is None
            and instance["metadata"]["tokens"] == "required"
            or token is not None
            and not service.is_valid(token)
        ):
            return self._answer(401)
        found = look_up(instance, unquote(self.path), service.credentials) if instance["nics"] else None
        self._answer(404 if found is None else 200, found or b"")


class MetadataService:
    """One instance's service, on every interface that it has."""

    def __init__(self, instance: Callable[[], Json], credentials: Callable[[], str]) -> None:
        self.instance, self.credentials = instance, credentials
        self._tokens: dict[str, float] = {}
        self._servers: dict[str, _Server] = {}

    def listen(self, namespace: str, device: str) -> None:
        """Answers what comes in by one device of the namespace, and by no other."""
        server = _Server(within(namespace, lambda: _listening(device)), self)
        self._servers[device] = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()

    def leave(self, device: str) -> None:
        """The device is gone, or will be."""
        server = self._servers.pop(device, None)
        if server:
            server.shutdown()
            server.server_close()

    def new_token(self, seconds: int) -> str:
        token = secrets.token_urlsafe(42)
        self._tokens[token] = time.time() + seconds
        return token

    def is_valid(self, token: str) -> bool:
        return self._tokens.get(token, 0) > time.time()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket, service: MetadataService) -> None:
        super().__init__((ADDRESS, 80), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.service = service


def _listening(device: str) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((ADDRESS, 80))
    listening.listen(64)
    return listening

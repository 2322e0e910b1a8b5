"""Requests that probes make, each a function of the world. What may stay behind is named `probe` and is removed."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tests.policy.probe import Place

Request = Callable[[Any], Any]
FIVE_MIB = 5 << 20


def backup_key(world: Any, name: str, cluster: str | None = None) -> str:
    return f"clusters/{cluster or world.cluster}/probe/{name}"


def bucket_of(world: Any, bucket: str) -> str:
    """`backup`, `state`, `log`, or a bucket's own name."""
    named = {"backup": "BackupBucket", "state": "StateBucket", "log": "LogBucket"}
    return str(world.outputs[named[bucket]] if bucket in named else bucket)


def get(
    who: str, bucket: str, key: str, where: Place = Place.INTERNET, plain: bool = False, **which: Any
) -> Request:
    """`plain`, here and below: over plain HTTP."""

    def request(world: Any) -> None:
        s3 = world.client("s3", who, where, plain)
        s3.get_object(Bucket=bucket_of(world, bucket), Key=key.format(cluster=world.cluster), **which)["Body"].read()

    return request


def put(
    who: str,
    bucket: str,
    key: str,
    where: Place = Place.INTERNET,
    once: bool = True,
    fresh: bool = True,
    plain: bool = False,
    **more: Any,
) -> Request:
    """`once` sends if-none-match; `fresh` writes to a key of its own beside `key`; `more` is sent as it stands."""

    def request(world: Any) -> None:
        target = key.format(cluster=world.cluster)
        world.client("s3", who, where, plain).put_object(
            Bucket=bucket_of(world, bucket),
            Key=f"{target}-{world.fresh()}" if fresh else target,
            Body=b"x",
            **({"IfNoneMatch": "*"} if once else {}),
            **{name: value(world) if callable(value) else value for name, value in more.items()},
        )

    return request


def presigned(call: str, key: str, where: Place = Place.ENDPOINT, **signed: Any) -> Request:
    """Presigned by `create` in the state bucket, sent without credentials: from a box's private side as the box does, or
    from elsewhere."""

    def request(world: Any) -> None:
        reads = call == "get_object"
        target = key if reads else f"{key}-{world.fresh()}"
        named = {"Bucket": world.outputs["StateBucket"], "Key": target, **signed}
        url = world.client("s3", "create", where).generate_presigned_url(call, Params=named, ExpiresIn=60)
        headers = {"if-none-match": "*"} if signed else {}
        _send(world, urllib.request.Request(url, None if reads else b"{}", headers, method="GET" if reads else "PUT"))

    return request


def _send(world: Any, request: urllib.request.Request) -> None:
    """Raises what boto3 would raise."""
    request.add_unredirected_header("Content-Type", "")  # urllib's own would not have been signed
    try:
        world.open(request).close()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        code = text.partition("<Code>")[2].partition("</Code>")[0] or str(error.code)
        raise ClientError({"Error": {"Code": code, "Message": text[:200]}}, "presigned") from error


def delete(who: str, bucket: str, key: str, where: Place = Place.INTERNET, version: str | None = None) -> Request:
    def request(world: Any) -> None:
        which = {"VersionId": version} if version else {}
        s3 = world.client("s3", who, where)
        s3.delete_object(Bucket=bucket_of(world, bucket), Key=key.format(cluster=world.cluster), **which)

    return request


def list_objects(
    who: str, bucket: str, prefix: str = "", where: Place = Place.INTERNET, plain: bool = False
) -> Request:
    def request(world: Any) -> None:
        s3 = world.client("s3", who, where, plain)
        s3.list_objects_v2(Bucket=bucket_of(world, bucket), Prefix=prefix.format(cluster=world.cluster), MaxKeys=1)

    return request


def list_uploads(who: str, bucket: str) -> Request:
    def request(world: Any) -> None:
        world.client("s3", who).list_multipart_uploads(Bucket=bucket_of(world, bucket))

    return request


def abort(who: str, bucket: str, key: str, where: Place = Place.INTERNET) -> Request:
    """Of an upload that there is not: S3 asks the policies first, then answers NoSuchUpload."""

    def request(world: Any) -> None:
        s3, target = world.client("s3", who, where), key.format(cluster=world.cluster)
        s3.abort_multipart_upload(Bucket=bucket_of(world, bucket), Key=target, UploadId="probe")

    return request


def upload(who: str, key: str, where: Place, once: bool) -> Request:
    """A multipart upload into the backup bucket, one part, to its end."""

    def request(world: Any) -> None:
        s3 = world.client("s3", who, where)
        named = {"Bucket": world.outputs["BackupBucket"], "Key": f"{key.format(cluster=world.cluster)}-{world.fresh()}"}
        named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
        part = {"PartNumber": 1, "ETag": s3.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]}
        condition = {"IfNoneMatch": "*"} if once else {}
        s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [part]}, **condition)

    return request


def dry_run(who: str, call: str, **arguments: Any) -> Request:
    """An EC2 call that EC2 only judges. Arguments that are functions are given the world."""

    def request(world: Any) -> None:
        filled = {name: value(world) if callable(value) else value for name, value in arguments.items()}
        getattr(world.client("ec2", who), call)(DryRun=True, **filled)

    return request


def invoke(who: str, function: Callable[[Any], str]) -> Request:
    """Lambda judges a DryRun and runs nothing."""

    def request(world: Any) -> None:
        world.client("lambda", who).invoke(FunctionName=function(world), InvocationType="DryRun")

    return request


def write_log(who: str, function: str) -> Request:
    """One line into the log of `create` or `cleanup`, as Lambda writes it."""

    def request(world: Any) -> None:
        group = world.stack.resources[f"{function.capitalize()}Log"]["reference"]
        logs, stream = world.client("logs", who), world.fresh()
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": 1, "message": "probe"}]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    return request


def run_box(who: str, change: Callable[[Any, dict[str, Any]], None] | None = None) -> Request:
    """RunInstances as `create` sends it, changed by `change`; only judged."""

    def request(world: Any) -> None:
        arguments = {
            "DryRun": True,
            "MinCount": 1,
            "MaxCount": 1,
            "ImageId": world.belongings.image(),
            "InstanceType": "t3.small",
            "InstanceInitiatedShutdownBehavior": "terminate",
            "IamInstanceProfile": {"Arn": world.stack.resources["JumpBoxProfile"]["attributes"]["Arn"]},
            "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "DeleteOnTermination": True}}],
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "AssociatePublicIpAddress": True,
                    "SubnetId": world.outputs["PublicSubnetId"],
                    "Groups": [world.belongings.own_group],
                    "DeleteOnTermination": True,
                }
            ],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": session_tags(world)}
                for kind in ("instance", "volume", "network-interface")
            ],
        }
        if change:
            change(world, arguments)
        world.client("ec2", who).run_instances(**arguments)

    return request


def session_tags(world: Any) -> list[dict[str, str]]:
    """The four tags of a session's things."""
    tags = [tag for tag in world.belongings.tags(world.stack.name) if tag["Key"] != "drawbridge:probe"]
    return [*tags, {"Key": "Name", "Value": "drawbridge-probe"}]


def tagged(kind: str) -> Callable[[Any], list[dict[str, Any]]]:
    """The TagSpecifications of one created thing."""
    return lambda world: [{"ResourceType": kind, "Tags": session_tags(world)}]

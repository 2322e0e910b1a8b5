"""S3's rules that the product leans on (write-once, multipart), and policies that nobody here can judge."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from testbed.aws.layout import ACCOUNT, S3_URL

from .kit import Bed, Checks, allow, policy

BUCKET = "checks-once"
OBJECTS = f"arn:aws:s3:::{BUCKET}/*"
PART = b"p" * (5 * 1024 * 1024)


def write_once(bed: Bed, checks: Checks) -> None:
    """The bucket policy that lets no object be overwritten, with a writer that could otherwise."""
    root = bed.client("s3")
    root.create_bucket(Bucket=BUCKET)
    root.put_bucket_policy(
        Bucket=BUCKET,
        Policy=policy(
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": OBJECTS,
                "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
            }
        ),
    )
    s3 = bed.client("s3", bed.user("checks-writer", allow(["s3:PutObject", "s3:GetObject"], OBJECTS)))
    once = {"Bucket": BUCKET, "Key": "a", "Body": b"1"}
    checks.denied("PutObject without If-None-Match", lambda: s3.put_object(**once), "AccessDenied")
    checks.allowed("PutObject with If-None-Match", lambda: s3.put_object(**once, IfNoneMatch="*"))
    checks.denied("PutObject over it", lambda: s3.put_object(**once, IfNoneMatch="*"), "PreconditionFailed")
    source = {"Bucket": BUCKET, "Key": "a"}
    checks.denied("CopyObject", lambda: s3.copy_object(Bucket=BUCKET, Key="b", CopySource=source), "AccessDenied")
    _multipart(s3, root, checks)


def _multipart(s3: Any, root: Any, checks: Checks) -> None:
    def upload(client: Any, *sizes: int) -> dict[str, Any]:
        where = {"Bucket": BUCKET, "Key": "large"}
        upload_id = client.create_multipart_upload(**where)["UploadId"]
        parts = [
            {
                "PartNumber": n,
                "ETag": client.upload_part(**where, UploadId=upload_id, PartNumber=n, Body=PART[:size])["ETag"],
            }
            for n, size in enumerate(sizes, 1)
        ]
        return {**where, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}

    ready = checks.allowed(
        "CreateMultipartUpload and UploadPart need no If-None-Match", lambda: upload(s3, len(PART), 10)
    )
    rival = upload(s3, 10)
    checks.denied("CompleteMultipartUpload without it", lambda: s3.complete_multipart_upload(**ready), "AccessDenied")
    checks.allowed("CompleteMultipartUpload with it", lambda: s3.complete_multipart_upload(**ready, IfNoneMatch="*"))
    checks.denied("... retried", lambda: s3.complete_multipart_upload(**ready, IfNoneMatch="*"), "PreconditionFailed")
    checks.denied(
        "... by another upload", lambda: s3.complete_multipart_upload(**rival, IfNoneMatch="*"), "PreconditionFailed"
    )
    small = {**upload(s3, 1000, 10), "IfNoneMatch": "*"}
    checks.denied(
        "a part under 5 MiB that is not the last", lambda: s3.complete_multipart_upload(**small), "EntityTooSmall"
    )
    checks.denied(
        "AbortMultipartUpload without the right",
        lambda: s3.abort_multipart_upload(Bucket=BUCKET, Key="large", UploadId=rival["UploadId"]),
        "AccessDenied",
    )
    checks.allowed(
        "AbortMultipartUpload with it",
        lambda: root.abort_multipart_upload(Bucket=BUCKET, Key="large", UploadId=rival["UploadId"]),
    )


def presigned(bed: Bed, checks: Checks) -> None:
    """What `create` hands to the box: a PUT of one object, once, with the signer's rights, at S3's own address."""
    key = bed.user("checks-signer", allow("s3:PutObject", OBJECTS))
    signer = bed.client("s3", key, S3_URL)
    url = signer.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "ready", "IfNoneMatch": "*"})

    def put(to: str, *headers: str) -> str:
        curl = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-H", "content-type:")
        return bed.outside(*curl, *headers, "--data-binary", "x", to).stdout

    once = ("-H", "if-none-match: *")
    checks.that("a presigned PUT names the header that makes it write-once", "if-none-match" in url)
    checks.that("... without that header it is refused", put(url) == "403")
    checks.that("... for another key it is refused", put(url.replace("/ready", "/other"), *once) == "403")
    checks.that("... as it was signed it is taken", put(url, *once) == "200")
    checks.that("... and no second time", put(url, *once) == "412")


def called_via(bed: Bed, checks: Checks) -> None:
    """CloudFormation's calls in somebody's name: whoever is inside a run can say so, and is not believed."""
    root, bucket = bed.client("s3"), "checks-called"
    root.create_bucket(Bucket=bucket)
    root.put_object(Bucket=bucket, Key="a", Body=b"1")
    objects = f"arn:aws:s3:::{bucket}/*"
    service = "cloudformation.amazonaws.com"
    only = {"StringNotEquals": {"aws:CalledViaFirst": service}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": objects, "Condition": only}
    key, claim = bed.user("checks-caller", allow("s3:GetObject", objects)), "x-testbed-called-via"
    url = bed.client("s3", key, S3_URL).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"})
    curl = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}")

    def claimed() -> str:
        return bed.outside(*curl, "-H", f"{claim}: {service}", url).stdout

    checks.that("a presigned GET is answered", claimed() == "200")
    root.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    checks.that("... where only CloudFormation may read, its claim counts for nothing", claimed() == "403")
    s3 = bed.client("s3", key)
    checks.denied("GetObject in one's own name", lambda: s3.get_object(Bucket=bucket, Key="a"), "AccessDenied")
    s3.meta.events.register("before-send", lambda request, **_: request.headers.update({claim: service}))
    checks.allowed("... and by the interpreter's word it passes", lambda: s3.get_object(Bucket=bucket, Key="a"))


def excepted(bed: Bed, checks: Checks) -> None:
    """A bucket's policy that applies to all objects but some."""
    root, bucket = bed.client("s3"), "checks-excepted"
    root.create_bucket(Bucket=bucket)
    spared = [f"arn:aws:s3:::{bucket}/spared/*"]
    root.put_bucket_policy(
        Bucket=bucket,
        Policy=policy({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "NotResource": spared}),
    )
    s3 = bed.client("s3", bed.user("checks-excepted", allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*")))
    checks.allowed("PutObject of what NotResource names", lambda: s3.put_object(Bucket=bucket, Key="spared/a"))
    checks.denied("PutObject of another", lambda: s3.put_object(Bucket=bucket, Key="a"), "AccessDenied")


def unknown_keys(bed: Bed, checks: Checks) -> None:
    """Each must fail with a server error that names the key, and be in the audit log."""
    s3 = bed.client("s3")
    cases = {
        "s3:NoSuchKeyAtAll": {"StringEquals": {"s3:NoSuchKeyAtAll": "x"}},
        "aws:SourceVpcTypo": {"StringNotEquals": {"aws:SourceVpcTypo": "x"}},
        "StringEqualz": {"StringEqualz": {"aws:SourceVpce": "x"}},
    }
    for number, (name, condition) in enumerate(cases.items()):
        key = bed.user(
            f"checks-unknown-{number}",
            allow("s3:ListAllMyBuckets"),
            allow("s3:GetObject", OBJECTS, Condition=condition),
        )
        checks.that(f"{name} in an identity's policy fails loudly", _names(bed.client("s3", key), name))
    reader = bed.user(
        "checks-known",
        allow("s3:ListAllMyBuckets"),
        allow("s3:GetObject", OBJECTS, Condition={"Null": {"aws:SourceVpce": "false"}}),
    )
    checks.allowed("... a known key does not", lambda: bed.client("s3", reader).list_buckets())
    s3.create_bucket(Bucket="checks-unknown")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::checks-unknown/*",
        "Condition": cases["s3:NoSuchKeyAtAll"],
    }
    s3.put_bucket_policy(Bucket="checks-unknown", Policy=policy(statement))
    lister = bed.user("checks-lister", allow("s3:ListBucket"))
    checks.that(
        "... nor in a bucket's policy silently", _names(bed.client("s3", lister), "s3:NoSuchKeyAtAll", "checks-unknown")
    )
    errors = [line["reason"] for line in bed.audit() if line["decision"] == "error"]
    checks.that("the audit log names them", all(any(name in reason for reason in errors) for name in cases), errors[:1])


def _names(client: Any, name: str, bucket: str | None = None) -> bool:
    try:
        client.list_objects_v2(Bucket=bucket) if bucket else client.list_buckets()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status == 500 and name in error.response["Error"]["Message"]
    return False


def invoke_only(bed: Bed, checks: Checks, function: str) -> None:
    """The operator's one right."""
    key = bed.user("checks-operator", allow("lambda:InvokeFunction", function))
    functions = bed.client("lambda", key)
    checks.allowed("Invoke of the named function", lambda: functions.invoke(FunctionName=function, Payload=b"{}"))
    checks.denied("Invoke of another", lambda: functions.invoke(FunctionName="checks-other"), "AccessDeniedException")
    box_role = f"arn:aws:iam::{ACCOUNT}:role/checks-box"
    refusals = {
        "GetObject": lambda: bed.client("s3", key).get_object(Bucket=BUCKET, Key="a"),
        "ListObjects": lambda: bed.client("s3", key).list_objects_v2(Bucket=BUCKET),
        "PutObject": lambda: bed.client("s3", key).put_object(Bucket=BUCKET, Key="z", Body=b"", IfNoneMatch="*"),
        "DescribeInstances": lambda: bed.client("ec2", key).describe_instances(),
        "TerminateInstances": lambda: bed.client("ec2", key).terminate_instances(InstanceIds=["i-0deadbeef0deadbee"]),
        "AssumeRole": lambda: bed.client("sts", key).assume_role(RoleArn=box_role, RoleSessionName="stolen"),
        "GetParameter": lambda: bed.client("ssm", key).get_parameter(Name="/x"),
        "UpdateFunctionConfiguration": lambda: functions.update_function_configuration(
            FunctionName=function, Timeout=1
        ),
    }
    for name, call in refusals.items():
        checks.denied(
            f"{name} by the invoke-only user", call, "AccessDenied UnauthorizedOperation AccessDeniedException"
        )

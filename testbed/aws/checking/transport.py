"""TLS: whom clients trust, and that `aws:SecureTransport` says what the connection was."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import SSLError

from testbed.aws import certificates
from testbed.aws.layout import API_ADDRESS, PLAIN_PORT, REGION, S3_ADDRESS, S3_URL

from .kit import ONCE, Bed, Checks, policy
from .stack import BUCKET

UNTRUSTED = "60"  # curl: the peer's certificate cannot be verified


def trust(bed: Bed, checks: Checks) -> None:
    """The run's CA, and no other, vouches for the endpoints."""
    key = Path(bed.facts["ca_bundle"]).with_suffix(".key")
    checks.that("the CA's key is for its owner alone", stat.S_IMODE(key.stat().st_mode) == 0o600)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "openssl.cnf").write_text(certificates.CONFIG)
        other = str(certificates.authority(place, "other", "somebody-else"))
        for authority, trusted in ((bed.facts["ca_bundle"], True), (other, False)):
            checks.that(f"boto3 {_does(trusted)}", _boto3_talks(bed, authority) is trusted)
            checks.that(f"curl {_does(trusted)}", (_curl(bed, authority, S3_URL) != UNTRUSTED) is trusted)
        checks.that("by another of the host's addresses nobody is believed", _curl(bed, other, S3_URL) == UNTRUSTED)


def _does(trusted: bool) -> str:
    return "talks to an endpoint whose CA it knows" if trusted else "refuses one whose CA it does not know"


def _boto3_talks(bed: Bed, authority: str) -> bool:
    """By AWS_CA_BUNDLE, as a user would set it."""
    before = os.environ.get("AWS_CA_BUNDLE")
    os.environ["AWS_CA_BUNDLE"] = authority
    try:
        root = bed.facts["root"]
        session = boto3.Session(root["access_key_id"], root["secret_access_key"], region_name=REGION)
        session.client("sts", endpoint_url=bed.facts["endpoint"], config=ONCE).get_caller_identity()
    except SSLError:
        return False
    finally:
        os.environ.pop("AWS_CA_BUNDLE")
        if before is not None:
            os.environ["AWS_CA_BUNDLE"] = before
    return True


def _curl(bed: Bed, authority: str, url: str) -> str:
    command = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{exitcode}", "--cacert", authority, url)
    return bed.outside(*command).stdout


def plain_http(bed: Bed, checks: Checks) -> None:
    """A policy that demands TLS, and the same request with and without."""
    demand = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    user = bed.user("checks-transport", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    secure, plain = bed.client("s3", user), bed.client("s3", user, bed.facts["plain_endpoint"])
    calls = {
        "PutObject": lambda s3: s3.put_object(Bucket=BUCKET, Key="transport", Body=b"x"),
        "GetObject": lambda s3: s3.get_object(Bucket=BUCKET, Key="transport"),
        "ListObjectsV2": lambda s3: s3.list_objects_v2(Bucket=BUCKET),
    }
    for name, call in calls.items():
        checks.allowed(f"{name} over plain HTTP, where nothing demands TLS", lambda call=call: call(plain))
    bed.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy(demand))
    for name, call in calls.items():
        checks.allowed(f"{name} over TLS, where it is demanded", lambda call=call: call(secure))
        checks.denied(f"{name} over plain HTTP, where TLS is demanded", lambda call=call: call(plain), "AccessDenied")
    checks.denied("... claiming a proxy that spoke TLS", lambda: calls["GetObject"](_claiming(plain)), "AccessDenied")
    bed.client("s3").delete_bucket_policy(Bucket=BUCKET)
    body = ("-d", "Action=GetCallerIdentity&Version=2011-06-15")
    status = ("curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}")
    checks.that("no other service answers plain HTTP", bed.outside(*status, *body, f"http://{S3_ADDRESS}/").stdout == "403")
    nobody = bed.outside(*status, f"http://{API_ADDRESS}:{PLAIN_PORT}/").stdout
    checks.that("... nor does the API's address", nobody == "000", nobody)


def _claiming(s3: Any) -> Any:
    """The client, with the header by which a proxy would say that its own client came over TLS."""

    def claim(request: Any, **_: Any) -> None:
        request.headers["X-Forwarded-Proto"] = "https"

    s3.meta.events.register("before-send.s3", claim)
    return s3

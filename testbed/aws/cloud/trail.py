"""CloudTrail: what a trail's selectors name goes to its bucket, a file a few seconds later; and while a trail records
management events, EventBridge hears of calls to KMS, refused ones too.

Records have the fields that people look for, not all of CloudTrail's. A request that needs several permissions leaves a
record of each; lists of objects leave none.
"""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
import uuid
from collections import deque
from typing import Any

from ministack import app
from ministack.core.responses import request_scope
from ministack.services import cloudtrail, eventbridge

from ..layout import ACCOUNT, REGION
from . import request, services

logger = logging.getLogger("drawbridge.trail")
SECONDS = 1.0
_records: deque[dict[str, Any]] = deque()


def record(action: str, resource: str, who: str, refused: str | None) -> None:
    """One decision. Called with every permission that is judged."""
    service, _, name = action.partition(":")
    if service not in ("s3", "kms") or not cloudtrail._trails:
        return
    now = request.current()
    name = operation(name, now) if service == "s3" else name
    entry: dict[str, Any] = {
        "eventVersion": "1.11",
        "eventID": str(uuid.uuid4()),
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "userIdentity": {"arn": who},
        "sourceIPAddress": now.source,
        "resources": [{"ARN": resource}],
        "readOnly": name.startswith(("Get", "Head", "List", "Describe")),
        **({"errorCode": refused} if refused else {}),
        **({"vpcEndpointId": now.endpoint} if now.endpoint else {}),
    }
    if service == "kms" and refused:  # KMS's own records of refusals name the key in the message alone
        del entry["resources"]
        entry["errorMessage"] = f"User: {who} is not authorized to perform: {action} on resource: {resource}"
    if service == "s3":
        _records.append(entry)
    elif _records_management(entry["readOnly"]):
        _tell_eventbridge(entry)


def operation(permission: str, now: request.Request) -> str:
    """What CloudTrail calls an S3 request, by the permission that it was asked for: several operations share one."""
    asked, copies = now.parameters, "x-amz-copy-source" in now.headers
    match permission:
        case "PutObject" if "uploads" in asked:
            return "CreateMultipartUpload"
        case "PutObject" if "partNumber" in asked:
            return "UploadPartCopy" if copies else "UploadPart"
        case "PutObject" if "uploadId" in asked:
            return "CompleteMultipartUpload"
        case "PutObject" if copies:
            return "CopyObject"
        case "GetObject" | "GetObjectVersion" if now.method == "HEAD":
            return "HeadObject"
        case "DeleteObject" | "DeleteObjectVersion" if "delete" in asked:
            return "DeleteObjects"
        case "ListMultipartUploadParts":
            return "ListParts"
        case _:
            return permission.replace("ObjectVersion", "Object")


def _selectors() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The trails that are logging, each with one of its selectors."""
    return [
        (trail, selector)
        for name, trail in cloudtrail._trails.items()
        if trail.get("IsLogging")
        for selector in cloudtrail._event_selectors.get(name, cloudtrail._DEFAULT_EVENT_SELECTORS)
    ]


def _takes(selector: dict[str, Any], read_only: bool) -> bool:
    kind = selector.get("ReadWriteType", "All")
    return bool(kind == "All" or (kind == "ReadOnly") == read_only)


def _records_management(read_only: bool) -> bool:
    return any(s.get("IncludeManagementEvents") and _takes(s, read_only) for _, s in _selectors())


def _tell_eventbridge(entry: dict[str, Any]) -> None:
    event = {
        "Source": "aws.kms",
        "DetailType": "AWS API Call via CloudTrail",
        "Detail": json.dumps(entry),
        "Resources": [],
    }
    eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)


def _named(selector: dict[str, Any], entry: dict[str, Any]) -> bool:
    resource = entry["resources"][0]["ARN"]
    prefixes = [
        value
        for wanted in selector.get("DataResources", [])
        if wanted["Type"] == "AWS::S3::Object"
        for value in wanted["Values"]
    ]
    return _takes(selector, entry["readOnly"]) and any(resource.startswith(prefix) for prefix in prefixes)


def _deliver(entries: list[dict[str, Any]]) -> None:
    by_trail: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for trail, selector in _selectors():
        kept = by_trail.setdefault(trail["TrailARN"], (trail, []))[1]
        kept += [entry for entry in entries if _named(selector, entry) and entry not in kept]
    for arn, (trail, kept) in by_trail.items():
        if kept:
            _write(arn, trail["S3BucketName"], kept)


def _write(trail: str, bucket: str, entries: list[dict[str, Any]]) -> None:
    s3 = app._get_module("s3")
    day, stamp = time.strftime("%Y/%m/%d", time.gmtime()), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    directory = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{day}"
    key = f"{directory}/{ACCOUNT}_CloudTrail_{REGION}_{stamp}_{uuid.uuid4().hex[:16]}.json.gz"
    acl = {"x-amz-acl": "bucket-owner-full-control"}
    policy = s3._bucket_policies.get(bucket)
    named = {"s3:x-amz-acl": acl["x-amz-acl"]}
    if services.may("cloudtrail.amazonaws.com", "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", trail, policy, **named):
        s3._put_object(bucket, key, gzip.compress(json.dumps({"Records": entries}).encode()), acl)


def _flush(stop: threading.Event) -> None:
    while not stop.wait(SECONDS):
        entries = [_records.popleft() for _ in range(len(_records))]
        with request_scope(ACCOUNT, REGION):
            try:
                if entries:
                    _deliver(entries)
            except Exception:
                logger.exception("%d records were not delivered", len(entries))


def install() -> None:
    threading.Thread(target=_flush, args=(threading.Event(),), name="trail", daemon=True).start()

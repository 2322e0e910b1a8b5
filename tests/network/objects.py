"""S3 through the endpoint with credentials that may do what they ask: only the endpoint's policy is in the way."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from testbed.aws.layout import GUEST_AUTHORITY
from tests.network import controls as c

if TYPE_CHECKING:
    from tests.network.attempts import Attempt
    from tests.network.ground import Ground

ELSEWHERE = "drawbridge-network-elsewhere"
OTHERS = "drawbridge-network-others"
ANYBODYS = "drawbridge-network-anybodys"
BACKUP = "clusters/network/backup"


@contextlib.contextmanager
def buckets(ground: Ground) -> Iterator[None]:
    """Another bucket of the account, one that anybody may write to, another account's own; and a backup to be stolen."""
    own, other = ground.client("s3"), ground.client("s3", neighbour=True)
    made = [(own, ELSEWHERE), (own, ANYBODYS), (other, OTHERS)]
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{ANYBODYS}/*"}
    try:
        for s3, bucket in made:
            s3.create_bucket(Bucket=bucket)
        own.delete_public_access_block(Bucket=ANYBODYS)
        own.put_bucket_policy(Bucket=ANYBODYS, Policy=json.dumps({"Version": "2012-10-17", "Statement": [anybody]}))
        own.put_object(Bucket=ELSEWHERE, Key=BACKUP, Body=b"x")
        yield
    finally:
        for s3, bucket in made:
            with contextlib.suppress(s3.exceptions.NoSuchBucket):
                for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                    s3.delete_object(Bucket=bucket, Key=entry["Key"])
                s3.delete_bucket(Bucket=bucket)


def objects(ground: Ground, attempt: Callable[..., Attempt]) -> list[Attempt]:
    """Signed before, sent from the box's private side."""
    own = ground.client("s3", endpoint=ground.facts["s3_endpoint"])
    other = ground.client("s3", neighbour=True, endpoint=ground.facts["s3_endpoint"])

    def signed(s3: Any, call: str, bucket: str, key: str) -> dict[str, Any]:
        url = s3.generate_presigned_url(call, Params={"Bucket": bucket, "Key": key}, ExpiresIn=3600)
        put = call == "put_object"
        return {
            "method": "PUT" if put else "GET",
            "url": url,
            "body": "stolen" if put else None,
            "source": ground.box.private,
            "trust": GUEST_AUTHORITY,
        }

    fresh = secrets.token_hex(4)
    anybodys = signed(own, "put_object", ANYBODYS, fresh)
    anybodys["url"] = anybodys["url"].partition("?")[0]
    tries = {
        "put into another bucket of the account, as its owner": signed(own, "put_object", ELSEWHERE, fresh),
        "get from another bucket of the account, as its owner": signed(own, "get_object", ELSEWHERE, BACKUP),
        "put into another account's bucket, as its owner": signed(other, "put_object", OTHERS, fresh),
        "put into a bucket that anybody may write to, unsigned": anybodys,
    }
    return [attempt(f"S3 through the endpoint: {what}", "web", asked, (c.ENDPOINT,)) for what, asked in tries.items()]

"""What the sweep finds that no session owns, and that it tells CloudWatch so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.sessions.account import Account, expect, new_session, until

GROUP = "drawbridge-nobody-s"
OBJECT = "sessions/nobody-s.json"


def what_no_session_owns_is_removed_and_counted(account: Account) -> None:
    # The schedule's own sweep would take some of it between two lines of the check.
    with account.without_schedule():
        _strays(account)


def _strays(account: Account) -> None:
    session, bucket = new_session(), account.outputs["BackupBucket"]
    prefix = account.ready(session)["prefix"]
    own = account.s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}a.tar.zst")["Key"]
    stray = account.s3.create_multipart_upload(Bucket=bucket, Key=f"clusters/{account.cluster}/nobody-s")["Key"]
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "drawbridge:stack", "Value": account.stack}]}]
    named = {"GroupName": GROUP, "Description": "nobody's", "VpcId": account.outputs["VpcId"]}
    group = account.ec2.create_security_group(**named, TagSpecifications=tags)["GroupId"]
    account.s3.put_object(Bucket=account.outputs["StateBucket"], Key=OBJECT, Body=b"{}")
    begun = datetime.now(UTC)
    found = account.sweep()["found"]
    wanted = {"stray_group": 1, "stray_object": 1, "stray_upload": 1}
    expect(found == wanted, "the sweep must find these and nothing else", found)
    expect(OBJECT not in account.left(), f"{OBJECT} must be gone", account.left())
    uploads = [u["Key"] for u in account.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    expect(own in uploads and stray not in uploads, "it must abort nobody's upload and leave the session's", uploads)
    groups = account.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [GROUP]}])["SecurityGroups"]
    expect(groups == [], f"{group} must be gone", groups)
    for finding in found:
        until(f"CloudWatch has {finding}", lambda finding=finding: _counted(account, finding, begun) >= 1 or None)
    account.close(session)


def a_sweep_that_finds_nothing_says_that_it_was(account: Account) -> None:
    found = account.sweep()["found"]
    expect(found == {}, "nothing may be found", found)


def _counted(account: Account, finding: str, since: datetime) -> float:
    dimensions = {"Cluster": account.cluster, "Finding": finding}
    answer = account.client("cloudwatch").get_metric_statistics(
        Namespace="Drawbridge",
        MetricName="Found",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=since - timedelta(minutes=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


CHECKS: list[Callable[[Account], None]] = [
    what_no_session_owns_is_removed_and_counted,
    a_sweep_that_finds_nothing_says_that_it_was,
]

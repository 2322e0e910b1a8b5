#!/usr/bin/env python3
"""Whether silence is noticed, and every touch of the buckets recorded, whatever the cluster says.

    check.py --run ID --stack stack.json

Takes about three minutes: the alarms' one period is a minute. Each link of the chain is cut once, and it must break.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from datetime import datetime, timezone
from pathlib import Path

from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.progress import say  # noqa: E402
from testbed.common.shell import wait_until  # noqa: E402
from tests.policy.catalogue import receipt_key  # noqa: E402
from tests.policy.catalogue.requests import get, put  # noqa: E402
from tests.policy.world import World  # noqa: E402
from tests.sessions.account import Account, new_session  # noqa: E402
from tests.watch.ground import Ground  # noqa: E402

# A period of a minute, and the seconds in which the local CloudWatch looks.
SILENCE_SECONDS = 75


def silence(ground: Ground) -> None:
    ground.seal()
    wait_until("a sealed manifest ends the alarm", lambda: ground.alarm() == "OK", seconds=15)
    before = ground.counted()
    ground.box_puts("probe-silence/artifact.tar.zst")
    ground.box_puts("probe-silence/manifest.json")
    wait_until("silence is noticed", lambda: ground.alarm() == "ALARM", seconds=SILENCE_SECONDS)
    require(ground.counted() <= before, "an object that is no signed manifest was counted as one")
    wait_until("the topic hears of the alarm", lambda: "ALARM" in ground.heard(), seconds=10)
    say("silence is noticed, and only a signed manifest ends it")


def rejected(ground: Ground) -> None:
    """A box's record of a rejection raises the alarm; what it stores besides does not."""
    alarm, before, sealed = "RejectedAlarm", ground.rejections(), ground.counted()
    ground.box_puts(f"probe-{ground.world.fresh()}/config.tar.zst")
    ground.seal()
    wait_until("the manifest is counted", lambda: ground.counted() == sealed + 1, seconds=15)
    ground.heard()
    ground.box_puts(f"probe-{ground.world.fresh()}/config.tar.zst.rejected.dsse.json")
    wait_until("a rejection raises the alarm", lambda: ground.alarm(alarm) == "ALARM", seconds=15)
    wait_until("the topic hears of the rejection", lambda: "ALARM" in ground.heard(alarm), seconds=15)
    require(ground.rejections() == before + 1, "an object that is no record of a rejection was counted as one")
    require(ground.counted() == sealed + 1, "a record of a rejection was counted as a sealed manifest")
    say("a rejection is told behind the bridge")


def told_by_whom(ground: Ground) -> None:
    """The topic takes only alarms' word: without its policy's leave nobody is told."""
    with ground.without("alarm-topic", "AlarmsTell"):
        ground.heard()
        ground.seal()
        refused = ground.refusal("cloudwatch.amazonaws.com", "sns:Publish")
        wait_until("CloudWatch is refused by the topic", refused, seconds=15)
        require(not ground.heard(), "the topic took a message that its policy does not allow")
    say("the topic's policy decides who is told")


def counted_by_whom(ground: Ground) -> None:
    """Without the log's policy EventBridge writes nothing, so nothing is counted, and silence is what is noticed."""
    for sid, action in (("RulesWrite", "logs:PutLogEvents"), ("RulesOpenStreams", "logs:CreateLogStream")):
        with ground.without("watch-log", sid):
            before = ground.counted()
            refused = ground.refusal("events.amazonaws.com", action)
            ground.seal()
            wait_until(f"EventBridge is refused {action}", refused, seconds=10)
            require(ground.counted() <= before, "an event was counted that could not be written")
    before = ground.counted()
    ground.seal()
    wait_until("with it, the next manifest is counted", lambda: ground.counted() > before, seconds=10)
    say("the log's policy decides what is counted")


def recorded(ground: Ground, account: Account) -> None:
    """Who put, who read, and who was refused, in both buckets. Each request is of a key of its own: what was recorded
    before stands in for nothing."""
    world = ground.world
    sealed, refused = ground.seal(), f"clusters/{world.cluster}/probe-{world.fresh()}/refused"
    get("admin", "backup", sealed)(world)
    with contextlib.suppress(ClientError):
        put("admin", "backup", refused, fresh=False)(world)
    uploaded, state = ground.box_uploads(), f"sessions/{a_session(account)}.json"
    create, box = "CreateRoleArn", "JumpBoxRoleArn"
    for what, seen in (
        ("the box's put", lambda: ground.recorded("PutObject", "BackupBucket", sealed, box)),
        ("an engineer's read", lambda: ground.recorded("GetObject", "BackupBucket", sealed)),
        ("a refused put", lambda: ground.recorded("PutObject", "BackupBucket", refused, error="AccessDenied")),
        ("the start of an upload", lambda: ground.recorded("CreateMultipartUpload", "BackupBucket", uploaded, box)),
        ("its part", lambda: ground.recorded("UploadPart", "BackupBucket", uploaded, box)),
        ("its end", lambda: ground.recorded("CompleteMultipartUpload", "BackupBucket", uploaded, box)),
        ("what create saves of a session", lambda: ground.recorded("PutObject", "StateBucket", state, create)),
        ("its look for what was saved", lambda: ground.recorded("GetObject", "StateBucket", state, create)),
    ):
        wait_until(f"{what} is recorded", seen, seconds=15)
    existing = f"clusters/{world.cluster}/probe/existing"
    cuts = (("TrailWrites", ()), ("OnlyServicesWrite", ("Condition", "Bool", "aws:PrincipalIsAWSService")))
    for sid, part in cuts:
        with ground.without("log-bucket", sid, *part):
            unwritten = ground.refusal("cloudtrail.amazonaws.com", "s3:PutObject")
            get("admin", "backup", existing)(world)
            wait_until("CloudTrail is refused by the log bucket", unwritten, seconds=10)
    say("every touch of the buckets is recorded, refused ones too")


def a_session(account: Account) -> str:
    """One that the deployed `create` saved and `cleanup` closed."""
    session = new_session()
    try:
        account.create(session)
    finally:
        account.close(session)
    return session


def receipt_key_in_danger(ground: Ground) -> None:
    """Who loosens the key that vouches for receipts is told of, and who only tries to end it; who uses it is not."""
    world, key = ground.world, ground.world.outputs["ReceiptKeyArn"]
    kms = world.client("kms", "admin")
    wait_until("the key's alarm is quiet", lambda: ground.alarm("KeyAlarm") != "ALARM", seconds=90)
    began = datetime.now(timezone.utc)
    receipt_key.sign_with("create")(world)
    kms.get_key_policy(KeyId=key)
    ground.heard()
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=kms.get_key_policy(KeyId=key)["Policy"])
    wait_until("a change of the policy raises the alarm", lambda: ground.alarm("KeyAlarm") == "ALARM", seconds=15)
    wait_until("the topic hears of it", lambda: "ALARM" in ground.heard("KeyAlarm"), seconds=15)
    require(ground.threats(began) == 1, "the use of the key was counted as a threat")
    try:
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=30)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        require(code.startswith("AccessDenied"), f"its deletion must be refused for want of a right, and was: {error}")
    else:
        raise TestbedError("an administrator may delete the receipt key: its policy lets nobody")
    wait_until("a refused attempt is counted too", lambda: ground.threats(began) == 2, seconds=15)
    say("an attempt on the receipt key is told, a refused one too")


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TestbedError(otherwise)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    arguments = parser.parse_args()
    account = Account(arguments.run, arguments.stack)
    with World(arguments.run, arguments.stack).set_up() as world, Ground(world).set_up() as ground:
        try:
            for part in (silence, told_by_whom, counted_by_whom):
                part(ground)
            recorded(ground, account)
            receipt_key_in_danger(ground)
            rejected(ground)
        finally:
            world.deploy(None)
    return 0


if __name__ == "__main__":
    main_wrapper("tests/watch", main)

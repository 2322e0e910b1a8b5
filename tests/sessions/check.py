#!/usr/bin/env python3
"""Opens and closes sessions on a deployed stack, as a cluster does and as things go wrong.

    check.py --run ID --stack stack.json [--only TEXT]

The Lambdas, EC2, S3 and the boxes are the run's own; nothing here stands in for them. Exit code 1 when a check fails.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import main_wrapper  # noqa: E402
from tests.sessions import flood, queued, sweeping  # noqa: E402
from tests.sessions.account import OTHER_KEY, Account, Failed, expect, new_session, until  # noqa: E402

Check = Callable[[Account], None]
SEED = 20261121


def a_session_gets_a_box_and_closing_it_leaves_nothing(account: Account) -> None:
    session = new_session()
    box = account.ready(session)
    # In one breath: the private interface, and nothing out of the public one.
    rules = account.in_box(box["instance"], "ip", "rule")
    expect("oif ens6 lookup 2202" in rules, "the private interface must have its own routing table", rules)
    groups = account.ec2.describe_security_groups(
        Filters=[{"Name": "tag:drawbridge:session", "Values": [session]}]
    )["SecurityGroups"]
    expect([group["IpPermissionsEgress"] for group in groups] == [[]], "the box's group must let nothing out", groups)
    account.close(session)
    expect(account.left(session) == [], "nothing may be left", account.left(session))


def the_port_opens_when_the_box_has_reported(account: Account) -> None:
    session = new_session()

    def rules() -> list[tuple[str, int, int]]:
        tagged = [{"Name": "tag:drawbridge:session", "Values": [session]}]
        (group,) = account.ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]
        return [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in group["IpPermissions"]]

    answer = account.create(session)["outcome"]
    expect("pending" in answer and rules() == [], "nobody may reach a box that has not reported", (answer, rules()))
    account.ready(session)
    expect(rules() == [("tcp", 22, 22)], "the clients must reach one that has", rules())
    account.close(session)


def asked_by_ten_at_once_it_makes_one_box(account: Account) -> None:
    session = new_session()
    with ThreadPoolExecutor(10) as callers:
        boxes = list(callers.map(lambda _: account.ready(session), range(10)))
    expect(len({box["instance"] for box in boxes}) == 1, "there must be one box", boxes)
    left = account.left(session)
    # One instance, two interfaces, one group, state, orders, report; slots do not carry the session in their key.
    expect(len(left) == 7, "one of each must exist", left)
    account.close(session)


def a_session_is_bound_to_its_key_and_once_closed_stays_closed(account: Account) -> None:
    session = new_session()
    account.create(session)
    refused = account.create(session, OTHER_KEY)["outcome"]["refused"]
    expect(refused["reason"] == "session_reused", "another key must be refused", refused)
    account.close(session)
    refused = account.create(session)["outcome"]["refused"]
    expect(refused["reason"] == "session_ended", "a closed session must be refused", refused)


def past_the_last_slot_a_session_waits(account: Account) -> None:
    sessions = [new_session() for _ in range(account.max_boxes)]
    for session in sessions:
        account.create(session)
    waiting = new_session()
    answer = account.create(waiting)["outcome"]
    expect(answer.get("pending", {}).get("waiting_for") == "slot", "the next session must wait for a slot", answer)
    expect(account.left(waiting) == [], "it must have made nothing", account.left(waiting))
    account.close(sessions.pop())
    account.ready(waiting)
    for session in [*sessions, waiting]:
        account.close(session)


def without_capacity_the_next_type_is_taken_and_after_the_last_it_is_refused(account: Account) -> None:
    first, session = account.instance_types[0], new_session()
    with account.sold_out(first):
        box = account.ready(session)
    found = account.instances(session)[0]["InstanceType"]
    expect(found == account.instance_types[1], "the second type must be taken", (box, found))
    account.close(session)
    session = new_session()
    with account.sold_out(*account.instance_types):
        refused = account.box(session)["outcome"]["refused"]
    expect(refused["reason"] == "capacity", "it must be refused for capacity", refused)
    account.close(session)


def an_instance_that_ec2_does_not_show_yet_is_waited_for(account: Account) -> None:
    session = new_session()
    with account.slow_to_show(1500):
        account.ready(session)
    account.close(session)


def a_box_that_shuts_itself_down_is_cleaned_up_by_ec2_s_event(account: Account) -> None:
    session = new_session()
    box = account.ready(session)
    account.in_box(box["instance"], "shutdown", "-h", "now")
    account.nothing_left(session)
    refused = account.create(session)["outcome"]["refused"]
    expect(refused["reason"] == "box_ended", "who asks again must learn that the box ended", refused)
    expect(box["instance"] in refused["message"], "and which machine it was", refused)


def a_box_whose_program_dies_takes_its_machine_along(account: Account) -> None:
    session = new_session()
    box = account.ready(session)
    account.in_box(box["instance"], "bash", "-c", "kill -9 $(pidof drawbridge-jumpbox)")
    account.nothing_left(session)


def the_ended_marker_cleans_up_at_the_deadline_and_no_earlier(account: Account) -> None:
    """Any box of the cluster may put any session's. That a box puts its own by its timer, tests/endings waits for."""
    early, over = new_session(), new_session()
    account.ready(early)
    account.ready(over)
    _its_deadline_comes(account, over)
    for session in (early, over):
        key = f"clusters/{account.cluster}/ended/{session}"
        account.s3.put_object(Bucket=account.outputs["BackupBucket"], Key=key, Body=b"")
    account.nothing_left(over)
    until("the early marker is ignored", lambda: "a marker that came too early" in account.marker_function_said(early))
    account.ready(early)
    account.close(early)


def _its_deadline_comes(account: Account, session: str) -> None:
    bucket, key = account.outputs["StateBucket"], f"sessions/{session}.json"
    state = json.loads(account.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    state["deadline"] = datetime.now(UTC).isoformat()
    account.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(state).encode())


def unfinished_uploads_are_aborted_and_those_of_others_are_not(account: Account) -> None:
    sessions = [new_session(), new_session()]
    for session in sessions:
        prefix = account.ready(session)["prefix"]
        account.s3.create_multipart_upload(Bucket=account.outputs["BackupBucket"], Key=f"{prefix}a.tar.zst")
    account.close(sessions[0])
    expect(account.left(sessions[0]) == [], "the closed session's upload must be gone", account.left(sessions[0]))
    kept = [key for key in account.left(sessions[1]) if key.endswith("a.tar.zst")]
    expect(len(kept) == 1, "the other session's upload must stay", kept)
    account.close(sessions[1])


def a_session_on_a_used_up_day_is_refused_and_takes_no_slot(account: Account) -> None:
    bucket = account.outputs["StateBucket"]
    key = next(e["Key"] for e in account.s3.list_objects_v2(Bucket=bucket, Prefix="days/")["Contents"])
    before = account.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    session = new_session()
    full = {**json.loads(before), "sessions": 4_000_000_000}
    account.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(full).encode())
    try:
        refused = account.create(session)["outcome"]["refused"]
        expect(refused["reason"] == "quota", "it must be refused for the day", refused)
        expect("opens again at" in refused["message"], "and told when to come back", refused)
        slots = account.s3.list_objects_v2(Bucket=bucket, Prefix="slots/").get("Contents", [])
        expect(slots == [], "it must hold no slot", slots)
    finally:
        account.s3.put_object(Bucket=bucket, Key=key, Body=before)
    account.ready(session)
    account.close(session)


def the_sweep_ends_what_has_no_state_and_leaves_what_lives(account: Account) -> None:
    lost, alive = new_session(), new_session()
    account.ready(lost)
    account.ready(alive)
    account.s3.delete_object(Bucket=account.outputs["StateBucket"], Key=f"sessions/{lost}.json")
    until("the sweep ends the lost session", lambda: lost in account.sweep()["destroyed"] or not account.left(lost))
    account.nothing_left(lost)
    account.ready(alive)
    account.close(alive)


def closed_at_any_moment_of_its_making_nothing_is_left(account: Account) -> None:
    """Cleanup comes while create is at work, at many moments; nobody asks it again once it said destroyed."""
    chance = random.Random(SEED)
    delays = [chance.uniform(0, 1.6) for _ in range(24)]

    def one(delay: float) -> None:
        session, closed = new_session(), threading.Event()

        def ask() -> None:
            while not closed.is_set():
                try:
                    if "refused" in account.create(session)["outcome"]:
                        return
                except Failed:
                    pass  # its group vanished under it, say; the cluster asks again
                time.sleep(0.05)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(delay)
        account.close(session)
        closed.set()
        asking.join()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, delays))
    account.nothing_left()


CHECKS: list[Check] = [
    a_session_gets_a_box_and_closing_it_leaves_nothing,
    the_port_opens_when_the_box_has_reported,
    asked_by_ten_at_once_it_makes_one_box,
    a_session_is_bound_to_its_key_and_once_closed_stays_closed,
    past_the_last_slot_a_session_waits,
    without_capacity_the_next_type_is_taken_and_after_the_last_it_is_refused,
    an_instance_that_ec2_does_not_show_yet_is_waited_for,
    a_box_that_shuts_itself_down_is_cleaned_up_by_ec2_s_event,
    a_box_whose_program_dies_takes_its_machine_along,
    the_ended_marker_cleans_up_at_the_deadline_and_no_earlier,
    unfinished_uploads_are_aborted_and_those_of_others_are_not,
    a_session_on_a_used_up_day_is_refused_and_takes_no_slot,
    the_sweep_ends_what_has_no_state_and_leaves_what_lives,
    closed_at_any_moment_of_its_making_nothing_is_left,
    *sweeping.CHECKS,
    *queued.CHECKS,
    *flood.CHECKS,
]


def run(check: Check, account: Account) -> bool:
    """Passes when the check does and leaves nothing behind."""
    begun, name = time.monotonic(), check.__name__.replace("_", " ")
    try:
        check(account)
        account.nothing_left()
    except Failed as error:
        print(f"RED {name}: {error}", flush=True)
        return False
    print(f"ok  {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    parser.add_argument("--only", default="", help="only checks whose name holds this text")
    arguments = parser.parse_args()
    account = Account(arguments.run, arguments.stack)
    checks = [check for check in CHECKS if arguments.only in check.__name__.replace("_", " ")]
    passed = [run(check, account) for check in checks]
    print(f"{len(passed)} checks of sessions: {sum(passed)} hold, {len(passed) - sum(passed)} red")
    return 0 if all(passed) and passed else 1


if __name__ == "__main__":
    main_wrapper("check.py", main)

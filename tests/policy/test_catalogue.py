"""What can be said of the probes without an account."""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.render import POLICIES, RENDERED, SOURCE, WATCH_RENDERED, WATCH_SOURCE, render, text  # noqa: E402
from testbed.aws.cloudformation.intrinsics import Scope  # noqa: E402
from testbed.aws.cloudformation.parameters import resolve  # noqa: E402
from tests.policy.catalogue import everything  # noqa: E402
from tests.policy.mutate import mutants, without  # noqa: E402
from tests.policy.probe import Family  # noqa: E402


class Catalogue(unittest.TestCase):
    def test_every_denial_has_an_allowed_twin(self) -> None:
        everything()  # raises when a family has none
        with self.assertRaisesRegex(ValueError, "no allowed twin"):
            Family("one-sided").denied("operator", "x", lambda _world: None).checked()

    def test_no_two_probes_are_alike(self) -> None:
        named = [str(probe) for probe in everything()]
        self.assertEqual(len(named), len(set(named)))

    def test_every_statement_of_every_policy_is_removed_once(self) -> None:
        statements = sum(len(json.loads(path.read_text())["Statement"]) for path in POLICIES.glob("*.json"))
        self.assertEqual(len(list(mutants(None))), statements)

    def test_what_a_statement_excepts_is_removed_once(self) -> None:
        policy = json.loads((POLICIES / "state-bucket.json").read_text())
        (part,) = [mutant.part for mutant in mutants("state-bucket", parts=True) if "NotResource" in mutant.part]
        statement = without(policy, "OnlyTheFunctions", part)["Statement"][0]
        self.assertEqual(statement["NotResource"], [], "it then applies to everything")

    def test_no_policy_grants_a_whole_service(self) -> None:
        for path in POLICIES.glob("*.json"):
            for statement in json.loads(path.read_text())["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                # A key without this could be managed by nobody; it gives nobody what their own policy does not.
                own = statement.get("Principal") == {"AWS": "arn:${Partition}:iam::${Account}:root"}
                if statement["Effect"] == "Allow" and not own:
                    self.assertFalse([action for action in actions if "*" in action], f"{path.name} {statement['Sid']}")

    def test_the_committed_templates_are_what_the_sources_give(self) -> None:
        for source, committed in ((SOURCE, RENDERED), (WATCH_SOURCE, WATCH_RENDERED)):
            self.assertEqual(committed.read_text(), text(render(source=source)))

    def test_the_backup_bucket_s_options_are_what_the_parameters_say(self) -> None:
        plain = backup_bucket()
        self.assertFalse({"ObjectLockEnabled", "ObjectLockConfiguration", "VersioningConfiguration"} & set(plain))
        self.assertEqual(rules(plain), ["unfinished-uploads", "ended"])
        self.assertEqual(rules(backup_bucket(ExpireDays="30")), ["unfinished-uploads", "ended", "backups"])
        locked = backup_bucket(ObjectLockDays="7", ExpireDays="30")
        self.assertEqual(rules(locked), ["unfinished-uploads", "ended", "backups", "old-versions", "delete-markers"])
        retention = locked["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        self.assertEqual(retention, {"Mode": "COMPLIANCE", "Days": "7"})
        self.assertEqual(locked["VersioningConfiguration"], {"Status": "Enabled"})
        for rule in locked["LifecycleConfiguration"]["Rules"][1:]:
            self.assertTrue(rule["Prefix"].startswith("clusters/demo/"), rule)


def backup_bucket(**given: str) -> dict[str, Any]:
    """The bucket's properties under these parameters."""
    template = render()
    needed = {"ClusterName": "demo", "ClientCidrs": "192.0.2.1/32", "CodeBucket": "c"}
    code = dict.fromkeys(("CreateCodeKey", "CleanupCodeKey", "PostureCodeKey"), "c")
    digests = dict.fromkeys(("CreateCodeSha256", "CleanupCodeSha256"), "A" * 43 + "=")
    values = {**needed, **code, **digests, **given}
    scope = Scope(
        pseudo={"AWS::AccountId": "0" * 12, "AWS::Region": "us-east-1", "AWS::Partition": "aws"},
        parameters=resolve(template["Parameters"], values, lambda _parameter: "ami-1"),
        conditions=template["Conditions"],
        zones=["a"],
        attributes={"MarkerFunction": {"Arn": "arn"}},
    )
    found: dict[str, Any] = scope.evaluate(template["Resources"]["BackupBucket"]["Properties"])
    return found


def rules(bucket: dict[str, Any]) -> list[str]:
    return [rule["Id"] for rule in bucket["LifecycleConfiguration"]["Rules"]]


if __name__ == "__main__":
    unittest.main()

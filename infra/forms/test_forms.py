"""Each kind of drift between the forms is noticed."""

from __future__ import annotations

import copy
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.forms import write  # noqa: E402
from infra.forms.check import differences, named, read  # noqa: E402
from infra.forms.expressions import FormError  # noqa: E402
from infra.forms.write import FORMS  # noqa: E402
from infra.render import SOURCE, load  # noqa: E402

STACK = FORMS[SOURCE]
BUCKET = 'bucket              = "drawbridge-${var.cluster_name}'


def terraform(change: tuple[str, str] | None = None, file: str = "main.tf") -> dict[str, Any]:
    """The stack's module with a text in one file replaced."""
    with tempfile.TemporaryDirectory() as directory:
        for path in STACK.glob("*.tf"):
            text = path.read_text()
            if change and path.name == file:
                if change[0] not in text:
                    raise AssertionError(f"{change[0]!r} is not in {path.name}")
                text = text.replace(*change, 1)
            (Path(directory) / path.name).write_text(text)
        return read(Path(directory))


class Forms(unittest.TestCase):
    def test_the_committed_forms_name_the_same(self) -> None:
        for source, directory in FORMS.items():
            self.assertEqual(differences(load(source), read(directory)), [])

    def test_the_committed_files_are_what_the_sources_give(self) -> None:
        for source, directory in FORMS.items():
            for name, text in write.files(source).items():
                self.assertEqual((directory / name).read_text(), text, f"{directory.name}/{name}")

    def drifts(self, said: str, *change: str, file: str = "main.tf") -> None:
        found = differences(load(SOURCE), terraform((change[0], change[1]), file))
        self.assertTrue(any(said in difference for difference in found), f"'{said}' is not in {found}")

    def test_drift_in_terraform_is_noticed(self) -> None:
        self.drifts("resource vpc of Vpc is in the template", '"aws_vpc" "vpc"', '"aws_vpc" "another"')
        self.drifts("not in the template", '"aws_vpc" "vpc"', '"aws_vpc" "another"')
        self.drifts("loads the policies ['create']", "policies/create.json", "policies/cleanup.json")
        self.drifts("statement EncryptBackups", 's.Sid != "EncryptBackups" || local.uses_key', "true")
        self.drifts("depends on UsesKey", "count                              = local.uses_key ? 1 : 0", "count = 1")
        self.drifts("is called", f"{BUCKET}-backup-$", f"{BUCKET}-backups-$")
        self.drifts("backup_bucket_lifecycle of BackupBucket", '"backup_bucket_lifecycle"', '"elsewhere"')
        self.drifts("parameter max_boxes is in the template", '"max_boxes"', '"most_boxes"', file="variables.tf")
        self.drifts("parameter vpc_cidr: the default", '"10.0.0.0/16"', '"10.1.0.0/16"', file="variables.tf")
        self.drifts("output state_bucket is in the template", '"state_bucket"', '"other"', file="outputs.tf")

    def test_every_resource_that_is_taken_out_is_missed(self) -> None:
        source, module = load(SOURCE), terraform()
        for logical in source["Resources"]:
            less = copy.deepcopy(source)
            del less["Resources"][logical]
            self.assertTrue(differences(less, module), f"nobody misses {logical}")

    def test_every_literal_that_changes_is_noticed(self) -> None:
        """By the text: each file is what the sources give, to the byte."""
        source = load(SOURCE)
        for logical, resource in source["Resources"].items():
            for path in leaves(resource.get("Properties", {})):
                changed = copy.deepcopy(source)
                holder = changed["Resources"][logical]["Properties"]
                for step in path[:-1]:
                    holder = holder[step]
                value = holder[path[-1]]
                holder[path[-1]] = not value if isinstance(value, bool) else value + type(value)(1)
                with patch.object(write, "load", return_value=changed):
                    try:
                        written = write.files(SOURCE)
                    except (FormError, FileNotFoundError):
                        continue
                same = all((STACK / name).read_text() == text for name, text in written.items())
                self.assertFalse(same, f"{logical} {path} changed and Terraform's form did not")

    def test_what_terraform_has_no_form_for_is_refused(self) -> None:
        for said, change in {
            "AWS::SQS::Queue has no form": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Ipv4IpamPoolId has no form": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"Ipv4IpamPoolId": "x"}}},
            "CreationPolicy has no form": {"Vpc": {"Type": "AWS::EC2::VPC", "CreationPolicy": {}}},
            "Fn::Cidr": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Fn::Cidr": []}}}},
        }.items():
            changed = load(SOURCE)
            changed["Resources"] |= change
            with patch.object(write, "load", return_value=changed), self.assertRaisesRegex(FormError, said):
                write.files(SOURCE)

    def test_a_rule_of_the_template_is_a_validation_of_the_first_parameter_that_it_names(self) -> None:
        changed = load(SOURCE)
        none = {"Fn::Equals": [{"Ref": "MaxBoxes"}, "0"]}
        said = {"AssertDescription": "no boxes, no seconds", "Assert": {"Fn::Or": [none, {"Fn::Not": [none]}]}}
        changed["Rules"] = {"Boxes": {"Assertions": [said]}}
        with patch.object(write, "load", return_value=changed):
            variables = write.files(SOURCE)["variables.tf"]
        self.assertIn("condition     = (var.max_boxes == 0) || (var.max_boxes != 0)", variables)
        changed["Rules"]["Boxes"]["RuleCondition"] = none
        with patch.object(write, "load", return_value=changed), self.assertRaisesRegex(FormError, "RuleCondition"):
            write.files(SOURCE)

    def test_no_lifecycle_rule_removes_a_tombstone(self) -> None:
        self.assertEqual(removing("closed/x"), [[], []])
        self.assertEqual(removing("days/x"), [["days"], ["days"]])
        everything = {"Id": "all", "Status": "Enabled", "ExpirationInDays": 1}
        self.assertEqual(removing("closed/x", everything)[0], ["all"])
        tombstones = {**everything, "Id": "tombstones", "Prefix": "closed/"}
        self.assertEqual(removing("closed/x", tombstones)[0], ["tombstones"])

    def test_a_comparison_reads_blocks_by_their_labels(self) -> None:
        self.assertIn("aws_s3_bucket.backup_bucket", named(terraform(), "resource"))


def removing(key: str, *more: dict[str, Any]) -> list[list[str]]:
    """The rules that remove this object of the state bucket one day: the template's and more, and Terraform's."""
    shipped = load(SOURCE)["Resources"]["StateBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    template = [(rule["Id"], rule.get("Prefix", ""), rule) for rule in (*shipped, *more)]
    resources = named(terraform(), "resource")
    blocks = resources["aws_s3_bucket_lifecycle_configuration.state_bucket_lifecycle"]["rule"]
    filters = [block["filter"][0].get("prefix", "").strip('"') for block in blocks]
    module = [(block["id"].strip('"'), prefix, block) for block, prefix in zip(blocks, filters, strict=True)]
    ends = ("ExpirationInDays", "ExpirationDate", "expiration")
    return [
        [name for name, prefix, rule in rules if key.startswith(prefix) and any(end in rule for end in ends)]
        for rules in (template, module)
    ]


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where texts and numbers stand, references and policies left out."""
    if isinstance(node, dict):
        skipped = ("Ref", "Fn::GetAtt", "Fn::Sub", "Fn::If", "file", "only_if")
        return [found for key, value in node.items() if key not in skipped for found in leaves(value, (*path, key))]
    if isinstance(node, list):
        return [found for index, value in enumerate(node) for found in leaves(value, (*path, index))]
    return [path] if isinstance(node, (str, int, bool)) and path else []


if __name__ == "__main__":
    unittest.main()

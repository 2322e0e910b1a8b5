"""The interpreter refuses what it does not know, so that nothing in a template is passed over in silence."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import unittest
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.render import RENDERED  # noqa: E402
from testbed.aws.cloudformation import rules  # noqa: E402
from testbed.aws.cloudformation.errors import TemplateError  # noqa: E402
from testbed.aws.cloudformation.intrinsics import Scope  # noqa: E402
from testbed.aws.cloudformation.stack import Deployment, Stack  # noqa: E402

TEMPLATE: dict[str, Any] = {
    "Parameters": {
        "Port": {"Type": "Number", "Default": 443, "MinValue": 1},
        "Cidrs": {"Type": "CommaDelimitedList", "AllowedPattern": r"[\d./]+", "Default": "10.0.0.0/8, 10.1.0.0/16"},
    },
    "Conditions": {"Plain": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Port"}, 443]}]}},
    "Resources": {
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Fn::Select": [0, {"Ref": "Cidrs"}]}}},
    },
    "Outputs": {"Text": {"Value": {"Fn::Sub": "${Vpc}-${Port}-${AWS::Region}"}}},
}


class Interpreter(unittest.TestCase):
    def deploy(self, change: dict[str, Any] | None = None, **parameters: str) -> tuple[Stack, MagicMock]:
        """Deploys TEMPLATE with some of its sections' entries replaced; the API is a mock."""
        template = copy.deepcopy(TEMPLATE)
        for section, entries in (change or {}).items():
            template.setdefault(section, {}).update(entries)
        api = MagicMock()
        api.create_vpc.return_value = {"Vpc": {"VpcId": "vpc-1"}}
        stack = Stack("stack", "us-east-1", "000000000000", parameters)
        Deployment(template, stack, lambda _service: api).create()
        return stack, api

    def refused(self, said: str, change: dict[str, Any], **parameters: str) -> None:
        with self.assertRaisesRegex(TemplateError, said):
            self.deploy(change, **parameters)

    def test_resources_are_made_after_what_they_name(self) -> None:
        stack, api = self.deploy()
        calls = [call[0] for call in api.method_calls]
        self.assertLess(calls.index("create_vpc"), calls.index("create_route_table"))
        self.assertEqual(api.create_vpc.call_args.kwargs["CidrBlock"], "10.0.0.0/8")
        self.assertEqual(stack.outputs["Text"], "vpc-1-443-us-east-1")

    def test_unknown_resource_types_are_refused(self) -> None:
        self.refused("AWS::SQS::Queue is not known", {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})

    def test_unknown_properties_are_refused_at_every_depth(self) -> None:
        vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/8", "Ipv4IpamPoolId": "x"}}
        self.refused("Ipv4IpamPoolId is not known", {"Resources": {"Vpc": vpc}})
        vpc["Properties"] = {"CidrBlock": "10.0.0.0/8", "Tags": [{"Key": "a", "Value": "b", "Also": "c"}]}
        self.refused(r"Tags\[0\]: Also is not known", {"Resources": {"Vpc": vpc}})

    def test_what_stands_behind_a_condition_that_does_not_hold_is_not_made(self) -> None:
        gateway = {"Type": "AWS::EC2::InternetGateway", "Condition": "Plain"}
        output = {"Condition": "Plain", "Value": {"Ref": "Gateway"}}
        change = {"Resources": {"Gateway": gateway}, "Outputs": {"Gateway": output}}
        stack, _ = self.deploy(change)
        self.assertNotIn("Gateway", {*stack.resources, *stack.outputs})
        stack, _ = self.deploy(change, Port="80")
        self.assertIn("Gateway", stack.resources)
        self.assertIn("Gateway", stack.outputs)

    def test_unknown_functions_are_refused(self) -> None:
        vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Fn::Cidr": ["10.0.0.0/8", 1, 8]}}}
        self.refused("Fn::Cidr", {"Resources": {"Vpc": vpc}})

    def test_unknown_sections_and_fields_are_refused(self) -> None:
        self.refused("Mappings is not known", {"Mappings": {"A": {}}})
        vpc = {**TEMPLATE["Resources"]["Vpc"], "CreationPolicy": {}}
        self.refused("CreationPolicy is not known", {"Resources": {"Vpc": vpc}})

    def test_what_a_condition_leaves_out_is_not_made_and_nothing_waits_for_it(self) -> None:
        table = {**TEMPLATE["Resources"]["Table"], "Condition": "Plain"}
        choice = {"Fn::If": ["Plain", {"Ref": "Table"}, "none"]}
        outputs = {"Table": {"Condition": "Plain", "Value": {"Ref": "Table"}}, "Either": {"Value": choice}}
        stack, api = self.deploy({"Resources": {"Table": table}, "Outputs": outputs})
        self.assertNotIn("Table", stack.resources)
        self.assertNotIn("Table", stack.outputs)
        self.assertEqual(stack.outputs["Either"], "none")
        api.create_route_table.assert_not_called()
        stack, api = self.deploy({"Resources": {"Table": table}, "Outputs": outputs}, Port="80")
        self.assertEqual(set(stack.resources), {"Table", "Vpc"})
        api.create_route_table.assert_called_once()
        self.refused("condition 'Nobody' is not", {"Resources": {"Table": {**table, "Condition": "Nobody"}}})

    def test_a_key_that_nobody_could_administer_is_refused(self) -> None:
        def key(action: str) -> dict[str, Any]:
            statement = {"Effect": "Allow", "Principal": {"AWS": "root"}, "Action": action, "Resource": "*"}
            properties = {"KeyPolicy": {"Version": "2012-10-17", "Statement": [statement]}}
            return {"Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": properties}}}

        self.refused("kms:PutKeyPolicy: KMS refuses that", key("kms:Sign"))
        _, api = self.deploy(key("kms:PutKeyPolicy"))
        api.create_key.assert_called_once()
        told = key("kms:Sign")
        told["Resources"]["Key"]["Properties"]["BypassPolicyLockoutSafetyCheck"] = True
        _, api = self.deploy(told)
        api.create_key.assert_called_once()

    def test_cycles_are_named(self) -> None:
        vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Ref": "Table"}}}
        self.refused("circular dependency between resources: Table, Vpc", {"Resources": {"Vpc": vpc}})

    def test_names_that_stand_for_nothing_are_refused(self) -> None:
        self.refused("'Nobody' is neither", {"Outputs": {"Text": {"Value": {"Ref": "Nobody"}}}})
        self.refused("no attribute 'Arn'", {"Outputs": {"Text": {"Value": {"Fn::GetAtt": ["Vpc", "Arn"]}}}})

    def test_parameters_are_checked(self) -> None:
        self.refused("no parameter Colour", {}, Colour="blue")
        self.refused("'0' is not within", {}, Port="0")
        self.refused("'x' does not match", {}, Cidrs="10.0.0.0/8,x")
        short = {"Parameters": {"Name": {"Type": "String", "Default": "x", "MaxLength": 2}}}
        self.refused("'xyz' is longer than 2", short, Name="xyz")
        self.deploy(short, Name="xy")
        self.refused("Name has no default", {"Parameters": {"Name": {"Type": "String"}}})
        self.refused("type Map is not known", {"Parameters": {"Name": {"Type": "Map", "Default": "x"}}})

    def test_a_rule_that_does_not_hold_stops_the_deployment_before_anything_is_made(self) -> None:
        plain = {"Fn::Equals": [{"Ref": "Port"}, "443"]}
        rule = {"Assertions": [{"AssertDescription": "Port is 443", "Assert": {"Fn::And": [plain, plain]}}]}
        self.deploy({"Rules": {"Port": rule}})
        self.refused("rule Port does not hold: Port is 443", {"Rules": {"Port": rule}}, Port="80")
        self.refused("RuleCondition is not known", {"Rules": {"Port": {**rule, "RuleCondition": plain}}})

    def test_the_stack_keeps_concurrency_for_cleanup_where_it_bounds_create_s_and_posture_s(self) -> None:
        stack_rules = json.loads(RENDERED.read_text())["Rules"]
        every = {
            ("0", "0", "0"): True,
            ("20", "5", "2"): True,
            ("0", "5", "2"): False,
            ("20", "0", "2"): False,
            ("20", "5", "0"): False,
            ("0", "0", "2"): False,
            ("20", "1", "2"): False,
        }
        for (create, cleanup, posture), holds in every.items():
            given = {
                "CreateConcurrency": create,
                "CleanupConcurrency": cleanup,
                "PostureConcurrency": posture,
            }
            scope = Scope(pseudo={}, parameters=given, conditions={}, zones=[])
            with self.subTest(given), contextlib.nullcontext() if holds else self.assertRaises(TemplateError):
                rules.check(stack_rules, scope)

    def test_an_update_makes_what_is_new_and_leaves_what_only_looks_different(self) -> None:
        stack, api = self.deploy()
        resources = copy.deepcopy(TEMPLATE["Resources"])
        resources["Table"]["Properties"]["Tags"] = []
        with self.assertRaisesRegex(TemplateError, "Table .* cannot change Tags"):
            self.update(stack, resources, api)
        stack, api = self.deploy()
        resources = copy.deepcopy(TEMPLATE["Resources"])
        resources["Vpc"]["Properties"]["EnableDnsHostnames"] = "true"
        resources["Gateway"] = {"Type": "AWS::EC2::InternetGateway"}
        self.assertEqual(self.update(stack, resources, api), ["Vpc", "Gateway"])
        api.create_internet_gateway.assert_called_once()
        resources["Vpc"]["Properties"]["EnableDnsHostnames"] = True
        self.assertEqual(self.update(stack, resources, api), [])
        del resources["Gateway"]
        with self.assertRaisesRegex(TemplateError, "cannot remove Gateway"):
            self.update(stack, resources, api)

    def test_a_permission_for_another_function_is_given_before_the_old_one_is_taken(self) -> None:
        def permission(function: str) -> dict[str, Any]:
            source = {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::backups"}
            properties = {"FunctionName": function, "Action": "lambda:InvokeFunction", **source}
            return {"May": {"Type": "AWS::Lambda::Permission", "Properties": properties}}

        stack, api = self.deploy({"Resources": permission("cleanup")})
        api.reset_mock()
        changed = self.update(stack, {**TEMPLATE["Resources"], **permission("sweep")}, api)
        self.assertEqual(changed, ["May"])
        calls = [(call[0], call[2]["FunctionName"]) for call in api.method_calls if call[0].endswith("_permission")]
        self.assertEqual(calls, [("add_permission", "sweep"), ("remove_permission", "cleanup")])

    def test_a_function_s_queue_is_changed_in_place(self) -> None:
        def queue(seconds: int) -> dict[str, Any]:
            limits = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": seconds}
            named = {"FunctionName": "create", "Qualifier": "$LATEST"}
            return {"Queue": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": {**named, **limits}}}

        stack, api = self.deploy({"Resources": queue(60)})
        self.assertEqual(self.update(stack, {**TEMPLATE["Resources"], **queue(90)}, api), ["Queue"])
        said = [call.kwargs for call in api.put_function_event_invoke_config.call_args_list]
        self.assertEqual(said, [queue(seconds)["Queue"]["Properties"] for seconds in (60, 90)])

    def test_a_rule_keeps_no_target_that_it_is_to_have_no_longer(self) -> None:
        def rule(target: str) -> dict[str, Any]:
            targets = [{"Id": target, "Arn": f"arn:aws:logs:us-east-1:000000000000:log-group:{target}"}]
            return {"Rule": {"Type": "AWS::Events::Rule", "Properties": {"Name": "rule", "Targets": targets}}}

        stack, api = self.deploy({"Resources": rule("before")})
        api.list_targets_by_rule.return_value = {"Targets": [{"Id": "before"}, {"Id": "after"}]}
        self.update(stack, {**TEMPLATE["Resources"], **rule("after")}, api)
        api.remove_targets.assert_called_once_with(Rule="rule", Ids=["before"])

    def update(self, stack: Stack, resources: dict[str, Any], api: MagicMock) -> list[str]:
        """Brings a stack of `deploy` to other resources."""
        return Deployment({**TEMPLATE, "Resources": resources}, stack, lambda _service: api).update()

    def test_what_is_set_to_no_value_is_left_out(self) -> None:
        choice = {"Fn::If": ["Plain", True, {"Ref": "AWS::NoValue"}]}
        vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/8", "EnableDnsHostnames": choice}}
        stack, _ = self.deploy({"Resources": {"Vpc": vpc}})
        self.assertNotIn("EnableDnsHostnames", stack.resources["Vpc"]["properties"])
        stack, _ = self.deploy({"Resources": {"Vpc": vpc}}, Port="80")
        self.assertIs(stack.resources["Vpc"]["properties"]["EnableDnsHostnames"], True)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What the charts promise: least rights, restricted pods, the token policy, the drain hook, and refusal of bad values.

Runs with the Python that has PyYAML: `DRAWBRIDGE_BIN=dir/of/helm python charts/tests/chart_test.py`. With
DRAWBRIDGE_TEST_KUBECONFIG an API server checks the rendered objects besides, without making them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rendering import CHART, CRD_CHART, NAMESPACE, ROOT, Manifest, Refused, flattened, helm, one, program, render  # noqa: E402

VAULT = {"create": True, "region": "us-east-1", "functions": {"create": "demo-create", "cleanup": "demo-cleanup"}}
OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:drawbridge"

# The whole of what the operator may do. A rule that the code does not call must not be here.
OPERATOR_RULES = [
    {"apiGroups": ["drawbridge.dev"], "resources": ["backupjobs"], "verbs": ["get", "list", "watch", "patch", "delete"]},
    {"apiGroups": ["drawbridge.dev"], "resources": ["backupvaults"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["drawbridge.dev"], "resources": ["backupjobs/status", "backupvaults/status"], "verbs": ["update"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    {
        "apiGroups": [""],
        "resources": ["serviceaccounts/token"],
        "resourceNames": ["drawbridge-gatherer"],
        "verbs": ["create"],
    },
]
LEADER_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["drawbridge"], "verbs": ["get", "update"]},
]
DRAIN_RULES = [{"apiGroups": ["drawbridge.dev"], "resources": ["backupjobs"], "verbs": ["list", "patch"]}]

# Each: values that must be refused, and a part of the message that a person gets.
BAD_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"replica": 2}, "additional properties 'replica' not allowed"),
    ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    ({"replicas": "2"}, "at '/replicas': got string, want integer"),
    ({"image": {"pullPolicy": "Sometimes"}}, "value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ({"image": {"digest": "sha256:abc"}}, "at '/image/digest'"),
    ({"image": {"registry": "x"}}, "additional properties 'registry' not allowed"),
    ({"image": {"tag": "a b"}}, "at '/image/tag'"),
    ({"securityContext": {"runAsUser": 0}}, "additional properties 'securityContext' not allowed"),
    ({"resources": {"limits": {"memory": None}}}, "missing property 'memory'"),
    ({"resources": {"limits": {"memory": "128 MB"}}}, "at '/resources/limits/memory'"),
    ({"aws": {"region": "Frankfurt"}}, "at '/aws/region'"),
    ({"aws": {"endpointUrl": "198.51.100.2:4566"}}, "at '/aws/endpointUrl'"),
    ({"aws": {"accessKeyId": "AKIA"}}, "additional properties 'accessKeyId' not allowed"),
    ({"aws": {"caConfigMap": "Not A Name"}}, "at '/aws/caConfigMap'"),
    ({"aws": {"credentialsSecret": "Not A Name"}}, "at '/aws/credentialsSecret'"),
    ({"aws": {"webIdentity": {"roleArn": "drawbridge"}}}, "at '/aws/webIdentity/roleArn'"),
    ({"aws": {"webIdentity": {"tokenSeconds": 60}}}, "at '/aws/webIdentity/tokenSeconds': minimum: got 60, want 600"),
    (
        {"aws": {"credentialsSecret": "a", "webIdentity": {"roleArn": "arn:aws:iam::000000000000:role/a"}}},
        "aws.credentialsSecret and aws.webIdentity.roleArn are both set",
    ),
    ({"aws": {"credentialsSecret": "a", "podIdentity": True}}, "aws.podIdentity is true"),
    ({"aws": {"podIdentity": "yes"}}, "at '/aws/podIdentity'"),
    ({"logLevel": "info debug"}, "at '/logLevel'"),
    ({"vault": {"create": True}}, "vault.create needs the stack's outputs"),
    ({"vault": {**VAULT, "allowedNamespaces": {"selector": None}}}, "vault.allowedNamespaces lets no namespace in"),
    ({"vault": {**VAULT, "maxConcurrentSessions": 0}}, "at '/vault/maxConcurrentSessions'"),
    ({"vault": {**VAULT, "sessionTimeoutSeconds": 60}}, "at '/vault/sessionTimeoutSeconds'"),
    ({"vault": {**VAULT, "receiptKey": "-----BEGIN PRIVATE KEY-----\n"}}, "at '/vault/receiptKey'"),
    ({"vault": {**VAULT, "functions": {"create": "a b"}}}, "at '/vault/functions/create'"),
    ({"vault": {**VAULT, "bucket": "x"}}, "additional properties 'bucket' not allowed"),
    ({"networkPolicy": {"aws": {"cidrs": ["everywhere"]}}}, "at '/networkPolicy/aws/cidrs/0'"),
    ({"networkPolicy": {"boxes": {"ports": []}}}, "at '/networkPolicy/boxes/ports'"),
    ({"networkPolicy": {"boxes": {"ports": [70000]}}}, "at '/networkPolicy/boxes/ports/0'"),
    ({"networkPolicy": {"metricsFrom": [{}]}}, "at '/networkPolicy/metricsFrom/0'"),
    ({"drain": {"timeoutSeconds": 5}}, "at '/drain/timeoutSeconds': minimum: got 5, want 30"),
    ({"parallelUploads": 0}, "at '/parallelUploads': minimum: got 0, want 1"),
    ({"parallelUploads": 9}, "at '/parallelUploads': maximum: got 9, want 8"),
    ({"terminationGracePeriodSeconds": 5}, "at '/terminationGracePeriodSeconds': minimum: got 5, want 15"),
    ({"podLabels": {"a": 1}}, "at '/podLabels/a': got number, want string"),
]


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates by their object's kind."""
    return {o["kind"]: o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "Job")}


class Charts(unittest.TestCase):
    def test_both_charts_pass_helm_lint(self) -> None:
        helm("lint", "--strict", str(CHART), str(CRD_CHART))

    def test_bad_values_are_refused_with_their_reason(self) -> None:
        render({"vault": VAULT})  # the allowed twin
        for values, message in BAD_VALUES:
            with self.subTest(values=values):
                with self.assertRaises(Refused) as refusal:
                    render(values)
                self.assertIn(message, str(refusal.exception))

    def test_an_older_kubernetes_is_refused(self) -> None:
        with self.assertRaises(Refused) as refusal:
            helm("template", "drawbridge", str(CHART), "--kube-version", "1.29.0")
        self.assertIn("kubeVersion", str(refusal.exception))

    def test_versions_are_the_workspaces(self) -> None:
        workspace = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        assert workspace
        for chart in (CHART, CRD_CHART):
            described = yaml.safe_load((chart / "Chart.yaml").read_text())
            self.assertEqual({described["version"], described["appVersion"]}, {workspace[1]}, chart.name)

    def test_the_readme_lists_every_value_with_its_default(self) -> None:
        rows = re.findall(r"^\| `([^`]+)` \| `([^`]*)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
        documented = {name: json.loads(default) for name, default in rows}
        self.assertEqual(documented, flattened(yaml.safe_load((CHART / "values.yaml").read_text())))

    def test_no_object_of_a_second_release_meets_the_first(self) -> None:
        def names(release: str) -> set[tuple[str, str]]:
            return {(o["kind"], o["metadata"]["name"]) for o in render(release=release)}

        self.assertFalse(names("drawbridge") & names("other"))


class Rights(unittest.TestCase):
    def test_the_rules_are_exactly_these(self) -> None:
        objects = render({"rbac": {"aggregateToDefaultRoles": False}})
        rules = {o["metadata"]["name"]: o["rules"] for o in objects if o["kind"] in ("ClusterRole", "Role")}
        self.assertEqual(
            rules,
            {
                "drawbridge-system-drawbridge": OPERATOR_RULES,
                "drawbridge-leader": LEADER_RULES,
                "drawbridge-system-drawbridge-drain": DRAIN_RULES,
            },
        )

    def test_the_rules_are_what_the_code_says_that_it_calls(self) -> None:
        rows = re.findall(r"^//! \| `?([\w.]+)`? ([\w/]+)[^|]*\| ([a-z, ]+) \|", (ROOT / "src/lib.rs").read_text(), re.MULTILINE)
        called = {(group.replace("core", ""), resource, verb) for group, resource, verbs in rows for verb in verbs.split(", ")}
        granted = {
            (group, resource, verb)
            for rule in OPERATOR_RULES + LEADER_RULES
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        self.assertEqual(granted, called)

    def test_each_role_is_bound_to_one_account_of_the_release(self) -> None:
        objects = render({"rbac": {"aggregateToDefaultRoles": False}})
        bound = {
            o["roleRef"]["name"]: [(s["kind"], s["name"], s["namespace"]) for s in o["subjects"]]
            for o in objects
            if o["kind"] in ("ClusterRoleBinding", "RoleBinding")
        }
        operator = [("ServiceAccount", "drawbridge", NAMESPACE)]
        self.assertEqual(
            bound,
            {
                "drawbridge-system-drawbridge": operator,
                "drawbridge-leader": operator,
                "drawbridge-system-drawbridge-drain": [("ServiceAccount", "drawbridge-drain", NAMESPACE)],
            },
        )

    def test_users_get_backup_jobs_and_never_their_status(self) -> None:
        names = ("drawbridge-system-drawbridge-edit", "drawbridge-system-drawbridge-view")
        rules = [rule for name in names for rule in one(render(), "ClusterRole", name)["rules"]]
        self.assertEqual({resource for rule in rules for resource in rule["resources"]}, {"backupjobs"})

    def test_the_token_policy_names_the_operators_account_the_gatherer_and_600_seconds(self) -> None:
        for values, user in (
            ({}, OPERATOR_USER),
            ({"serviceAccount": {"name": "bridge"}}, f"system:serviceaccount:{NAMESPACE}:bridge"),
        ):
            with self.subTest(values=values):
                spec = one(render(values), "ValidatingAdmissionPolicy")["spec"]
                self.assertEqual(spec["failurePolicy"], "Fail")
                rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts/token"]}
                self.assertEqual(spec["matchConstraints"]["resourceRules"], [rule])
                self.assertEqual([c["expression"] for c in spec["matchConditions"]], [f"request.userInfo.username == '{user}'"])
                self.assertEqual(
                    [v["expression"] for v in spec["validations"]],
                    ["request.name == 'drawbridge-gatherer'", "object.spec.expirationSeconds <= 600"],
                )

    def test_the_token_policy_is_bound_to_deny(self) -> None:
        objects = render()
        binding = one(objects, "ValidatingAdmissionPolicyBinding")["spec"]
        self.assertEqual(binding["policyName"], one(objects, "ValidatingAdmissionPolicy")["metadata"]["name"])
        self.assertIn("Deny", binding["validationActions"])
        self.assertNotIn("matchResources", binding)


class Pods(unittest.TestCase):
    def test_every_pod_meets_the_restricted_standard_and_more(self) -> None:
        templates = pods(render())
        self.assertEqual(set(templates), {"Deployment", "Job"})
        for kind, template in templates.items():
            with self.subTest(kind=kind):
                pod = template["spec"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["runAsUser"], 65532)
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod))
                self.assertFalse([v for v in pod.get("volumes", []) if "hostPath" in v])
                (container,) = pod["containers"]
                context = container["securityContext"]
                self.assertTrue(context["readOnlyRootFilesystem"])
                self.assertTrue(context["runAsNonRoot"])
                self.assertFalse(context["allowPrivilegeEscalation"])
                self.assertFalse(context["privileged"])
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertEqual(container["resources"]["limits"]["memory"], "128Mi")

    def test_the_program_knows_every_command_and_variable(self) -> None:
        source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
        known = set(re.findall(r'env = "(DRAWBRIDGE_[A-Z_]+)"', source))
        for kind, command in (("Deployment", "run"), ("Job", "drain")):
            (container,) = pods(render())[kind]["spec"]["containers"]
            self.assertEqual(container["args"], [command])
            self.assertRegex(source, rf"\n    {command.capitalize()}\b")
            given = {variable["name"] for variable in container["env"] if variable["name"].startswith("DRAWBRIDGE_")}
            self.assertLessEqual(given, known)

    def test_probes_ask_8080(self) -> None:
        (container,) = pods(render())["Deployment"]["spec"]["containers"]
        self.assertEqual(container["ports"], [{"name": "http", "containerPort": 8080}])
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/healthz", "port": "http"})
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/readyz", "port": "http"})

    def test_the_selector_finds_the_controller_and_not_the_hook(self) -> None:
        templates = pods(render())
        selector = one(render(), "Deployment")["spec"]["selector"]["matchLabels"].items()
        self.assertLessEqual(selector, templates["Deployment"]["metadata"]["labels"].items())
        self.assertFalse(selector <= templates["Job"]["metadata"]["labels"].items())

    def test_user_labels_cannot_replace_the_selectors(self) -> None:
        objects = render({"podLabels": {"team": "a", "app.kubernetes.io/component": "x"}})
        labels = pods(objects)["Deployment"]["metadata"]["labels"]
        self.assertEqual((labels["team"], labels["app.kubernetes.io/component"]), ("a", "controller"))

    def environment(self, values: dict[str, Any]) -> dict[str, Any]:
        (container,) = pods(render({"aws": values}))["Deployment"]["spec"]["containers"]
        names = [variable["name"] for variable in container["env"]]
        self.assertEqual(len(names), len(set(names)))
        return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}

    def test_credentials_come_by_reference_only(self) -> None:
        environment = self.environment({"credentialsSecret": "drawbridge-aws", "endpointUrl": "http://198.51.100.2:4566"})
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.assertEqual(environment[key], {"secretKeyRef": {"name": "drawbridge-aws", "key": key}})
        self.assertEqual(environment["AWS_ENDPOINT_URL"], "http://198.51.100.2:4566")
        self.assertNotIn("AWS_ROLE_ARN", environment)
        self.assertFalse({"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_REGION"} & set(self.environment({})))

    def test_an_extra_ca_is_mounted_when_it_is_named(self) -> None:
        values = {"caConfigMap": "company-ca"}
        pod = pods(render({"aws": values}))["Deployment"]["spec"]
        (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
        self.assertEqual((volume["configMap"]["name"], volume["name"]), ("company-ca", mount["name"]))
        self.assertEqual(self.environment(values)["DRAWBRIDGE_AWS_CA_FILE"], f"{mount['mountPath']}/ca.crt")
        self.assertNotIn("DRAWBRIDGE_AWS_CA_FILE", self.environment({}))
        self.assertFalse({"volumes"} & set(pods(render())["Deployment"]["spec"]))

    def test_a_web_identity_gets_a_projected_token(self) -> None:
        values = {"webIdentity": {"roleArn": "arn:aws:iam::000000000000:role/drawbridge"}}
        environment = self.environment(values)
        pod = pods(render({"aws": values}))["Deployment"]["spec"]
        mount = pod["containers"][0]["volumeMounts"][0]["mountPath"]
        self.assertEqual(environment["AWS_WEB_IDENTITY_TOKEN_FILE"], f"{mount}/token")
        (source,) = pod["volumes"][0]["projected"]["sources"]
        self.assertEqual(source["serviceAccountToken"]["audience"], "sts.amazonaws.com")

    def test_a_digest_wins_over_the_tag(self) -> None:
        digest = "sha256:" + "0" * 64
        for template in pods(render({"image": {"digest": digest, "tag": "x"}})).values():
            self.assertEqual(template["spec"]["containers"][0]["image"], f"drawbridge.dev/controller@{digest}")


class Surroundings(unittest.TestCase):
    def test_the_drain_hook_runs_before_an_uninstall_with_its_own_account(self) -> None:
        objects = [o for o in render() if "helm.sh/hook" in o["metadata"].get("annotations", {})]
        order = {o["kind"]: int(o["metadata"]["annotations"]["helm.sh/hook-weight"]) for o in objects}
        self.assertEqual(set(order), {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"})
        self.assertEqual(max(order, key=lambda kind: order[kind]), "Job")
        for o in objects:
            annotations = o["metadata"]["annotations"]
            self.assertEqual(annotations["helm.sh/hook"], "pre-delete")
            self.assertEqual(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded")
        pod = one(objects, "Job")["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], "drawbridge-drain")
        self.assertEqual(pod["containers"][0]["args"], ["drain"])
        self.assertFalse([o for o in render({"drain": {"enabled": False}}) if o["kind"] == "Job"])

    def test_the_network_policy_lets_out_what_is_listed_and_nothing_in(self) -> None:
        def egress(values: dict[str, Any]) -> list[list[int]]:
            spec = one(render(values), "NetworkPolicy")["spec"]
            self.assertEqual((spec["ingress"], set(spec["policyTypes"])), ([], {"Ingress", "Egress"}))
            return [sorted({port["port"] for port in rule["ports"]}) for rule in spec["egress"]]

        self.assertEqual(egress({}), [[53], [443, 6443], [443], [22]])
        self.assertEqual(egress({"aws": {"endpointUrl": "http://198.51.100.2:4566"}})[2], [443, 4566])
        self.assertEqual(egress({"aws": {"endpointUrl": "http://proxy.example"}})[2], [80, 443])

    def test_eks_s_agent_is_reached_only_where_it_gives_the_identity(self) -> None:
        def agent(values: dict[str, Any]) -> list[Any]:
            rules = one(render(values), "NetworkPolicy")["spec"]["egress"]
            named = [rule for rule in rules if {"ipBlock": {"cidr": "169.254.170.23/32"}} in rule.get("to", [])]
            return [rule["ports"] for rule in named]

        self.assertEqual(agent({"aws": {"podIdentity": True}}), [[{"protocol": "TCP", "port": 80}]])
        self.assertEqual(agent({}), [])

    def test_metrics_are_let_in_for_named_peers_only(self) -> None:
        peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
        spec = one(render({"networkPolicy": {"metricsFrom": [peer]}}), "NetworkPolicy")["spec"]
        self.assertEqual(spec["ingress"], [{"from": [peer], "ports": [{"protocol": "TCP", "port": 8080}]}])

    def test_a_vault_takes_the_stacks_outputs(self) -> None:
        spec = one(render({"vault": VAULT}), "BackupVault")["spec"]
        self.assertEqual((spec["region"], spec["functions"]), ("us-east-1", VAULT["functions"]))
        self.assertFalse([o for o in render() if o["kind"] == "BackupVault"])

    def test_an_api_server_accepts_every_object(self) -> None:
        kubeconfig = os.environ.get("DRAWBRIDGE_TEST_KUBECONFIG")
        if not kubeconfig:
            self.skipTest("DRAWBRIDGE_TEST_KUBECONFIG is not set")
        values: dict[str, Any] = {"podDisruptionBudget": {"create": True}, "aws": {"credentialsSecret": "a"}}
        objects = [o for o in render(values) if o["kind"] != "BackupVault"]
        for o in objects:
            if "namespace" in o["metadata"]:
                o["metadata"]["namespace"] = "default"
        command = [program("kubectl"), "--kubeconfig", kubeconfig, "apply", "--dry-run=server", "--validate=strict", "-f", "-"]
        result = subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)


class CustomResources(unittest.TestCase):
    def test_the_chart_ships_the_generated_files_byte_for_byte(self) -> None:
        shipped = {path.name: path.read_bytes() for path in (CRD_CHART / "files").glob("*.yaml")}
        generated = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}
        self.assertTrue(generated, "crds/ is empty")
        self.assertEqual(shipped, generated, "run `cargo xtask generate`")

    def test_they_survive_an_uninstall_unless_told_otherwise(self) -> None:
        generated = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
        kept, plain = render(chart=CRD_CHART), render({"keep": False}, chart=CRD_CHART)
        self.assertEqual(plain, generated)
        for crd in kept:
            self.assertEqual(crd["metadata"].pop("annotations"), {"helm.sh/resource-policy": "keep"})
        self.assertEqual(kept, generated)

    def test_every_vault_value_is_a_field_of_the_resource_and_the_other_way_round(self) -> None:
        fields = vault_schema()["properties"]
        values = yaml.safe_load((CHART / "values.yaml").read_text())["vault"]
        # `cluster` is for people and follows from the stack.
        self.assertEqual(set(values) - {"create", "name"}, set(fields) - {"cluster"})
        for name in ("maxConcurrentSessions", "sessionTimeoutSeconds", "graceSeconds"):
            limits = json.loads((CHART / "values.schema.json").read_text())["properties"]["vault"]["properties"][name]
            for bound in ("minimum", "maximum"):
                self.assertEqual(limits[bound], fields[name][bound], f"{name}: {bound}")


def vault_schema() -> dict[str, Any]:
    """The spec's schema of the generated BackupVault."""
    (path,) = [path for path in (ROOT / "crds").glob("*.yaml") if "vault" in path.name]
    (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def suite() -> unittest.TestSuite:
    """These tests, and those of what the charts are used with: the image and the examples."""
    loader = unittest.defaultTestLoader
    tests = [loader.loadTestsFromModule(sys.modules["__main__"])]
    tests += [loader.discover(str(ROOT / part), "*_test.py", str(ROOT / part)) for part in ("images", "examples")]
    return unittest.TestSuite(tests)


if __name__ == "__main__":
    sys.exit(not unittest.TextTestRunner(verbosity=1).run(suite()).wasSuccessful())

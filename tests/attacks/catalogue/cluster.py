"""Identities of the cluster, asked of its API server: the operator's token, a gatherer's, a namespace's admin."""

from __future__ import annotations

import json

from tests.attacks.attack import Attack, Control, Thief, Try
from tests.attacks.cluster import (
    ACCOUNT,
    BY_ADMISSION,
    FORBIDDEN,
    INVALID,
    NAMESPACE,
    NOT_ALLOWED,
    VAULT,
    Accepted,
    Command,
    job,
)
from tests.attacks.cluster_controls import Confined, Rules, Schema, TokenLife, VaultsNamespaces
from tests.policy.kubernetes_probes import GATHERER, binding_to_admin, exec_in, mint

OPERATOR_ROLE = f"clusterrole/{NAMESPACE}-{ACCOUNT}"
GATHERER_ROLE = f"role/{GATHERER}"
DRY = ("create", "--dry-run=server", "-f", "-")


def attacks() -> list[Attack]:
    return [*_operator(), *_gatherer(), *_admin(), *_admin_s_jobs()]


def _rule(group: str, resources: list[str], verbs: list[str]) -> str:
    return json.dumps({"apiGroups": [group], "resources": resources, "verbs": verbs})


def _operator() -> list[Attack]:
    def row(name: str, attempt: Try, twin: Try, *controls: Control, error: str = FORBIDDEN) -> Attack:
        alone = {control.name: BY_ADMISSION for control in controls if isinstance(control, TokenLife)}
        return Attack(f"token-{name}", Thief.TOKEN, attempt, error, twin, controls, alone)

    def no(group: str, resources: list[str], verbs: list[str]) -> Rules:
        return Rules(OPERATOR_ROLE, _rule(group, resources, verbs))

    who, bind = "operator", binding_to_admin("{a}")
    minted = Command("mint for the gatherer, 600 s", who, mint("{a}", GATHERER, 600))
    escalating = no("rbac.authorization.k8s.io", ["rolebindings", "clusterroles"], ["create", "bind"])
    return [
        row(
            "lists-pods",
            Command("list pods of a namespace", who, ("get", "pods", "-n", "{a}")),
            Command("list pods by the gatherer", "gatherer", ("get", "pods", "-n", "{a}")),
            no("", ["pods"], ["list"]),
        ),
        row(
            "runs-a-command-in-a-pod",
            Command("exec in a pod", who, exec_in("{a}")),
            Command("exec by the gatherer", "gatherer", exec_in("{a}")),
            # kubectl asks for the pod first.
            no("", ["pods"], ["get"]),
            no("", ["pods/exec"], ["get", "create"]),
        ),
        row(
            "reads-a-secret",
            Command("get a Secret", who, ("get", "secret", "secret", "-n", "{a}")),
            Command("get a namespace", who, ("get", "namespace", "{a}")),
            no("", ["secrets"], ["get"]),
        ),
        row(
            "reads-its-own-namespace-s-secrets",
            Command("list Secrets of its own namespace", who, ("get", "secrets", "-n", NAMESPACE)),
            Command("list BackupJobs", who, ("get", "backupjobs", "-A")),
            no("", ["secrets"], ["list"]),
        ),
        row(
            "keeps-a-token-for-a-day",
            Command("mint for the gatherer, a day", who, mint("{a}", GATHERER, 86400)),
            minted,
            TokenLife(),
            error=BY_ADMISSION,
        ),
        row(
            "mints-for-another-account",
            Command("mint for another account, 600 s", who, mint("{a}", "other", 600)),
            minted,
            no("", ["serviceaccounts/token"], ["create"]),
            TokenLife(),
        ),
        row(
            "mints-for-itself",
            Command("mint for itself, 600 s", who, mint(NAMESPACE, ACCOUNT, 600)),
            minted,
            no("", ["serviceaccounts/token"], ["create"]),
            TokenLife(),
        ),
        row(
            "gives-itself-rights",
            Command("create a RoleBinding", who, DRY, bind),
            Command("create a RoleBinding by the cluster's admin", "admin", DRY, bind),
            escalating,
        ),
        row(
            "runs-a-pod",
            Command("create a Pod", who, DRY, _pod()),
            Command("create a Pod by the namespace's admin", "namespace-admin", DRY, _pod()),
            no("", ["pods"], ["create"]),
        ),
        row(
            "leads-a-vault-elsewhere",
            Command("patch a BackupVault's spec", who, _vault_patch()),
            Command("patch a BackupVault's spec by the cluster's admin", "admin", _vault_patch()),
            no("drawbridge.dev", ["backupvaults"], ["patch"]),
        ),
    ]


def _gatherer() -> list[Attack]:
    def row(name: str, attempt: Try, twin: Try, control: Control) -> Attack:
        return Attack(f"gatherer-{name}", Thief.GATHERER, attempt, FORBIDDEN, twin, (control,))

    def no(group: str, resources: list[str], verbs: list[str]) -> Rules:
        return Rules(GATHERER_ROLE, _rule(group, resources, verbs), "{a}")

    who, elsewhere = "gatherer", Confined("gatherer", "edit", "{b}")
    listing = Command("list pods of its namespace", who, ("get", "pods", "-n", "{a}"))
    return [
        row(
            "lists-another-namespace",
            Command("list pods of another namespace", who, ("get", "pods", "-n", "{b}")),
            listing,
            elsewhere,
        ),
        row(
            "runs-a-command-in-another-namespace",
            Command("exec in another namespace", who, exec_in("{b}")),
            Command("exec in its namespace", who, exec_in("{a}")),
            elsewhere,
        ),
        row(
            "reads-a-secret",
            Command("get a Secret", who, ("get", "secret", "secret", "-n", "{a}")),
            listing,
            no("", ["secrets"], ["get"]),
        ),
        row(
            "mints-for-itself",
            Command("mint for itself", who, mint("{a}", GATHERER, 600)),
            Command("mint for it by the operator", "operator", mint("{a}", GATHERER, 600)),
            no("", ["serviceaccounts/token"], ["create"]),
        ),
        row(
            "asks-for-a-backup",
            Command("create a BackupJob", who, DRY, json.dumps(job("{a}", "{fresh}"))),
            Command("create a BackupJob by the namespace's admin", "namespace-admin", DRY, json.dumps(job("{a}", "{fresh}"))),
            no("drawbridge.dev", ["backupjobs"], ["create"]),
        ),
        row(
            "runs-a-pod",
            Command("create a Pod", who, DRY, _pod()),
            Command("create a Pod by the namespace's admin", "namespace-admin", DRY, _pod()),
            no("", ["pods"], ["create"]),
        ),
    ]


def _admin() -> list[Attack]:
    """All rights in his own namespace, none in another."""
    who = "namespace-admin"

    def row(name: str, attempt: Try, twin: Try, place: str | None) -> Attack:
        control = Confined("the namespace's admin", "cluster-admin", place)
        return Attack(f"namespace-admin-{name}", Thief.NAMESPACE_ADMIN, attempt, FORBIDDEN, twin, (control,))

    return [
        row(
            "mints-the-operator-s-token",
            Command("mint for the operator's account", who, mint(NAMESPACE, ACCOUNT, 600)),
            Command("mint for an account of his own", who, mint("{a}", "other", 600)),
            NAMESPACE,
        ),
        row(
            "reads-the-operator-s-secrets",
            Command("list Secrets of the operator's namespace", who, ("get", "secrets", "-n", NAMESPACE)),
            Command("list Secrets of his own", who, ("get", "secrets", "-n", "{a}")),
            NAMESPACE,
        ),
        row(
            "backs-another-namespace-up",
            Command("create a BackupJob in another namespace", who, DRY, json.dumps(job("{b}", "{fresh}"))),
            Command("create a BackupJob in his own", who, DRY, json.dumps(job("{a}", "{fresh}"))),
            "{b}",
        ),
        row(
            "mints-another-namespace-s-gatherer",
            Command("mint for another namespace's gatherer", who, mint("{b}", GATHERER, 600)),
            Command("mint for his own gatherer", who, mint("{a}", GATHERER, 600)),
            "{b}",
        ),
        row(
            "leads-the-vault-elsewhere",
            Command("patch a BackupVault's spec", who, _vault_patch()),
            Command("patch a BackupVault's spec by the cluster's admin", "admin", _vault_patch()),
            None,
        ),
        row(
            "labels-his-namespace",
            Command("label his namespace as allowed", who, _label("{a}")),
            Command("label it by the cluster's admin", "admin", _label("{a}")),
            "{a}",
        ),
    ]


def _admin_s_jobs() -> list[Attack]:
    """What he may write, and what of it is taken."""
    who = "namespace-admin"

    def row(name: str, attempt: Try, twin: Try, control: Control, error: str = INVALID) -> Attack:
        return Attack(f"namespace-admin-{name}", Thief.NAMESPACE_ADMIN, attempt, error, twin, (control,))

    def of_path(path: str) -> Command:
        return Command(f"create a BackupJob of the path {path}", who, DRY, json.dumps(job("{a}", "{fresh}", path=path)))

    def patch(what: str, content: str, *more: str) -> Command:
        words = ("patch", "backupjob", "standing", "-n", "{a}", "--type=merge", "--dry-run=server", *more, "-p", content)
        return Command(what, who, words)

    # kubectl reads what it patches.
    status = _rule("drawbridge.dev", ["backupjobs/status"], ["get", "patch"])
    return [
        row("climbs-out-of-a-path", of_path("/data/../etc"), of_path("/data/etc"), Schema("a path must not climb")),
        row(
            "passes-an-option-as-a-path",
            of_path("--checkpoint-action=exec=sh"),
            of_path("/data"),
            Schema("a path must be absolute"),
        ),
        row(
            "changes-a-job-that-runs",
            patch("patch a BackupJob's spec", '{"spec":{"backoffLimit":5}}'),
            patch("patch a BackupJob's labels", '{"metadata":{"labels":{"a":"b"}}}'),
            Schema("the spec of a BackupJob cannot change"),
        ),
        row(
            "says-that-a-job-is-complete",
            patch("patch a BackupJob's status", '{"status":{"phase":"Complete"}}', "--subresource=status"),
            patch("patch a BackupJob's labels", '{"metadata":{"labels":{"a":"b"}}}'),
            Rules(f"{OPERATOR_ROLE}-edit", status),
            FORBIDDEN,
        ),
        row(
            "uses-a-vault-that-does-not-let-him-in",
            Accepted("a BackupJob for a vault that does not allow his namespace", "{a}"),
            Accepted("a BackupJob in a namespace that the vault allows", "{b}"),
            VaultsNamespaces(),
            NOT_ALLOWED,
        ),
    ]


def _label(namespace: str) -> tuple[str, ...]:
    return ("label", "namespace", namespace, "drawbridge.dev/backups=allowed", "--dry-run=server", "--overwrite")


def _vault_patch() -> tuple[str, ...]:
    elsewhere = json.dumps({"spec": {"region": "eu-west-1"}})
    return ("patch", "backupvault", VAULT, "--type=merge", "--dry-run=server", "-p", elsewhere)


def _pod() -> str:
    container = {"name": "thief", "image": "drawbridge.test/busybox:1", "command": ["sleep", "1"]}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "{fresh}", "namespace": "{a}"},
            "spec": {"containers": [container]},
        }
    )

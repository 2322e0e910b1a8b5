#!/usr/bin/env python3
"""Puts the stacks of infra/ into a run's local AWS, as a user does in an account: the cluster's, and what watches it.

    deploy.py up --run ID --code create.zip cleanup.zip posture.zip --out stack.json [--template FILE]
                 [--parameter NAME=VALUE ...]
    deploy.py update --run ID --stack stack.json [--policies DIR] [--code ...] [--parameter NAME=VALUE ...]

`--endpoint URL` instead of `--run ID` works on any local AWS. The stack file has the template's outputs under
`outputs`, an access key of the operator under `operator`, and the other stack under `watch`. A parameter that both
templates have goes to both; `--watch-parameter` goes to the other stack alone. With `--template`, that of another
release, nothing watches before an update brings the stack to this release's templates.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

from infra import render  # noqa: E402
from testbed.aws.cloudformation.stack import Deployment, Stack  # noqa: E402
from testbed.aws.layout import ACCOUNT, EKS_CLUSTER, REGION  # noqa: E402
from testbed.common import run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.progress import say  # noqa: E402
from testbed.kubernetes.control_plane import ISSUER  # noqa: E402

CODE_BUCKET = f"drawbridge-code-{ACCOUNT}"
CODE_KEYS = ("CreateCodeKey", "CleanupCodeKey", "PostureCodeKey")
# Which of them the posture function is told the digest of; its own it could not judge.
CODE_DIGESTS = {"CreateCodeKey": "CreateCodeSha256", "CleanupCodeKey": "CleanupCodeSha256"}
LOCAL_PARAMETERS = {
    "ClusterName": "local",
    "ClientCidrs": "203.0.113.10/32",
    # The operator is known by its tokens too; whether a cluster is there that signs any makes no difference to a stack.
    "OidcIssuer": ISSUER.removeprefix("https://"),
    "EksCluster": EKS_CLUSTER,
    # A test bed opens more sessions in an hour than a cluster on a day.
    "MaxSessionsPerDay": "100000",
    # Whom probes ask as; they make the role.
    "DeployerArn": f"arn:aws:iam::{ACCOUNT}:role/drawbridge-deployer",
    "BreakGlassArn": f"arn:aws:iam::{ACCOUNT}:role/drawbridge-break-glass",
}
# A minute's silence is noticed, since no test can wait for a day's.
LOCAL_WATCH = {"SilenceHours": "1", "SilencePeriodSeconds": "60"}
SHARED = ("ClusterName", "DeployerArn")


class Account:
    """The local AWS with its owner's key. `authority` has signed its certificate; None leaves that to AWS_CA_BUNDLE."""

    def __init__(self, endpoint: str, key: str, secret: str, authority: Path | None = None) -> None:
        self._place = {"endpoint_url": endpoint, "verify": str(authority) if authority else None}
        self.authority = authority
        self._session = boto3.Session(key, secret, region_name=REGION)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            # A retry would hide that a call failed once; the account next door must not.
            options = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
            self._clients[service] = self._session.client(service, config=options, **self._place)
        return self._clients[service]


def find_account(arguments: argparse.Namespace) -> Account:
    if arguments.endpoint:
        return Account(arguments.endpoint, "test", "test")
    return account_of(arguments.run)


def account_of(run: str) -> Account:
    facts_file = runs.load(run).dir / "testbed.json"
    if not facts_file.exists():
        raise TestbedError(f"{facts_file} does not exist: is the run '{run}' up?")
    facts = json.loads(facts_file.read_text())["aws"]
    root = facts["root"]
    return Account(facts["endpoint"], root["access_key_id"], root["secret_access_key"], Path(facts["ca_bundle"]))


def upload_code(account: Account, archives: list[Path]) -> dict[str, str]:
    """Puts the functions' code where the template takes it from; returns the parameters that say so."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET)
    found = {"CodeBucket": CODE_BUCKET}
    for parameter, archive in zip(CODE_KEYS, archives, strict=True):
        if not archive.exists():
            raise TestbedError(f"{archive} does not exist: `cargo xtask package` makes it")
        content = archive.read_bytes()
        digest = hashlib.sha256(content)
        found[parameter] = f"{archive.stem}-{digest.hexdigest()[:16]}.zip"
        if parameter in CODE_DIGESTS:
            found[CODE_DIGESTS[parameter]] = base64.b64encode(digest.digest()).decode()
        s3.put_object(Bucket=CODE_BUCKET, Key=found[parameter], Body=content)
    return found


def operator_key(account: Account, user: str) -> dict[str, str]:
    """The operator's access key, which a user makes by hand: a template would show it to whoever may read the stack."""
    key = account.client("iam").create_access_key(UserName=user)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def write_stack(path: Path, stack: Stack, watch: Stack | None, operator: dict[str, str]) -> None:
    """The stack file holds a key: for its owner only, and never half written."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({**stack.facts(), "operator": operator, "watch": watch and watch.facts()}, file, indent=1)
    draft.replace(path)


def load_template(policies: Path | None) -> dict[str, Any]:
    """The committed template, or one with other policies in it."""
    if policies is not None:
        return render.render(policies)
    return json.loads(render.RENDERED.read_text())


def load_watch_template(policies: Path | None) -> dict[str, Any]:
    """The other committed template, or that with other policies in it."""
    if policies is not None:
        return render.render(policies, render.WATCH_SOURCE)
    return json.loads(render.WATCH_RENDERED.read_text())


def local_parameters(account: Account, template: dict[str, Any], known: dict[str, str]) -> dict[str, str]:
    """What a local stack is given that `known` does not say, and of all of it what the template takes."""
    # The one thing that differs from a real account: no system trusts the CA of a run.
    trust = {"ExtraCa": account.authority.read_text()} if account.authority else {}
    found = {**LOCAL_PARAMETERS, **trust, **known}
    return {name: value for name, value in found.items() if name in template["Parameters"]}


def watch_parameters(stack: Stack, given: dict[str, str]) -> dict[str, str]:
    shared = {name: stack.parameters[name] for name in SHARED}
    keys = {name: stack.outputs[name] for name in ("BackupKeyArn", "ReceiptKeyArn") if name in stack.outputs}
    return {**LOCAL_WATCH, **shared, **keys, **given}


def up(arguments: argparse.Namespace) -> int:
    account, other = find_account(arguments), arguments.template
    if other and arguments.policies:
        raise TestbedError("--template has policies of its own: give it without --policies")
    code = upload_code(account, arguments.code)
    template = json.loads(other.read_text()) if other else load_template(arguments.policies)
    parameters = {**local_parameters(account, template, code), **dict(arguments.parameter)}
    stack = Stack(arguments.stack_name, REGION, ACCOUNT, parameters)
    Deployment(template, stack, account.client).create()
    watch = None if other else make_watch(account, stack, arguments)
    write_stack(arguments.out, stack, watch, operator_key(account, stack.outputs["OperatorUser"]))
    names, number = [stack.name], len(stack.resources)
    if watch:
        names, number = [*names, watch.name], number + len(watch.resources)
    say(f"deployed {' and '.join(names)}: {number} resources")
    return 0


def make_watch(account: Account, stack: Stack, arguments: argparse.Namespace) -> Stack:
    watch = Stack(f"{stack.name}-watch", REGION, ACCOUNT, watch_parameters(stack, dict(arguments.watch_parameter)))
    Deployment(load_watch_template(arguments.policies), watch, account.client).create()
    return watch


def update(arguments: argparse.Namespace) -> int:
    account, stack = find_account(arguments), Stack.load(arguments.stack)
    code = upload_code(account, arguments.code) if arguments.code else {}
    template = load_template(arguments.policies)
    # As `aws cloudformation deploy`: what stood before, as far as the template still takes it, and what is new.
    standing_and_new = local_parameters(account, template, {**stack.parameters, **code})
    stack.parameters = {**standing_and_new, **dict(arguments.parameter)}
    changed = Deployment(template, stack, account.client).update()
    standing = json.loads(arguments.stack.read_text())
    if standing["watch"] is None:
        watch = make_watch(account, stack, arguments)
        changed += watch.resources
    else:
        watch = Stack.of(standing["watch"])
        watch.parameters = watch_parameters(stack, {**watch.parameters, **dict(arguments.watch_parameter)})
        changed += Deployment(load_watch_template(arguments.policies), watch, account.client).update()
    write_stack(arguments.stack, stack, watch, standing["operator"])
    say(f"stack {stack.name} updated: {', '.join(changed) or 'nothing differs'}")
    return 0


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def parse() -> tuple[Callable[[argparse.Namespace], int], argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    both = argparse.ArgumentParser(add_help=False)
    where = both.add_mutually_exclusive_group(required=True)
    where.add_argument("--run", help="the run's id")
    where.add_argument("--endpoint", help="the URL of a local AWS")
    both.add_argument("--parameter", type=_parameter, action="append", default=[], metavar="NAME=VALUE")
    both.add_argument("--watch-parameter", type=_parameter, action="append", default=[], metavar="NAME=VALUE")
    both.add_argument("--policies", type=Path, help="a directory of other policy files than infra/policies")
    make = commands.add_parser("up", parents=[both], help="make the stack")
    make.add_argument("--template", type=Path, help="another release's rendered template, policies and all")
    zips = ("CREATE.ZIP", "CLEANUP.ZIP", "POSTURE.ZIP")
    make.add_argument("--code", type=Path, nargs=3, required=True, metavar=zips)
    make.add_argument("--stack-name", default="drawbridge")
    make.add_argument("--out", type=Path, required=True, help="the stack file to write")
    change = commands.add_parser("update", parents=[both], help="bring the stack to other policies, code or parameters")
    change.add_argument("--code", type=Path, nargs=3, metavar=zips)
    change.add_argument("--stack", type=Path, required=True, help="the stack file, which is rewritten")
    arguments = parser.parse_args()
    return {"up": up, "update": update}[arguments.command], arguments


def main() -> int:
    command, arguments = parse()
    try:
        return command(arguments)
    except (ClientError, BotoCoreError, render.RenderError) as error:
        raise TestbedError(f"{error}") from error


if __name__ == "__main__":
    main_wrapper("deploy.py", main)

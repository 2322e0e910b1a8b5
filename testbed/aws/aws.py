#!/usr/bin/env python3
"""Brings a local AWS up and down, and looks into it: `aws.py up|down|connect|instances|exec|credentials --run ID`.

`up` ends when the API answers and instances can be started. It needs root, and the virtual environment that has
ministack and moto (DRAWBRIDGE_VENV); every process of it carries the run's mark and lives in the run's namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.aws import certificates, namespaces  # noqa: E402
from testbed.aws.layout import (  # noqa: E402
    ACCOUNT,
    API_URL,
    CONTROL_PORT,
    GUEST_AUTHORITY,
    HERE,
    ISSUERS,
    PRIVATE_PORT,
    REGION,
    REPOSITORY,
    S3_ADDRESS,
    S3_URL,
    Names,
    venv_python,
)
from testbed.aws.machines.machine import init_of  # noqa: E402
from testbed.common import progress, run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.made import Made  # noqa: E402
from testbed.common.process import Daemons, is_alive  # noqa: E402
from testbed.common.run import Run  # noqa: E402
from testbed.common.shell import wait_until  # noqa: E402
from testbed.common.teardown import claim, make_room, take_down  # noqa: E402

PART = "aws"
START_SECONDS = 60


def up(run_id: str) -> None:
    """Boots the local AWS."""
    progress.begin()
    python = venv_python()
    if not Path(python).exists():
        raise TestbedError(f"{python} is missing: set DRAWBRIDGE_VENV to a virtual environment with ministack and moto")
    run = claim(run_id, PART)
    directory = make_room(run, PART)
    names = Names(run.index)
    namespaces.up(names, Made(directory))
    progress.say(f"aws: namespaces and network ({names.host_link})")
    certificates.make(directory, names)
    facts = describe(run, names)
    daemons = Daemons(run.id, PART, directory)
    _start(python, daemons, names, directory, facts)
    _wait(daemons, directory, facts)
    path = run.facts(PART)
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=2))
    progress.say(f"aws: ready at {facts['endpoint']}")


def describe(run: Run, names: Names) -> dict[str, Any]:
    """How the run's AWS is reached: its section of testbed.json."""
    directory = run.part(PART)
    return {
        "endpoint": f"https://{names.services_address}",
        "api_endpoint": API_URL,
        "s3_endpoint": S3_URL,
        # What the endpoints' certificate is signed by: AWS_CA_BUNDLE.
        "ca_bundle": str(directory / certificates.AUTHORITY),
        # S3 without TLS, for those who show that it refuses.
        "plain_endpoint": f"http://{names.services_address}",
        "plain_s3_endpoint": f"http://{S3_ADDRESS}",
        "region": REGION,
        "account": ACCOUNT,
        # Made anew for each run: a key that everyone knows would make every other refusal worthless.
        "root": {
            "access_key_id": f"AKIA{secrets.token_hex(8).upper()}",
            "secret_access_key": secrets.token_urlsafe(30),
        },
        "outside_command": ["ip", "netns", "exec", names.outsider],
        "control": f"http://{names.services_address}:{CONTROL_PORT}",
        "audit_log": str(directory / "audit.jsonl"),
    }


def _start(python: str, daemons: Daemons, names: Names, directory: Path, facts: dict[str, Any]) -> None:
    inside = ["nsenter", f"--net=/run/netns/{names.services}"]
    emulator_directory = directory / "emulator"
    emulator_directory.mkdir()
    common = {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(emulator_directory),
    }
    key = {
        "AWS_ACCESS_KEY_ID": facts["root"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": facts["root"]["secret_access_key"],
        "AWS_DEFAULT_REGION": REGION,
    }
    emulator = {
        **common,
        **key,
        "AUTH": "true",
        "LAMBDA_EXECUTOR": "local",
        "GATEWAY_PORT": str(PRIVATE_PORT),
        "IOT_MTLS_ENABLED": "0",
        "AWS_ENDPOINT_URL": facts["api_endpoint"],
        "AWS_ENDPOINT_URL_S3": facts["s3_endpoint"],
        "AWS_CA_BUNDLE": facts["ca_bundle"],
        "STATE_DIR": str(emulator_directory / "state"),
        "LOG_LEVEL": "INFO",
        "DRAWBRIDGE_AUDIT_LOG": facts["audit_log"],
        "DRAWBRIDGE_ISSUERS": str(directory / ISSUERS),
    }
    consoles = str(directory / "machines")
    module = "testbed.aws"
    daemons.start(
        "backend",
        [python, "-m", f"{module}.backend.launch", names.services_address, consoles],
        inside=inside,
        environment={**common, **key},
    )
    daemons.start(
        "emulator",
        [python, "-m", f"{module}.cloud.launch", names.services_address, names.functions, *certificates.server(directory)],
        inside=inside,
        environment=emulator,
    )
    daemons.start(
        "host",
        [python, "-m", f"{module}.machines.launch", str(names.index), str(directory)],
        inside=inside,
        environment=common,
    )


def _wait(daemons: Daemons, directory: Path, facts: dict[str, Any]) -> None:
    trust = ssl.create_default_context(cafile=facts["ca_bundle"])

    def running() -> None:
        daemons.expect("backend", "emulator", "host")

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{facts['endpoint']}/_ministack/health", timeout=5, context=trust) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until("the AWS API answers", answers, seconds=START_SECONDS, meanwhile=running)
    progress.say("aws: API answers")
    ready = directory / "host-ready"
    wait_until("the instance host is ready", ready.exists, seconds=START_SECONDS, meanwhile=running)


def connect(run: Run, node_pid: int) -> None:
    """Plugs the cluster's node in, and starts the agent that gives its pods credentials."""
    names, daemons = Names(run.index), Daemons(run.id, PART, run.part(PART))
    namespaces.connect(names, node_pid)
    daemons.stop("pod-agent")
    daemons.start(
        "pod-agent",
        [venv_python(), "-m", "testbed.aws.cloud.pod_agent", str(node_pid)],
        inside=["nsenter", f"--net=/run/netns/{names.services}"],
        environment={"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _control(run: Run, path: str) -> Any:
    with urllib.request.urlopen(
        f"http://{Names(run.index).services_address}:{CONTROL_PORT}{path}", timeout=20
    ) as answer:
        return json.loads(answer.read())


def instances(run: Run) -> list[dict[str, Any]]:
    """All instances that EC2 still knows, terminated ones too."""
    shown = ("id", "state", "type", "role", "tags", "nics", "shutdown_behavior")
    return [{key: found[key] for key in shown} for found in _control(run, "/instances")["instances"]]


def enter(run: Run, instance_id: str) -> list[str]:
    """The command that runs what follows as root inside a running instance."""
    try:
        init = init_of(run.part(PART) / "machines", instance_id)
    except OSError as error:
        raise TestbedError(
            f"instance {instance_id} of run {run.id!r} was never booted; `aws.py instances` lists them"
        ) from error
    if not is_alive(init):
        raise TestbedError(f"instance {instance_id} of run {run.id!r} runs no more")
    return ["nsenter", "-t", str(init.pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--"]


def execute(run: Run, instance_id: str, command: list[str]) -> None:
    """Becomes the command inside the instance."""
    argv = [*enter(run, instance_id), *command]
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL_S3": S3_URL,
        "AWS_CA_BUNDLE": GUEST_AUTHORITY,
        "AWS_REGION": REGION,
    }
    os.execvpe(argv[0], argv, environment)


def credentials(run: Run, instance_id: str) -> str:
    """The instance profile's credentials, as the metadata service gives them inside the instance."""
    script = """set -e
base=http://169.254.169.254/latest
token=$(curl -fsS -X PUT "$base/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
get() { curl -fsS -H "X-aws-ec2-metadata-token: $token" "$base/meta-data/iam/security-credentials/$1"; }
get "$(get '')"
"""
    done = subprocess.run([*enter(run, instance_id), "bash", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TestbedError(f"instance {instance_id} gets no credentials: {done.stderr.strip() or 'it has no profile'}")
    return done.stdout


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="aws.py", description="a local AWS with IAM enforced and instances that run")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "connect", "instances", "exec", "credentials"):
        command = commands.add_parser(name)
        command.add_argument("--run", required=True, metavar="ID")
        if name == "connect":
            command.add_argument(
                "--node-pid", type=int, required=True, help="a process in the node's network namespace"
            )
        if name in ("exec", "credentials"):
            command.add_argument("instance")
        if name == "exec":
            command.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    given = parser.parse_args()
    match given.command:
        case "up":
            up(given.run)
        case "down":
            take_down(runs.check_id(given.run), PART, first=["host"], patience=0)
        case "connect":
            connect(runs.load(given.run), given.node_pid)
        case "instances":
            print(json.dumps(instances(runs.load(given.run)), indent=2))
        case "credentials":
            print(credentials(runs.load(given.run), given.instance))
        case "exec":
            execute(runs.load(given.run), given.instance, given.argv[1:] if given.argv[:1] == ["--"] else given.argv)
    return 0


if __name__ == "__main__":
    main_wrapper("aws.py", main)

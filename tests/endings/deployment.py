"""Stacks of their own beside each other in one local AWS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.endings.endings import SESSION_SECONDS, Ending
from tests.sessions.account import REPOSITORY, Account, Failed


def deploy(run: str, code: list[Path], ending: Ending, number: int, directory: Path) -> Account:
    """A stack with short sessions, no grace and a network of its own."""
    cluster = ending.cluster
    file = directory / f"{cluster}.json"
    network = f"10.{100 + number}"
    parameters = {
        "ClusterName": cluster,
        "MaxBoxes": ending.max_boxes,
        "SessionSeconds": SESSION_SECONDS,
        "GraceSeconds": 0,
        # An account has one identity provider an issuer; here the operator has a key.
        "OidcIssuer": "",
        "EksCluster": "",
        "SweepSchedule": "rate(1 minute)",
        "VpcCidr": f"{network}.0.0/16",
        "PublicSubnetCidr": f"{network}.1.0/24",
        "PrivateSubnetCidr": f"{network}.2.0/24",
    }
    program = [sys.executable, "testbed/aws/deploy.py", "up", "--run", run, "--stack-name", cluster, "--out", str(file)]
    program += ["--code", *map(str, code)]
    program += ["--watch-parameter", "SweepPeriodSeconds=60"]
    for name, value in parameters.items():
        program += ["--parameter", f"{name}={value}"]
    done = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"the stack of {cluster} could not be deployed: {done.stderr.strip()}")
    return Account(run, file)

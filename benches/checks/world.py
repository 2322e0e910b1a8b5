"""The checks of the stack, and what came of them."""

from __future__ import annotations

import json
from typing import Any

from benches.transfer.world import NAMESPACE, World

DEFAULTS = ""


def configure(world: World, checks: str) -> None:
    """Sets the checks of every box from now on, as the stack's parameter does: to create, and to posture, which compares."""
    functions = world.client("lambda")
    for output, variable in (("PostureFunctionArn", "DRAWBRIDGE_PARAM_Checks"), ("CreateFunctionArn", "DRAWBRIDGE_CHECKS")):
        name = world.outputs[output]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**variables, variable: checks}})


def records(world: World) -> list[dict[str, Any]]:
    """What the box observed of every artifact in the bucket."""
    s3, bucket, found = world.client("s3"), world.outputs["BackupBucket"], []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for key in (entry["Key"] for entry in page.get("Contents", []) if entry["Key"].endswith("/manifest.json")):
            manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            found += [artifact["observed"] for artifact in manifest["predicate"]["artifacts"]]
    if not found:
        raise SystemExit("there is no manifest to read")
    return found


def failure(world: World, job: str) -> dict[str, Any]:
    found = json.loads(world.kubectl("get", "backupjob", job, "-n", NAMESPACE, "-o", "json"))
    fault: dict[str, Any] = found["status"]["fault"]
    return fault

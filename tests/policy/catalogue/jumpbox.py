"""The box's role, from the box and from elsewhere."""

from __future__ import annotations

from tests.policy.catalogue.requests import abort, delete, dry_run, get, invoke, list_objects, put, upload
from tests.policy.probe import Family, Place

OWN, OTHER = "clusters/{cluster}/probe/", "clusters/another/probe/"
INSIDE = {"where": Place.ENDPOINT}
NO_UPLOAD = {"past_the_door": ("NoSuchUpload",)}


def families() -> list[Family]:
    return [
        Family("box: put")
        .allowed("box", "under its prefix, write-once", put("box", "backup", OWN, **INSIDE), **INSIDE)
        .allowed("box", "the ended marker", put("box", "backup", "clusters/{cluster}/ended/probe", **INSIDE), **INSIDE)
        .denied("box", "under another cluster's prefix", put("box", "backup", OTHER, **INSIDE), **INSIDE)
        .denied("box", "under no prefix", put("box", "backup", "probe", **INSIDE), **INSIDE)
        .denied("box", "without if-none-match", put("box", "backup", OWN, once=False, **INSIDE), **INSIDE)
        .refused(
            "box",
            "over an existing key",
            "PreconditionFailed",
            put("box", "backup", OWN + "existing", fresh=False, **INSIDE),
            **INSIDE,
        )
        .denied("box", "around the endpoint", put("box", "backup", OWN))
        .denied("box", "into the state bucket", put("box", "state", "sessions/probe", **INSIDE), **INSIDE)
        .denied("box", "into the state bucket, ready/", put("box", "state", "ready/probe", **INSIDE), **INSIDE)
        .denied("box", "elsewhere", put("box", "drawbridge-probe-elsewhere", "probe", **INSIDE), **INSIDE)
        .denied("box", "elsewhere, around the endpoint", put("box", "drawbridge-probe-elsewhere", "probe")),
        Family("box: multipart upload")
        .allowed("box", "completed write-once", upload("box", OWN, Place.ENDPOINT, once=True), **INSIDE)
        .denied("box", "completed without if-none-match", upload("box", OWN, Place.ENDPOINT, once=False), **INSIDE)
        .denied("box", "under another cluster's prefix", upload("box", OTHER, Place.ENDPOINT, once=True), **INSIDE)
        .denied("box", "around the endpoint", upload("box", OWN, Place.INTERNET, once=True)),
        Family("box: abort")
        .allowed("box", "under its prefix", abort("box", "backup", OWN + "x", **INSIDE), **INSIDE, **NO_UPLOAD)
        .denied("box", "under another's prefix", abort("box", "backup", OTHER + "x", **INSIDE), **INSIDE)
        .denied("box", "around the endpoint", abort("box", "backup", OWN + "x")),
        Family("box: list")
        .allowed("box", "its prefix", list_objects("box", "backup", OWN, **INSIDE), **INSIDE)
        .denied("box", "another cluster's prefix", list_objects("box", "backup", OTHER, **INSIDE), **INSIDE)
        .denied("box", "the whole bucket", list_objects("box", "backup", "", **INSIDE), **INSIDE)
        .denied("box", "around the endpoint", list_objects("box", "backup", OWN))
        .denied("box", "the state bucket", list_objects("box", "state", "", **INSIDE), **INSIDE),
        Family("box: read and delete")
        .denied("box", "GetObject of a backup", get("box", "backup", OWN + "existing", **INSIDE), **INSIDE)
        .denied("box", "GetObject, around the endpoint", get("box", "backup", OWN + "existing"))
        .allowed("admin", "GetObject of a backup", get("admin", "backup", OWN + "existing"))
        .denied("box", "GetObject of its boot orders", get("box", "state", "boot/probe/orders.json", **INSIDE), **INSIDE)
        .allowed("create", "GetObject of boot orders", get("create", "state", "boot/probe/orders.json"))
        .denied("box", "DeleteObject of a backup", delete("box", "backup", OWN + "gone", **INSIDE), **INSIDE)
        .denied("box", "DeleteObject, around the endpoint", delete("box", "backup", OWN + "gone"))
        .allowed("admin", "DeleteObject elsewhere", delete("admin", "drawbridge-probe-elsewhere", "probe-gone")),
        Family("box: other services")
        .denied("box", "DescribeInstances", dry_run("box", "describe_instances"))
        .allowed("create", "DescribeInstances", dry_run("create", "describe_instances"))
        .denied("box", "Invoke of cleanup", invoke("box", lambda world: world.outputs["CleanupFunctionArn"]))
        .allowed("operator", "Invoke of cleanup", invoke("operator", lambda world: world.outputs["CleanupFunctionArn"])),
    ]

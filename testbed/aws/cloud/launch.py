"""Starts the API emulator: `python -m testbed.aws.cloud.launch SERVICES_ADDRESS FUNCTIONS_NAMESPACE CERTIFICATE KEY`.

It runs inside the services' namespace. The environment says the rest (aws.py): the account owner's key, where functions
find the endpoints, the audit log.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app as ministack
from ministack.core.hypercorn_compat import install as install_reason_phrases

from ..layout import AMI, AMI_PARAMETER, API_ADDRESS, API_PORT, PLAIN_PORT, PRIVATE_PORT, S3_ADDRESS
from . import (
    alarms,
    authorization,
    conditions,
    dns_firewall,
    forwarding,
    functions,
    gateway,
    log_metrics,
    naming,
    pod_identity,
    root_key,
    s3_context,
    s3_gaps,
    trail,
    web_identity,
)


def seed_parameters() -> None:
    """The public parameter by which a template finds the machine image; nobody may put one under /aws/."""
    ssm = ministack._get_module("ssm")
    reserved = ssm._reserved_name_error
    ssm._reserved_name_error = lambda name: None
    try:
        status, _, body = ssm._put_parameter({"Name": AMI_PARAMETER, "Type": "String", "Value": AMI})
    finally:
        ssm._reserved_name_error = reserved
    if status != 200:
        raise SystemExit(f"cannot seed {AMI_PARAMETER}: {json.loads(body)}")


async def main() -> None:
    services_address, functions_namespace, certificate, key = sys.argv[1:5]
    topics = (root_key, naming, conditions, s3_context, authorization, forwarding, dns_firewall, s3_gaps, web_identity)
    for topic in (*topics, log_metrics, alarms, trail):
        topic.install()
    functions.install(functions_namespace)
    install_reason_phrases()
    seed_parameters()
    pod_identity.seed()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    config = Config()
    config.bind = [f"{a}:{API_PORT}" for a in (services_address, API_ADDRESS, S3_ADDRESS)]
    config.insecure_bind = [f"127.0.0.1:{PRIVATE_PORT}", f"{services_address}:{PLAIN_PORT}", f"{S3_ADDRESS}:{PLAIN_PORT}"]
    config.certfile, config.keyfile = certificate, key
    # As S3. Over HTTP/2 every frame would cross interpreted code.
    config.alpn_protocols = ["http/1.1"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    config.h11_max_incomplete_size = 1 << 20
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(gateway.application, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main())

"""Starts the EC2 back end: `python -m testbed.aws.backend.launch CONTROL_ADDRESS CONSOLES`, inside the services' namespace.

moto listens on loopback only, since it checks nobody's rights; the control API listens on the host's link besides.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from ..layout import BACKEND_PORT, CONTROL_PORT, HERE

# moto reads these when it is imported: our one image instead of 1,300 old ones, and refusals of unknown images and types.
os.environ["MOTO_AMIS_PATH"] = str(HERE / "data" / "images.json")
os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"

from moto.core.responses import ActionResult  # noqa: E402
from moto.core.types import Base64EncodedString  # noqa: E402
from moto.core.utils import utcnow  # noqa: E402
from moto.ec2.responses import general  # noqa: E402
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from . import addresses, control, filters, interfaces, launches, lifecycle  # noqa: E402

CONSOLE_LIMIT = 64 * 1024


def install_console(consoles: Path) -> None:
    """GetConsoleOutput gives what the machine wrote; the instance host keeps it in a file an instance."""

    def get_console_output(response: Any) -> Any:
        instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
        path = consoles / instance.id / "console.log"
        text = path.read_bytes()[-CONSOLE_LIMIT:].decode(errors="replace") if path.exists() else ""
        output = Base64EncodedString.from_raw_string(text)
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    for holder in vars(general).values():
        if isinstance(holder, type) and "get_console_output" in vars(holder):
            holder.get_console_output = get_console_output


class _Quiet(MotoRequestHandler):
    """No access log: the emulator's audit log has every call, with who made it."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: Any) -> None:
        pass


def main() -> None:
    control_address, consoles = sys.argv[1], Path(sys.argv[2])
    for topic in (addresses, lifecycle, interfaces, launches, filters):
        topic.install()
    install_console(consoles)
    os.environ["MOTO_PORT"] = str(BACKEND_PORT)
    moto = DomainDispatcherApplication(create_backend_app)
    for address in ("127.0.0.1", control_address):
        server = make_server(address, CONTROL_PORT, control.application, threaded=True, request_handler=_Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    make_server("127.0.0.1", BACKEND_PORT, moto, threaded=True, request_handler=_Quiet).serve_forever()


if __name__ == "__main__":
    main()

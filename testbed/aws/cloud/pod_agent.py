"""The EKS Pod Identity agent of a node: `python -m testbed.aws.cloud.pod_agent NODE_PID`, in the services' namespace.

It listens at 169.254.170.23 inside the node, where pods reach it, and takes the token that comes in the header
`Authorization` to the emulator; what that answers it hands to the pod, as the real agent does.
"""

from __future__ import annotations

import ctypes
import http.client
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
from typing import Any

from ..layout import POD_AGENT_ADDRESS, PRIVATE_PORT

PATH = "/v1/credentials"
CLONE_NEWNET = 0x40000000
STATUS = {"AccessDeniedException": 403, "ResourceNotFoundException": 404}


def ask(token: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", PRIVATE_PORT, timeout=20)
    try:
        connection.request("POST", "/_testbed/pod-identity", body=json.dumps({"token": token}))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802, the name is the base class's
        token = self.headers.get("Authorization", "")
        if self.path != PATH:
            return self._answer(404, {"message": "not found"})
        if not token:
            return self._answer(400, {"message": "Service account token cannot be empty"})
        found = ask(token)
        self._answer(STATUS.get(found["refused"], 400) if "refused" in found else 200, found)

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Agent(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__((POD_AGENT_ADDRESS, 80), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def listen(node_pid: int) -> socket.socket:
    """A listening socket in the node's network: a thread's namespace is its own, and ends with it."""
    made: list[socket.socket | BaseException] = []

    def inside() -> None:
        try:
            library = ctypes.CDLL("libc.so.6", use_errno=True)
            with open(f"/proc/{node_pid}/ns/net") as handle:
                if library.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"entering the node's network: {os.strerror(ctypes.get_errno())}")
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((POD_AGENT_ADDRESS, 80))
            listening.listen(64)
            made.append(listening)
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


if __name__ == "__main__":
    Agent(listen(int(sys.argv[1]))).serve_forever()

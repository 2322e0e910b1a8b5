"""A small client of the API server, as the administrator, on the standard library alone.

It polls and applies in a few milliseconds, where each call of kubectl costs 50 to 100.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from testbed.common.errors import TestbedError

from .layout import API_PORT, Layout


class Api:
    """Requests with the administrator's certificate, each on a connection of its own."""

    def __init__(self, layout: Layout) -> None:
        self._address = layout.node_address
        self._tls = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
        self._tls.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of an answer; raises OSError when there is none."""
        connection = http.client.HTTPSConnection(self._address, API_PORT, timeout=20, context=self._tls)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> Any | None:
        """An object or list; None when it does not exist."""
        status, content = self.request("GET", path)
        if status == 404:
            return None
        return self._checked("GET", path, status, content)

    def post(self, path: str, body: Any) -> Any:
        """Creates an object, or calls a subresource."""
        status, content = self.request("POST", path, body)
        return self._checked("POST", path, status, content)

    def apply(self, path: str, body: Any) -> Any:
        """Server-side apply: makes the object or changes it to this."""
        where = f"{path}?fieldManager=testbed&force=true"
        status, content = self.request("PATCH", where, body, "application/apply-patch+yaml")
        return self._checked("apply", path, status, content)

    @staticmethod
    def _checked(method: str, path: str, status: int, content: bytes) -> Any:
        if not 200 <= status < 300:
            raise TestbedError(f"{method} {path}: the API server answers {status}: {content.decode(errors='replace')}")
        return json.loads(content)

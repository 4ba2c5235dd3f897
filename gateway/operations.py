"""The second listener, for operators: health, readiness, metrics and the live state of the deployments.

It shares nothing with the data plane but the process: no virtual key opens it, and the admin token opens nothing else.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING

import msgspec

from adapters.openai_errors import WireError, error_body
from gateway.errors import GatewayError, RequestError
from gateway.scrubbing import printable
from gateway.server import Outbound, render_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.secret import Secret
    from gateway.server import Inbound

Answer = tuple[int, str, bytes]


class Operations:
    """Answers GET on the paths of `open_paths` (no token asked, nothing told) and of `guarded_paths`."""

    def __init__(
        self,
        open_paths: Mapping[str, Callable[[Inbound], Awaitable[Answer]]],
        guarded_paths: Mapping[str, Callable[[Inbound], Awaitable[Answer]]],
        token: Secret | None,
    ) -> None:
        self._open = open_paths
        self._guarded = guarded_paths
        self._token = token

    async def __call__(self, inbound: Inbound) -> Outbound:
        try:
            status, content_type, body = await self._respond(inbound)
        except GatewayError as error:
            status, content_type = error.status, "application/json"
            body = error_body(WireError(error.message, error.type, error.code))
        headers = [("content-type", content_type), ("content-length", str(len(body))), ("cache-control", "no-store")]
        return Outbound(inbound, render_head(status, headers, close=not inbound.keep_alive) + body)

    async def _respond(self, inbound: Inbound) -> Answer:
        path = inbound.target.partition("?")[0]
        respond = self._open.get(path)
        if respond is None:
            self._check_token(inbound)
            respond = self._guarded.get(path)
        if respond is None:
            raise RequestError(f"Unknown path {printable(path, 200)}.", status=404, code="unknown_url")
        if inbound.method != "GET":
            raise RequestError("Use GET for this path.", status=405, code="method_not_allowed")
        return await respond(inbound)

    def _check_token(self, inbound: Inbound) -> None:
        if self._token is None:
            self._check_host(inbound)
            return
        scheme, _, presented = inbound.headers.get("Authorization", "").partition(" ")
        expected = self._token.reveal().encode()
        # What was no UTF-8 on the wire came in as lone surrogates.
        given = presented.strip().encode(errors="surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected):
            raise RequestError("The admin token is missing or wrong.", status=401, code="invalid_admin_token")

    def _check_host(self, inbound: Inbound) -> None:
        """Without a token only loopback is listened on; a web page must not get in by rebinding its name to it."""
        host = inbound.headers.get("Host", "")
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if host == "localhost":
            return
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise RequestError(
                "Ask by IP address or localhost, or set an admin token.", status=403, code="host_not_allowed"
            ) from None


def as_json(value: object, status: int = 200) -> Answer:
    return status, "application/json", msgspec.json.encode(value)

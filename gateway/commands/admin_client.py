"""The command line's side of the admin API: one request at a time over HTTP, HTTPS or a Unix socket."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.scrubbing import printable

TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 << 20
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")


class CommandError(Exception):
    """Why a command was not done, in a sentence. The exit code is 2 where the command itself is wrong."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotFoundError(CommandError):
    """The API knows no such thing."""


class SilentError(CommandError):
    """Somebody takes the connection, or the packets go nowhere, and no answer comes."""


class Reply(NamedTuple):
    """What the API answered. `etag` says which state of a record it is."""

    body: Any
    etag: str | None


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """`url` is http://, https:// (the certificate is verified) or unix:///PATH. Raises `CommandError` for another."""

    def __init__(self, url: str, token: str | None, timeout_s: float = TIMEOUT_S) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise CommandError("the admin token has a space, a line break or another character that none has", 2)
        self._url = url
        self._token = token
        self._timeout_s = timeout_s
        self._prefix = ""
        self._connection = self._connect()

    @property
    def url(self) -> str:
        return self._url

    def ask(self, method: str, path: str, body: object = None, etag: str | None = None) -> Reply:
        """The answer to one request. Raises `CommandError` with the API's own message where it refuses."""
        headers = {"Accept": "application/json"}
        if etag is not None:
            headers["If-Match"] = etag
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self._read(*self._exchange(method, path, data, headers))

    def text(self, path: str) -> str:
        """What a path that answers in plain text says. Raises `CommandError`."""
        status, content, etag = self._exchange("GET", path, None, {"Accept": "text/plain"})
        if status != 200:
            self._read(status, content, etag)
        return content.decode(errors="replace")

    def _exchange(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, str | None]:
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            self._connection.request(method, f"{self._prefix}{path}", data, headers)
            answer = self._connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX)
        except TimeoutError as error:
            raise SilentError(f"{printable(self._url)} does not answer: nothing for {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise CommandError(f"{printable(self._url)} cannot be asked: {printable(said)}") from error
        finally:
            self._connection.close()
        return answer.status, content, answer.getheader("ETag")

    def _connect(self) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(self._url)
            port = parts.port
        except ValueError:
            raise CommandError("--url must look like http://127.0.0.1:8081", 2) from None
        self._prefix = parts.path.rstrip("/") if parts.scheme != "unix" else ""
        if parts.scheme == "unix" and parts.path:
            return UnixConnection(unquote(parts.path), self._timeout_s)
        if parts.username is not None or parts.query or parts.fragment or not parts.hostname:
            raise CommandError("--url must look like http://127.0.0.1:8081, without a user, ? or #", 2)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(parts.hostname, port, timeout=self._timeout_s, context=context)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, port, timeout=self._timeout_s)
        raise CommandError("--url must begin with http://, https:// or unix:///", 2)

    def _read(self, status: int, content: bytes, etag: str | None) -> Reply:
        try:
            body = msgspec.json.decode(content) if content else None
        except msgspec.DecodeError:
            raise CommandError(
                f"{printable(self._url)} answered {status}, and no JSON: is this the admin listener?"
            ) from None
        if 200 <= status < 300:
            return Reply(body, etag)
        error = body.get("error") if isinstance(body, dict) else None
        said = error.get("message") if isinstance(error, dict) else None
        message = printable(str(said), 1_000) if said else f"{printable(self._url)} answered {status}"
        raise (NotFoundError if status == 404 else CommandError)(message)

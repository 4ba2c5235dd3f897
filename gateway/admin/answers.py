"""What the operators' listener answers: JSON, an ETag where a record has a revision, errors in its form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from adapters.openai_errors import WireError, error_body
from gateway.errors import GatewayError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON: Final = "application/json"
HeaderLines = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes
    headers: HeaderLines = ()

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)


NOTHING: Final = Answer(204, JSON, b"")


class Refused(RequestError):  # noqa: N818 - it says what is wrong
    """A refusal that has headers of its own."""

    def __init__(self, message: str, *, status: int, code: str, headers: HeaderLines) -> None:
        super().__init__(message, status=status, code=code)
        self.headers = headers


class Unavailable(GatewayError):  # noqa: N818 - it says what is wrong
    """Something behind this listener cannot be asked now."""

    status = 503

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, JSON, msgspec.json.encode(value))


def as_record(value: object, revision: int, status: int = 200, headers: HeaderLines = ()) -> Answer:
    """One record as of a revision, which its ETag tells."""
    return Answer(status, JSON, msgspec.json.encode(value), (("etag", f'"{revision}"'), *headers))


def refused(error: GatewayError) -> Answer:
    """An error as an answer."""
    headers: Sequence[tuple[str, str]] = error.headers if isinstance(error, Refused) else ()
    if error.status == 401:  # RFC 9110 asks for it
        headers = [*headers, ("www-authenticate", "Bearer")]
    body = error_body(WireError(error.message, error.type, error.code, error.param))
    return Answer(error.status, JSON, body, tuple(headers))

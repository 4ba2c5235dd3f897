"""Turns what litellm raises into a `Failure`.

litellm's own exception class says little (a refused connection is its `InternalServerError`), so the chain of causes
decides: the HTTP answer or the socket error at its bottom. Classes are told by name, as they come from packages that
may be absent.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.scrubbing import scrub
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_MESSAGE: Final = 2048
_CHAIN: Final = 12
_ADDRESS: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b", re.IGNORECASE
)
_PREFIX: Final = re.compile(r"^(?:litellm\.)?\w+(?:Error|Exception)(?: - |: )")

_CONNECT: Final = frozenset({"ClientConnectorError", "ConnectionRefusedError", "gaierror", "ConnectTimeout"})
_BROKEN: Final = frozenset({
    "ConnectionResetError", "BrokenPipeError", "ReadError", "WriteError", "CloseError", "RemoteProtocolError",
    "ClientPayloadError", "ServerDisconnectedError", "ClientOSError",
})  # fmt: skip
_UNREADABLE: Final = frozenset({
    "JSONDecodeError", "DecodingError", "UnicodeDecodeError", "APIResponseValidationError", "ChecksumMismatch",
    "ParserError",
})  # fmt: skip
_OWN_WORD_FOR_UNREADABLE: Final = 502
_BY_NAME: Final = (
    (frozenset({"PoolTimeout"}), FailureKind.POOL),
    (_CONNECT, FailureKind.CONNECT),
    (frozenset({"WriteTimeout"}), FailureKind.WRITE),
    (frozenset({"TimeoutException", "APITimeoutError", "TimeoutError"}), FailureKind.IDLE),
    (_BROKEN, FailureKind.RESET),
    (frozenset({"ConnectError"}), FailureKind.CONNECT),
    (_UNREADABLE, FailureKind.BAD_RESPONSE),
)
_CODES: Final = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_policy_violation",
    "UnsupportedParamsError": "unsupported_parameter",
}
_SENTENCES: Final = {
    FailureKind.POOL: "No connection to the provider came free in time.",
    FailureKind.CONNECT: "The provider could not be reached.",
    FailureKind.WRITE: "The provider did not take the request in time.",
    FailureKind.IDLE: "The provider stopped answering.",
    FailureKind.RESET: "The connection to the provider broke.",
    FailureKind.TRUNCATED: "The provider's stream ended before it was complete.",
    FailureKind.BAD_RESPONSE: "The provider's answer could not be read.",
    FailureKind.FIRST_TOKEN: "The provider sent no content in time.",
    FailureKind.TOTAL: "The request took longer than its time limit.",
}
_UNBILLED: Final = frozenset({FailureKind.POOL, FailureKind.CONNECT, FailureKind.STATUS})


def failure_of(kind: FailureKind) -> Failure:
    """A failure that we saw ourselves, in a fixed sentence."""
    return Failure(kind, _SENTENCES[kind], maybe_billed=kind not in _UNBILLED)


def classify(error: BaseException, seen_status: int | None, hidden: tuple[str, ...]) -> Failure:
    """What `error` means. `seen_status` is the HTTP status our own client saw; `hidden` are texts that must not
    show.
    """
    chain = list(_causes(error))
    names = {base.__name__ for cause in chain for base in type(cause).__mro__}
    code = next((code for name, code in _CODES.items() if name in names), None)
    if (response := _error_response(chain)) is not None:
        return _answered(response, code, hidden)
    for known, kind in _BY_NAME:
        if names & known:
            return failure_of(kind)
    status = next((status for cause in reversed(chain) if (status := _status(cause)) and status >= 400), None)
    if status is None:
        return failure_of(FailureKind.BAD_RESPONSE)
    in_band = seen_status is not None and seen_status < 400
    if in_band and status == _OWN_WORD_FOR_UNREADABLE:
        return failure_of(FailureKind.BAD_RESPONSE)
    kind = FailureKind.IN_BAND if in_band else FailureKind.STATUS
    message = _safe(_first_sentence(str(chain[0])), hidden)
    return Failure(kind, message, status=status, code=code, maybe_billed=in_band)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it came from, outermost first."""
    current: BaseException | None = error
    for _ in range(_CHAIN):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _error_response(chain: list[BaseException]) -> object | None:
    """The provider's HTTP answer, where an error status is at the bottom of it all."""
    for cause in reversed(chain):
        names = {base.__name__ for base in type(cause).__mro__}
        response = getattr(cause, "response", None)
        if names & {"HTTPStatusError", "APIStatusError"} and _status(response) and hasattr(response, "headers"):
            is_litellm_made = type(cause).__module__.startswith("litellm.exceptions")
            if not is_litellm_made:
                return response
    return None


def _status(thing: object) -> int | None:
    try:
        return int(getattr(thing, "status_code", None) or 0) or None
    except (TypeError, ValueError):
        return None


def _answered(response: object, code: str | None, hidden: tuple[str, ...]) -> Failure:
    status = _status(response)
    said, own_code = _error_in(_body(response))
    return Failure(
        FailureKind.STATUS,
        _safe(said or f"The provider answered with status {status}.", hidden),
        status=status,
        code=code or own_code,
        retry_after_s=_retry_after_s(getattr(response, "headers", {})),
    )


def _body(response: object) -> bytes:
    try:
        return bytes(response.content)[: 64 * 1024]  # type: ignore[attr-defined]  # httpx, unimported
    except Exception:  # noqa: BLE001 - httpx refuses with several classes when a stream was not read or is gone
        return b""


class _ErrorObject(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    status: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject | str | None = None
    message: str | None = None


_DECODE: Final = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])


def _error_in(body: bytes) -> tuple[str | None, str | None]:
    """The message and the code in an error body of any of the usual shapes; HTML and the like give neither."""
    try:
        found = _DECODE.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None, None
    if isinstance(found, list):
        if not found:
            return None, None
        found = found[0]
    error = found.error
    if not isinstance(error, _ErrorObject):
        return error or found.message, None
    code = next((str(name) for name in (error.code, error.type, error.status) if isinstance(name, str)), None)
    return error.message or found.message, code and scrub(code, 64)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the provider said: in milliseconds, in seconds or as a date. None where it said nothing
    usable.
    """
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = str(headers.get(name) or "").strip()
        if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", value):
            return float(value) / per_second
    try:
        moment = parsedate_to_datetime(str(headers.get("retry-after") or ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _first_sentence(text: str) -> str:
    """litellm's message without its class names, its advice and its tracebacks."""
    line = text[:LONGEST_MESSAGE].strip().split("\n", 1)[0]
    for _ in range(3):
        line = _PREFIX.sub("", line, count=1)
    return line.split(" To drop these", 1)[0].split(" Handle with `litellm", 1)[0].strip()


def _safe(text: str, hidden: tuple[str, ...]) -> str:
    """`text` without addresses, keys and control characters, at most 2 KiB."""
    for word in hidden:
        text = text.replace(word, "[redacted]")
    text = scrub(_ADDRESS.sub("[address]", text[: 2 * LONGEST_MESSAGE]), LONGEST_MESSAGE)
    return text.encode("utf-8", "replace")[:LONGEST_MESSAGE].decode("utf-8", "ignore")

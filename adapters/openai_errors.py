"""Errors in OpenAI's form, both ways: what an upstream's error means, and how ours is written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from adapters.scrub import scrub
from policies.redaction import redact
from policies.vocabulary import Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_BYTES: Final = 64 * 1024
RETRY_AFTER_KEPT_S: Final = 86_400.0
_HTML = re.compile(rb"\s*+<(?:!doctype|html|head|body|\?xml|center|h1)", re.IGNORECASE)
_CODE = re.compile(r"[\w.:-]{1,64}")
_PARAM = re.compile(r"[\w.\[\]-]{1,128}")


@dataclass(frozen=True, slots=True)
class WireError:
    """One of our own errors on its way to a caller."""

    message: str
    type: str
    code: str
    param: str | None = None
    request_id: str | None = None


def error_body(error: WireError) -> bytes:
    """The body of an error answer, as every endpoint of OpenAI's sends it."""
    return msgspec.json.encode({"error": _fields(error)})


def error_event(endpoint: Endpoint, error: WireError) -> bytes:
    """The last event of a stream that failed: no end marker follows, so no client takes it for a success.

    Responses' own error event keeps its fields at the top; SDKs raise from `error`, so that has them as well.
    """
    if endpoint is not Endpoint.RESPONSES:
        return b"data: %b\n\n" % error_body(error)
    fields = _fields(error)
    event = {"type": "error", "sequence_number": 0} | {name: fields[name] for name in ("code", "message", "param")}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event | {"error": fields})


def _fields(error: WireError) -> dict[str, str | None]:
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return fields | ({"request_id": error.request_id} if error.request_id else {})


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """An answer with an error status as a `Failure`: OpenAI's form, FastAPI's `detail`, plain text, HTML, nothing."""
    said = _read(body[:READ_BYTES])
    shown = scrub(said.message) or f"The upstream answered with status {status}."
    return Failure(FailureKind.STATUS, shown, status, said.code, retry_after_s(headers), param=said.param)


def in_band(value: object, *, maybe_billed: bool) -> Failure:
    """An error object that came under status 200, alone or as an event of a stream."""
    said = _read_value(value)
    shown = scrub(said.message) or "The upstream reported an error."
    return Failure(FailureKind.IN_BAND, shown, said.status, said.code, maybe_billed=maybe_billed, param=said.param)


def not_an_answer(body: bytes) -> Failure:
    """Anything under status 200 that is not what was asked for."""
    what = "an HTML page" if _HTML.match(body) else "nothing" if not body.strip() else "something else"
    message = f"The upstream sent {what} instead of an answer."
    return Failure(FailureKind.BAD_RESPONSE, message, code="upstream_bad_response", maybe_billed=True)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait that an upstream asks for, from `retry-after-ms` or `Retry-After` (seconds or a date); at most a day."""
    wait_s = _number(headers.get("retry-after-ms"))
    if wait_s is not None:
        return _clamped(wait_s / 1000)
    value = headers.get("retry-after")
    wait_s = _number(value)
    if wait_s is None and value:
        wait_s = _until(value, headers.get("date"))
    return None if wait_s is None else _clamped(wait_s)


def _clamped(wait_s: float) -> float:
    return min(max(wait_s, 0.0), RETRY_AFTER_KEPT_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(value: str, date: str | None) -> float | None:
    """Seconds from the upstream's own `Date`, else from our clock, to an HTTP date."""
    try:
        then = parsedate_to_datetime(value)
        start = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return (then.replace(tzinfo=then.tzinfo or UTC) - start.replace(tzinfo=start.tzinfo or UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


class _Said(NamedTuple):
    """What an upstream's error object told."""

    message: str
    code: str | None = None
    status: int | None = None
    param: str | None = None


def _read(body: bytes) -> _Said:
    """What an error body tells, whatever it is."""
    try:
        return _read_value(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = "" if _HTML.match(body) else body.decode("utf-8", "replace")
        return _Said(text)


def _read_value(value: object) -> _Said:
    for _ in range(4):  # [{"error": {...}}], {"error": {"error": ...}}: at most so many wrappings
        if isinstance(value, list) and value and not _is_details(value):
            value = value[0]
        elif isinstance(value, dict) and value.get("error") and isinstance(value["error"], dict | list):
            value = value["error"]
        else:
            break
    if not isinstance(value, dict):
        return _Said(_worded(value))
    message = next((value[key] for key in ("message", "error", "detail", "msg", "errors") if value.get(key)), "")
    return _Said(_worded(message), _code(value), _status(value), _param(value))


def _is_details(value: list[object]) -> bool:
    return isinstance(value[0], dict) and "msg" in value[0]


def _worded(message: object) -> str:
    """A message as text; FastAPI's list of details as `body.messages: field required; ...`."""
    if isinstance(message, str):
        return message
    if isinstance(message, list) and message and _is_details(message):
        details = [detail for detail in message[:8] if isinstance(detail, dict)]
        return "; ".join(f"{_place(detail.get('loc'))}{detail.get('msg')}" for detail in details)
    try:
        return msgspec.json.encode(message).decode() if message else ""
    except (OverflowError, RecursionError):
        return ""


def _place(loc: object) -> str:
    return ".".join(str(step) for step in loc[:8]) + ": " if isinstance(loc, list) and loc else ""


def _code(value: dict[str, object]) -> str | None:
    """A word if there is one (`type` beside a numeric `code`), else a number. A secret is no word."""
    found = [value.get(key) for key in ("code", "type", "error_type", "status")]
    named = [code for code in found if isinstance(code, str) and _CODE.fullmatch(code) and redact(code) == code]
    numbered = [str(code) for code in found if type(code) is int and 0 <= code < 1_000_000]
    return next(iter(named + numbered), None)


def _param(value: dict[str, object]) -> str | None:
    param = value.get("param")
    return param if isinstance(param, str) and _PARAM.fullmatch(param) and redact(param) == param else None


def _status(value: dict[str, object]) -> int | None:
    for key in ("status_code", "status", "http_status", "code"):
        status = value.get(key)
        if isinstance(status, int | str) and re.fullmatch(r"[45]\d\d", str(status)):
            return int(status)
    return None

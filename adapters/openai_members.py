"""A body's top-level members, read strictly: whatever two JSON parsers might read differently is refused here.

Values stay raw. What is deep inside one is only skipped over: structure, escapes and UTF-8 are checked, not meaning.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

import msgspec

from adapters.schema import InvalidRequest

MEMBERS_KEPT: Final = 1000  # no API has a tenth of it
NUMBERS_CHECKED_BYTES: Final = 64 * 1024

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_SPACE = re.compile(rb"[ \t\r\n]*")
_KEY = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def read_members(body: bytes) -> dict[str, msgspec.Raw]:
    """The members in order. Raises `InvalidRequest` unless the body is one UTF-8 JSON object without repeated keys."""
    if not body.isascii():
        _require_utf8(body)
    try:
        members = _MEMBERS.decode(body)
    except RecursionError:
        raise too_deep(None) from None
    except msgspec.ValidationError:
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        if not body.strip():
            raise InvalidRequest("The request body is empty; a JSON object is expected.", code="invalid_json") from None
        raise InvalidRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None
    if len(members) > MEMBERS_KEPT:
        raise InvalidRequest(f"The request body has more than {MEMBERS_KEPT} members.")
    if not _evidently_unique(body, members):
        _require_unique(body, members)
    return members


def check_numbers(name: str, raw: msgspec.Raw) -> None:
    """Refuse `1e999` and the like inside a member that nobody else reads; a very large one rides along unread."""
    if memoryview(raw).nbytes <= NUMBERS_CHECKED_BYTES:
        read_any(name, raw)


def read_any(name: str, raw: msgspec.Raw) -> Any:  # noqa: ANN401 - any JSON at all
    """A member's value, in Python's terms."""
    try:
        return _ANY.decode(raw)
    except RecursionError:
        raise too_deep(name) from None
    except msgspec.ValidationError:
        raise InvalidRequest(f"'{name}' holds a number that is out of range.", name) from None


def _require_utf8(body: bytes) -> None:
    if body.startswith(_UTF16):
        raise InvalidRequest("The request body must be UTF-8, not UTF-16 or UTF-32.", code="invalid_json")
    if body.startswith(codecs.BOM_UTF8):
        raise InvalidRequest("The request body must not begin with a byte order mark.", code="invalid_json")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The request body is not valid UTF-8 (byte {error.start}).", code="invalid_json"
        ) from None


def _evidently_unique(body: bytes, members: dict[str, msgspec.Raw]) -> bool:
    """Whether the body is what its members add up to, in either of the two spacings that nearly every client writes.

    A compact body with a repeated key would be longer: no key can be written shorter than the encoder writes it.
    """
    if len(msgspec.json.encode(members)) == len(body):
        return True
    spaced = b", ".join([b'"%b": %b' % (key.encode(), raw) for key, raw in members.items()])
    return b"{%b}" % spaced == body


def _require_unique(body: bytes, members: dict[str, msgspec.Raw]) -> None:
    """Walk the body, valid as it is, beside what was decoded: a dict keeps a repeated key once, so the two part."""
    at = _after_space(body, 0) + 1
    for number, (key, raw) in enumerate(members.items()):
        at = _after_space(body, at + (number > 0))
        written = _KEY.match(body, at)
        if written is None or _ANY.decode(written.group()) != key:
            raise _repeated(None)
        at = _after_space(body, _after_space(body, written.end()) + 1)
        if not body.startswith(bytes(raw), at):
            raise _repeated(key)
        at = _after_space(body, at + memoryview(raw).nbytes)
        if body[at] not in b",}":
            raise _repeated(key)
    if members and body[at] != ord("}"):
        raise _repeated(None)


def _after_space(body: bytes, at: int) -> int:
    space = _SPACE.match(body, at)
    return space.end() if space else at


def too_deep(name: str | None) -> InvalidRequest:
    where = f"'{name}'" if name else "The request body"
    return InvalidRequest(f"{where} is nested too deeply.", name)


def _repeated(key: str | None) -> InvalidRequest:
    shown = key[:64] if key else None
    what = f"'{shown}'" if shown else "A member"
    return InvalidRequest(f"{what} appears more than once in the request body.", shown, "duplicate_parameter")

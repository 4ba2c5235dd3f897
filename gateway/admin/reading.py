"""Requests of the admin API, read: query, body and precondition in the shapes of a route, or what is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from gateway.admin.routes import Precondition
from gateway.errors import RequestError
from gateway.scrubbing import printable

if TYPE_CHECKING:
    from gateway.server import Inbound

BODY_BYTES_MAX: Final = 1 << 20
PARAMETERS_MAX: Final = 50
_AT: Final = re.compile(r" - at `(key in )?\$\.?(.*?)`$")
_NO_WORD: Final = "Invalid enum value"
ENTITY_TAG: Final = r'(W/)?"[!#-~]*"'
_ETAG: Final = re.compile(r'"([0-9]{1,18})"')


def read_query(inbound: Inbound, shape: Any) -> Any:  # noqa: ANN401 - whatever shape a route names
    """The query in its shape; parameters that nobody knows are refused. Raises `RequestError` 400."""
    text = inbound.target.partition("?")[2]
    if shape is None:
        return None
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise RequestError("The query cannot be read.", code="invalid_query") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise RequestError("A parameter of the query is given twice.", code="invalid_query")
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as problem:
        raise _invalid(problem, shape) from None


async def read_body(inbound: Inbound, shape: Any) -> Any:  # noqa: ANN401 - as above
    """The body in its shape. Raises `RequestError`: 400 with the field's path, 413, 415."""
    kind = inbound.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            "Send the body as `Content-Type: application/json`.", status=415, code="unsupported_media_type"
        )
    body = await inbound.read(BODY_BYTES_MAX)
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as problem:
        raise _invalid(problem, shape) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestError("The body is not valid JSON.", code="invalid_json") from None


def read_precondition(inbound: Inbound, precondition: Precondition) -> int | None:
    """The revision that `If-Match` names; None for any. Raises `RequestError`: 400, 412 for no ETag of ours, 428."""
    given = inbound.headers.get("If-Match")
    if precondition is Precondition.NONE:
        return None
    if given is None:
        if precondition is Precondition.REQUIRED:
            raise RequestError(
                "Send the ETag of what you have read as `If-Match`, so that no other change is lost.",
                status=428,
                code="precondition_required",
            )
        return None
    if given.strip() == "*":
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None and not re.fullmatch(ENTITY_TAG, given.strip()):
        raise RequestError("If-Match must be one ETag, or *.", param="If-Match")
    if found is None:
        raise RequestError("If-Match names no state of this record.", status=412, code="precondition_failed")
    return int(found[1])


def _invalid(problem: msgspec.ValidationError, shape: Any) -> RequestError:  # noqa: ANN401 - as above
    said = str(problem)
    at = _AT.search(said)
    where = None if at is None else printable(at[2], 128)
    what = printable(_AT.sub("", said), 300)
    if where and said.startswith(_NO_WORD) and (words := _words(shape, where)):
        what += f"; must be one of {', '.join(words)}"
    return RequestError(f"{where}: {what}." if where else f"{what}.", param=where or None)


def _words(shape: Any, name: str) -> list[str]:  # noqa: ANN401 - as above
    """What a member of this shape may be; none where it takes more than a few words."""
    found = inspect.type_info(shape)
    members = found.fields if isinstance(found, inspect.StructType) else ()
    return [word for one in members if one.encode_name == name for word in _literals(one.type)]


def _literals(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.LiteralType():
            return [str(word) for word in kind.values]
        case inspect.Metadata():
            return _literals(kind.type)
        case inspect.UnionType():
            return [word for one in kind.types for word in _literals(one)]
        case _:
            return []

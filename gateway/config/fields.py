"""The kinds of value that the policy file's models are made of. Refusals are plain words and never repeat a value."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

from gateway.config import quantities
from gateway.keys.virtual_keys import FREE_FORM_CHARS_MIN, LENGTH_MAX
from gateway.secret import Secret

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}")
_ORG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/=-]{0,99}")
_PATTERN: Final = re.compile(r"[\x21-\x7e]{1,200}")
_CREDENTIAL: Final = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_DIGITS: Final = re.compile(r"[-+]?[0-9]{1,18}")
NOT_SENDABLE: Final = "has a space, a line break or another character that no credential has"

# Framing and hops are the transport's; these would let a caller or a file speak for it.
_HOP_WORDS: Final = (
    "connection content-length expect host keep-alive proxy-authenticate proxy-authorization proxy-connection "
    "te trailer transfer-encoding upgrade"
)
HOP_HEADERS: Final = frozenset(_HOP_WORDS.split())
TRACE_HEADERS: Final = frozenset(["baggage", "traceparent", "tracestate"])
CALLER_CREDENTIALS: Final = frozenset(["authorization", "api-key", "cookie", "x-api-key"])


class Shape(BaseModel):
    """What every part of the file has in common: frozen, no unknown keys, no value in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 100 letters, digits and . _ : @ / - and begin with a letter or digit")
    return text


def _org(text: str) -> str:
    if not _ORG.fullmatch(text):
        raise ValueError("must be 1 to 100 letters, digits and . _ @ - and begin with a letter or digit")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise ValueError("must be 1 to 100 letters, digits and . _ : @ / = - and begin with a letter or digit")
    return text


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise ValueError("must be 1 to 200 visible ASCII characters")
    return text


def _whole(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or not _DIGITS.fullmatch(str(value)):
        raise ValueError("must be a whole number")
    return int(value)


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a finding
    return value


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - pydantic turns ValueError into a finding
    return value


def _credential(secret: Secret) -> Secret:
    if not _CREDENTIAL.fullmatch(secret.reveal()):
        raise ValueError(NOT_SENDABLE)
    return secret


def _long_enough(secret: Secret) -> Secret:
    if not FREE_FORM_CHARS_MIN <= len(secret.reveal()) <= LENGTH_MAX:
        raise ValueError(
            f"must have {FREE_FORM_CHARS_MIN} to {LENGTH_MAX} characters (`pointsman keys generate` makes one)"
        )
    return secret


def _setting(secret: Secret) -> Secret:
    if not secret.reveal().isprintable():
        raise ValueError("has a line break or another control character")
    return secret


def _header_value(secret: Secret) -> Secret:
    if not _HEADER_VALUE.fullmatch(secret.reveal()):
        raise ValueError("has a line break or another character that no header has")
    return secret


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("is not a header name")
    if name.lower() in HOP_HEADERS:
        raise ValueError("is a header that the gateway sets itself")
    return name.lower()


def _forwardable(name: str) -> str:
    if name in CALLER_CREDENTIALS:
        raise ValueError("is the caller's credential and never goes upstream")
    if name in TRACE_HEADERS:
        raise ValueError("goes upstream by the provider's trace: true, as far as the caller is trusted, or not at all")
    return name


def readable_header(text: str) -> str:
    """A request header's name in lower case, one that holds no credential. Raises `ValueError`."""
    name = _header_name(text)
    if name in CALLER_CREDENTIALS:
        raise ValueError("is the caller's credential, which nothing else reads")
    return name


def _url(text: str) -> str:
    """An http(s) address without a trailing slash, so that paths can follow."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not _PATTERN.fullmatch(text):
        raise ValueError("must be an address such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if parts.query or parts.fragment:
        raise ValueError("must end before any ? or #")
    return text.rstrip("/")


def absolute(value: object, info: ValidationInfo) -> Path:
    """A path in the file; a relative one starts from the policy file's folder."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path")
    base = (info.context or {}).get("base", Path())
    return Path(os.path.abspath(base / value))  # noqa: PTH100 - a link stays a link: Path.resolve would follow it


def _none_is_none(value: object) -> object:
    if value is None:
        raise ValueError("must be a secret such as ${env:NAME}, or the word none")
    return None if value == "none" else value


def one_or_more(value: object) -> object:
    """A single entry may stand without its list."""
    return [value] if isinstance(value, str) else value


def _wrap(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(schema)


def no_entries() -> Mapping[str, Secret]:
    return MappingProxyType({})


Name = Annotated[str, AfterValidator(_name)]
OrgName = Annotated[str, AfterValidator(_org)]  # no colon: tenants of the gateway's own are called with one
Tag = Annotated[str, AfterValidator(_tag)]
ModelPattern = Annotated[str, AfterValidator(_pattern)]
Whole = Annotated[int, BeforeValidator(_whole)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Number = Annotated[float, BeforeValidator(_number)]
Url = Annotated[str, AfterValidator(_url), _wrap({"type": "string", "format": "uri"})]
AbsolutePath = Annotated[Path, BeforeValidator(absolute), _wrap({"type": "string", "minLength": 1})]
Duration = Annotated[
    float,
    BeforeValidator(quantities.duration_s),
    _wrap({"type": "string", "pattern": f"^{quantities.DURATION.pattern}$", "examples": ["250ms", "5s", "2m", "1h"]}),
]
Size = Annotated[
    int,
    BeforeValidator(quantities.size_bytes),
    _wrap({"type": "string", "pattern": f"^{quantities.SIZE.pattern}$", "examples": ["32MiB"]}),
]
Days = Annotated[
    float,
    BeforeValidator(quantities.days_s),
    _wrap({"type": "string", "pattern": "^[0-9]{1,5}d$"}),
]
Listen = Annotated[
    quantities.Address,
    BeforeValidator(quantities.address),
    _wrap({"type": "string", "examples": ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8080"]}),
]
Usd = Annotated[
    int,
    BeforeValidator(quantities.nanousd),
    _wrap({"type": "number", "minimum": 0, "maximum": quantities.PRICE_MAX_USD}),
]
Share = Annotated[
    float,
    BeforeValidator(quantities.share),
    _wrap({"type": "string", "pattern": f"^{quantities.SHARE.pattern}$", "examples": ["5%"]}),
]
Credential = Annotated[Secret, AfterValidator(_credential)]
LongCredential = Annotated[Credential, AfterValidator(_long_enough)]
CredentialOrNone = Annotated[
    Credential | None, BeforeValidator(_none_is_none), _wrap({"type": "string", "examples": ["${env:API_KEY}", "none"]})
]
ReadableHeader = Annotated[str, AfterValidator(readable_header)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
ForwardedHeader = Annotated[HeaderName, AfterValidator(_forwardable)]
Table = Annotated[Mapping[Name, T], AfterValidator(MappingProxyType)]
Headers = Annotated[
    Mapping[HeaderName, Annotated[Secret, AfterValidator(_header_value)]], AfterValidator(MappingProxyType)
]
SettingValue = Annotated[Secret, AfterValidator(_setting)]

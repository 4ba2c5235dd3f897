"""What a caller says of caches: `Cache-Control` as RFC 9111 5.2.1 has it, and tags for what is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from multidict import istr

from gateway.errors import RequestError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

CACHE_CONTROL: Final = istr("Cache-Control")
TAGS: Final = istr("X-Pointsman-Cache-Tags")
TAGS_MAX: Final = 20
_DIRECTIVE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:\"([^\"\\]*)\"|([!#$%&'*+.^_`|~0-9A-Za-z-]+)))?")
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/=-]{0,99}", re.ASCII)


class Directives(NamedTuple):
    """`age_max_s` None: however old. What is not understood is as if it were not there."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    age_max_s: float | None = None


NONE: Final = Directives()


def directives_of(headers: CIMultiDictProxy[str]) -> Directives:
    """The caller's wishes."""
    if CACHE_CONTROL not in headers:
        return NONE
    said: dict[str, str | None] = {}
    for part in ",".join(headers.getall(CACHE_CONTROL)).split(","):
        found = _DIRECTIVE.fullmatch(part.strip(" \t"))
        if found is not None:
            said.setdefault(found[1].lower(), found[3] if found[2] is None else found[2])
    age = said.get("max-age")
    return Directives(
        no_store="no-store" in said,
        no_cache="no-cache" in said,
        only_if_cached="only-if-cached" in said,
        age_max_s=float(age) if age is not None and _SECONDS.fullmatch(age) else None,
    )


def tags_of(headers: CIMultiDictProxy[str]) -> tuple[str, ...]:
    """The caller's tags. Raises `RequestError` for what is no tag: nobody could drop by it later."""
    if TAGS not in headers:
        return ()
    tags = tuple(dict.fromkeys(filter(None, (tag.strip() for tag in ",".join(headers.getall(TAGS)).split(",")))))
    if len(tags) > TAGS_MAX or not all(map(_TAG.fullmatch, tags)):
        raise RequestError(
            f"The header '{TAGS}' is at most {TAGS_MAX} tags of 1 to 100 letters, digits and . _ : @ / = -, "
            "with commas between them.",
            code="invalid_cache_tags",
        )
    return tags

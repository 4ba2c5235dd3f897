"""docs/logs.md says of each field of the log's line what it is, and of no other."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path

import msgspec

from gateway.records.request_event import RequestEvent
from gateway.signals.telemetry import LOG_SCHEMA_VERSION

PAGE = Path(__file__).parent.parent / "docs" / "logs.md"
ROW = re.compile(r"^\| `([\w.\[\]]+)` \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


def fields(shape: type[msgspec.Struct], before: str = "") -> dict[str, bool]:
    """Each field by its path, and whether it may be null in a line."""
    found: dict[str, bool] = {}
    for one in msgspec.structs.fields(shape):
        path, inner = f"{before}{one.encode_name}", [one.type, *typing.get_args(one.type)]
        nested = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
        is_list = typing.get_origin(one.type) is list
        if nested:
            found |= fields(nested[0], f"{path}{'[]' if is_list else ''}.")
        else:
            left_out = shape.__struct_config__.omit_defaults and not one.required
            found[f"{path}[]" if is_list else path] = types.NoneType in inner and not left_out
    return found


def rows() -> dict[str, str]:
    return {path: kind for path, kind, _ in ROW.findall(PAGE.read_text())}


def test_each_field_is_explained_and_nothing_else() -> None:
    assert sorted(rows()) == sorted(fields(RequestEvent))


def test_what_may_be_null_says_so() -> None:
    assert {path for path, kind in rows().items() if kind.endswith("or null")} == {
        path for path, nullable in fields(RequestEvent).items() if nullable
    }


def test_the_page_tells_the_version() -> None:
    assert re.search(rf"^\| `schema_version` \| number \| {LOG_SCHEMA_VERSION} \|$", PAGE.read_text(), re.MULTILINE)

from __future__ import annotations

import msgspec
import pytest

from gateway.admin.cache_shapes import CacheQuery, CacheToDrop


@pytest.mark.parametrize(
    "body",
    [
        {"id": "ce_abc-1"}, {"tag": "faq"}, {"route": "gpt-*"}, {"owner": "team:acme/red"}, {"owner": "all"},
        {"org": "acme"}, {"stored_before_ms": 0}, {"all": True},
    ],
)  # fmt: skip
def test_entries_are_named_by_what_they_are(body: dict[str, object]) -> None:
    made = msgspec.convert(body, CacheToDrop)
    (name,) = body
    assert getattr(made, name) == body[name]


@pytest.mark.parametrize(
    "body",
    [
        {"id": "1"}, {"id": "ce_" + "x" * 65}, {"tag": "a b"}, {"owner": "red"}, {"owner": "team:"}, {"owner": "all:x"},
        {"org": ""}, {"stored_before_ms": -1}, {"all": "yes"}, {"everything": True},
    ],
)  # fmt: skip
def test_what_no_entry_can_be_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, CacheToDrop)


def test_a_query_is_read_from_texts() -> None:
    query = msgspec.convert({"text": "true", "limit": "7"}, CacheQuery, strict=False)
    assert (query.text, query.limit) == (True, 7)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"limit": "1001"}, CacheQuery, strict=False)

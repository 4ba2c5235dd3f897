from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType
from multidict import CIMultiDict

from gateway.admin.reading import read_body, read_precondition, read_query
from gateway.admin.routes import Precondition
from gateway.errors import RequestError

if TYPE_CHECKING:
    from gateway.server import Inbound


class Part(Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1)]


class Thing(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=5)]
    parts: list[Part] = []


class Query(Struct, forbid_unknown_fields=True):
    name: str | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=10)] = 5
    revoked: bool | UnsetType = UNSET


def inbound(target: str = "/x", body: bytes = b"", headers: dict[str, str] | None = None) -> Inbound:
    async def read(_: int) -> bytes:
        return body

    return cast("Inbound", SimpleNamespace(target=target, read=read, headers=CIMultiDict(headers or {})))


JSON = {"Content-Type": "application/json; charset=utf-8"}


async def test_a_body_comes_in_its_shape() -> None:
    assert await read_body(inbound(body=b'{"name":"a","parts":[{"count":2}]}', headers=JSON), Thing) == Thing(
        "a", [Part(2)]
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", None),
        (b"[]", None),
        (b'{"name":1}', "name"),
        (b'{"name":"toolong"}', "name"),
        (b'{"name":"a","parts":[{"count":1},{"count":0}]}', "parts[1].count"),
        (b'{"name":"a","parts":[{}]}', "parts[0]"),
        (b'{"name":"a","surprise":1}', None),
    ],
)
async def test_a_wrong_body_is_told_where(body: bytes, param: str | None) -> None:
    with pytest.raises(RequestError) as refused:
        await read_body(inbound(body=body, headers=JSON), Thing)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert refused.value.message.startswith(f"{param}: " if param else ("Object", "Expected"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"name":"\xff"}',
        b'{"name":"\\ud800"}',
        b'{"name":NaN}',
        b"[" * 100_000,
        b'{"parts":' * 5000,
    ],
)
async def test_what_is_no_json_is_400(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        await read_body(inbound(body=body, headers=JSON), Thing)
    assert refused.value.status == 400


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_what_is_not_said_to_be_json_is_415(kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    with pytest.raises(RequestError) as refused:
        await read_body(inbound(body=b'{"name":"a"}', headers=headers), Thing)
    assert refused.value.status == 415


def test_a_query_comes_in_its_shape() -> None:
    assert read_query(inbound("/x?name=a%2Fb&limit=7&revoked=true"), Query) == Query("a/b", 7, revoked=True)
    assert read_query(inbound("/x"), Query) == Query()
    assert read_query(inbound("/x?whatever"), None) is None


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("limit=0", "limit"),
        ("limit=a", "limit"),
        ("limit=1&limit=2", None),
        ("colour=red", None),
        ("name=%ff", None),
        ("&".join(f"a{number}=1" for number in range(60)), None),
    ],
)
def test_a_wrong_query_is_told_where(text: str, param: str | None) -> None:
    with pytest.raises(RequestError) as refused:
        read_query(inbound(f"/x?{text}"), Query)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("given", "precondition", "expected"),
    [
        (None, Precondition.NONE, None),
        ('"7"', Precondition.NONE, None),
        (None, Precondition.HEEDED, None),
        (None, Precondition.REQUIRED, 428),
        ("*", Precondition.REQUIRED, None),
        ('"7"', Precondition.REQUIRED, (7,)),
        (' "7" ', Precondition.HEEDED, (7,)),
        ('W/"7"', Precondition.HEEDED, 412),
        ('"another"', Precondition.HEEDED, 412),
        ("7", Precondition.HEEDED, 400),
        ('"7", "8"', Precondition.HEEDED, 400),
    ],
)
def test_if_match_names_a_revision(given: str | None, precondition: Precondition, expected: Any) -> None:
    asking = inbound(headers={} if given is None else {"If-Match": given})
    if isinstance(expected, int):
        with pytest.raises(RequestError) as refused:
            read_precondition(asking, precondition)
        assert refused.value.status == expected
    else:
        found = read_precondition(asking, precondition)
        assert found == (expected[0] if expected else None)


class Worded(Struct):
    plain: Literal["a", "b"] = "a"
    described: Annotated[Literal["c", "d"], Meta(description="One of two.")] | UnsetType | None = UNSET


@pytest.mark.parametrize(("name", "words"), [("plain", "a, b"), ("described", "c, d")])
async def test_who_says_another_word_is_told_which_there_are(name: str, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        await read_body(inbound(body=b'{"%b":"x"}' % name.encode(), headers=JSON), Worded)
    assert refused.value.message == f"{name}: Invalid enum value 'x'; must be one of {words}."

"""Two parsers must not read two things: the list of bad bodies, and every spacing of good ones."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_members import MEMBERS_KEPT, check_numbers, read_members
from adapters.schema import InvalidRequest

BAD = {
    "empty": (b"", "empty"),
    "blank": (b" \r\n", "empty"),
    "not JSON": (b"hello", "not valid JSON"),
    "form": (b"model=x&y=1", "not valid JSON"),
    "torn": (b'{"model": "m", "mess', "not valid JSON"),
    "trailing comma": (b'{"a": 1,}', "not valid JSON"),
    "two objects": (b"{}{}", "not valid JSON"),
    "single quotes": (b"{'a': 1}", "not valid JSON"),
    "comment": (b'{"a": 1 /* x */}', "not valid JSON"),
    "array": (b"[]", "must be a JSON object"),
    "string": (b'"a"', "must be a JSON object"),
    "number": (b"1", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "open arrays": (b"[" * 100_000, "must be a JSON object"),
    "open objects": (b'{"a":' * 100_000, "nested too deeply"),
    "nested arrays": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "many members": (b"{%b}" % b",".join(b'"%d":1' % number for number in range(100_000)), "more than 1000"),
    "NaN": (b'{"a": NaN}', "not valid JSON"),
    "Infinity": (b'{"a": -Infinity}', "not valid JSON"),
    "lone surrogate": (b'{"a": "\\ud800 and more text"}', "not valid JSON"),
    "lone low surrogate": (b'{"a": "\\udc00 and more text"}', "not valid JSON"),
    "lone surrogate, nested": (b'{"a": {"b": ["\\ud83d\\u0041 and more"]}}', "not valid JSON"),
    "lone surrogate at the end": (b'{"a": "\\ud800"}', "not valid JSON"),
    "lone surrogate as a key": (b'{"\\ud800 and more text": 1}', "not valid JSON"),
    "raw surrogate": (b'{"a": "\xed\xa0\x80"}', "not valid UTF-8"),
    "invalid UTF-8": (b'{"a": "\xff"}', "not valid UTF-8"),
    "invalid UTF-8, nested": (b'{"a": [{"b": "\xc3("}]}', "not valid UTF-8"),
    "overlong": (b'{"a": "\xc0\xaf"}', "not valid UTF-8"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "not valid UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-16"),
    "UTF-16 without a mark": ('{"a": 1}'.encode("utf-16-le"), "not valid JSON"),
    "UTF-32": ('{"a": 1}'.encode("utf-32"), "not UTF-16"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "raw control character": (b'{"a": "\x00"}', "not valid JSON"),
    "bad escape": (b'{"a": {"b": "\\q"}}', "not valid JSON"),
    "leading zero": (b'{"a": 01}', "not valid JSON"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD)
def test_bad_bodies_are_refused_in_plain_words(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        read_members(body)
    assert refused.value.status == 400
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"a"}',
        b'{"model":"a","model":"b"}',
        b'{"model": "a", "model": "b"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"model":1,"model":12}',
        b'{"model":12,"model":1}',
        b'{ "a" : 1 , "b" : 2 , "a" : 1 }',
        b'{"a":1,"b":2,"a":1}\n',
        b'{"b": [1, 2], "a": {}, "b": [1, 2]}',
        b'{"":1,"":1}',
        b'{"a\\"": 1, "a\\"": 1}',
        b'\n{"a": {"a": 1}, "a": {"a": 1}}',
    ],
)
def test_a_member_given_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="more than once") as refused:
        read_members(body)
    assert refused.value.code == "duplicate_parameter"


KEYS = st.text(max_size=4) | st.sampled_from(["model", 'a"b', "\\", "é", "\x08", "\x1f", "😀"])
VALUES = st.recursive(st.none() | st.integers(-5, 5) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2))
FORMS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\t"), (",\n  ", ":")])


@given(
    pairs=st.lists(st.tuples(KEYS, VALUES), max_size=5),
    form=FORMS,
    escaped=st.booleans(),
    around=st.sampled_from(["", "\n", "  "]),
)
def test_members_come_back_exactly_or_the_body_is_refused(
    pairs: list[tuple[str, object]], form: tuple[str, str], *, escaped: bool, around: str
) -> None:
    between, colon = form
    written = [json.dumps(key, ensure_ascii=escaped) + colon + json.dumps(value) for key, value in pairs]
    body = (around + "{" + between.join(written) + "}" + around).encode()
    if len({key for key, _ in pairs}) < len(pairs):
        with pytest.raises(InvalidRequest, match="more than once"):
            read_members(body)
        return
    members = read_members(body)
    assert [(key, msgspec.json.decode(raw)) for key, raw in members.items()] == pairs


def test_as_many_members_as_any_api_has_are_kept() -> None:
    body = b"{%b}" % b",".join(b'"%d":1' % number for number in range(MEMBERS_KEPT))
    assert len(read_members(body)) == MEMBERS_KEPT


@pytest.mark.parametrize("number", [b"1e999", b"-1e400", b"9" * 5000, b'[{"a": 1e999}]'])
def test_numbers_that_no_parser_can_hold_are_refused(number: bytes) -> None:
    with pytest.raises(InvalidRequest, match="out of range"):
        check_numbers("x", msgspec.Raw(number))

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.openai_request import parse
from gateway.prompts.count_cache import CountKey
from gateway.prompts.parts import PAIR_TOKENS, Part, is_elsewhere, is_plain, more_than_text, parts_of
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

USER = {"role": "user", "content": "Hi"}


def asked(endpoint: Endpoint = Endpoint.CHAT, **members: object) -> InferenceRequest:
    return parse(endpoint, json.dumps({"model": "m", **members}).encode())


@pytest.mark.parametrize(
    ("request_", "texts", "messages", "id_tokens"),
    [
        (asked(messages=[USER, USER], temperature=1, n=2), 2, 2, 0),
        (asked(messages=[USER], tools=[], response_format={"type": "text"}, documents=["a"]), 4, 1, 0),
        (asked(Endpoint.COMPLETIONS, prompt=["a", "b"], suffix="c"), 3, 2, 0),
        (asked(Endpoint.COMPLETIONS, prompt=[1, 2, 3]), 0, 0, 3),
        (asked(Endpoint.EMBEDDINGS, input=[[1, 2], [3]]), 0, 0, 3),
        (asked(Endpoint.EMBEDDINGS, input="a", dimensions=9), 1, 1, 0),
        (asked(Endpoint.RESPONSES, input="a", instructions="b", store=False), 2, 1, 0),
        (asked(Endpoint.RERANK, query="q", documents=["a", {"text": "b"}], top_n=1), 4, 2, 2 * PAIR_TOKENS),
        (asked(Endpoint.RESPONSES, input=[{"role": "user", "content": "a"}]), 1, 1, 0),
    ],
)
def test_pieces(request_: InferenceRequest, texts: int, messages: int, id_tokens: int) -> None:
    parts = parts_of(request_, "p")
    assert (len(parts.parts), parts.messages, parts.id_tokens) == (texts, messages, id_tokens)


def test_equal_pieces_have_equal_keys_and_a_message_is_no_definition() -> None:
    first, second = parts_of(asked(messages=[USER, USER]), "p").parts
    assert first.key == second.key
    assert first.key != parts_of(asked(messages=[USER]), "q").parts[0].key
    tools = parts_of(asked(messages=[USER], documents=USER), "p").parts[1]
    assert tools.raw == first.raw
    assert tools.key != first.key
    assert tools.found().texts == [json.dumps(USER)]
    assert sorted(first.found().texts) == ["Hi", "user"]


def test_what_cannot_be_read_is_text_of_unknown_meaning() -> None:
    odd = parse(Endpoint.CHAT, b'{"model":"m","messages":[{"role":"user","content":"a","x":1e999}]}')
    found = parts_of(odd, "p").parts[0].found()
    assert found.elsewhere
    assert "1e999" in found.texts[0]


def test_only_messages_with_more_than_text_are_looked_into() -> None:
    named, parts = {**USER, "name": "ann"}, {"role": "user", "content": [{"type": "text", "text": "a"}]}
    assert list(more_than_text(asked(messages=[USER, named, USER, parts]))) == [named, parts]
    assert list(more_than_text(asked(Endpoint.EMBEDDINGS, input="a"))) == []
    assert list(more_than_text(asked(Endpoint.RESPONSES, input="a"))) == []


@pytest.mark.parametrize(
    ("member", "expected"), [({}, True), (None, False), ([], False), ("", False), ({"user_location": 1}, True)]
)
def test_members_that_are_empty_fetch_nothing(member: object, expected: bool) -> None:  # noqa: FBT001 - a table's column
    request = asked(messages=[USER], web_search_options=member)
    assert is_elsewhere(request) is expected


@pytest.mark.parametrize(
    ("members", "plain"),
    [
        ({}, True),
        ({"max_tokens": 5, "user": "ada"}, True),
        ({"messages": [{"role": "user", "content": "a"}, {"content": "b", "role": "assistant"}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, False),
        ({"messages": [{"role": "user", "content": "a", "name": "ada"}]}, False),
        ({"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, False),
        ({"tools": []}, False),
        ({"functions": []}, False),
        ({"web_search_options": {}}, False),
    ],
)
def test_a_chat_of_roles_and_texts_is_plain_and_nothing_else(members: dict[str, Any], *, plain: bool) -> None:
    assert is_plain(asked(**({"messages": [USER]} | members))) is plain


def test_other_endpoints_than_chat_are_not_said_to_be_plain() -> None:
    assert not is_plain(asked(Endpoint.RESPONSES, input="hi"))


@pytest.mark.parametrize(
    "arguments",
    [[[]] * 9, [""] * 9, [None, True, 0], {"a": None, "b": ""}, {"image_url": "a long text"}, [{"\n": "\u0001"}]],
)
def test_what_a_template_prints_of_a_call_counts_as_it_is_printed(arguments: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "so"}], "tool_calls": [call]}
    found = Part(CountKey("x", b""), msgspec.json.encode(message), is_message=True).found()
    assert json.dumps([call]) in found.texts
    assert {"assistant", "so"} < set(found.texts)


def test_what_lies_elsewhere_is_found_in_a_call_too() -> None:
    message = {"role": "assistant", "tool_calls": [{"file_id": "x"}, {"image_url": "data:"}]}
    found = Part(CountKey("x", b""), msgspec.json.encode(message), is_message=True).found()
    assert (found.elsewhere, found.images) == (True, 1)

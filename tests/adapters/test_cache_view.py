"""Whatever can change an answer keeps two requests apart; what cannot, does not; and the last question is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import cache_view
from adapters.cache_view import LARGEST_BYTES, NEVER_MATTER, VALUES_MOST, CacheView, view_of
from adapters.openai_request import parse
from policies.vocabulary import Endpoint

NONE: frozenset[str] = frozenset()
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "How do I cancel?"},
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 100,
    "seed": 7,
    "stop": ["a", "b"],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ],
    "response_format": {"type": "json_object"},
    "logit_bias": {"5": 1},
    "user": "ann",
    "x_unknown": {"deep": [1, {"deeper": 2}]},
}
OTHERS: dict[str, list[Any]] = {
    "model": ["n"],
    "messages": [
        CHAT["messages"][1:],
        [CHAT["messages"][1], CHAT["messages"][0], *CHAT["messages"][2:]],
        [{"role": "developer", "content": "be brief"}, *CHAT["messages"][1:]],
        [{"role": "system", "content": "Be brief"}, *CHAT["messages"][1:]],
        [*CHAT["messages"][:2], {"role": "assistant", "content": "hi "}, CHAT["messages"][3]],
        [*CHAT["messages"][:3], {"role": "user", "content": "How do I cancel?", "name": "bob"}],
        [*CHAT["messages"][:3], {"role": "user", "content": "wait"}, CHAT["messages"][3]],
        [*CHAT["messages"], {"role": "assistant", "content": "You"}],
    ],
    "temperature": [0.50001, 0, 1],
    "top_p": [1],
    "max_tokens": [101],
    "seed": [8, -7],
    "stop": [["b", "a"], "a", ["ab"]],
    "tools": [CHAT["tools"][::-1], CHAT["tools"][:1], []],
    "response_format": [{"type": "text"}, {}],
    "logit_bias": [{"5": 2}, {"6": 1}],
    "user": ["bob", ""],
    "x_unknown": [None, {"deep": [1, {"deeper": 3}]}, {"deep": [{"deeper": 2}, 1]}, "x"],
}
CHANGES = [(name, value) for name, values in OTHERS.items() for value in values]
QUESTIONS = st.text(min_size=1, max_size=40)


def body(**changed: Any) -> dict[str, Any]:
    return CHAT | changed


def seen(fields: dict[str, Any], endpoint: Endpoint = Endpoint.CHAT, ignored: frozenset[str] = NONE) -> CacheView:
    view = view_of(parse(endpoint, json.dumps(fields).encode()), ignored)
    assert view is not None
    return view


def asked(question: Any, **changed: Any) -> dict[str, Any]:
    return body(messages=[*CHAT["messages"][:3], {"role": "user", "content": question}], **changed)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_any_change_keeps_requests_apart_on_every_level(name: str, value: Any) -> None:
    one, other = seen(CHAT), seen(body(**{name: value}))

    assert one.exact != other.exact
    assert one.scope != other.scope


@pytest.mark.parametrize("name", [name for name in CHAT if name not in ("messages", "model")])
def test_a_member_that_is_not_there_is_a_change(name: str) -> None:
    fewer = {key: value for key, value in CHAT.items() if key != name}

    assert seen(fewer).scope != seen(CHAT).scope
    assert seen(fewer).exact != seen(CHAT).exact


@given(QUESTIONS, QUESTIONS)
def test_another_question_is_another_request_in_the_same_scope(one: str, other: str) -> None:
    first, second = seen(asked(one)), seen(asked(other))

    assert first.scope == second.scope
    assert (first.exact == second.exact) is (one == other)
    assert first.question == one


@given(st.permutations(list(CHAT)), st.sampled_from([None, 1, 4]), st.booleans())
def test_spacing_order_and_escapes_keep_nothing_apart(order: list[str], indent: int | None, escaped: bool) -> None:  # noqa: FBT001 - drawn
    fields = asked("Grüße, wie kündige ich?")
    written = json.dumps({name: fields[name] for name in order}, indent=indent, ensure_ascii=escaped)

    assert view_of(parse(Endpoint.CHAT, written.encode()), NONE) == seen(fields)


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.50},
        {"frequency_penalty": None},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"metadata": {"trace": "1"}, "store": True, "service_tier": "flex"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"x_unknown": {"deep": [1.0, {"deeper": 2e0}]}},
    ],
)
def test_what_changes_no_answer_keeps_nothing_apart(changed: dict[str, Any]) -> None:
    assert seen(body(**changed)) == seen(CHAT)


def test_a_route_says_what_else_does_not_matter() -> None:
    ignored = frozenset({"user", "x_unknown"})

    assert seen(body(user="bob", x_unknown=1), ignored=ignored) == seen(CHAT, ignored=ignored)
    assert seen(body(user="bob")).exact != seen(CHAT).exact


@pytest.mark.parametrize("name", ["messages", "tools", "model"])
def test_no_route_can_have_ignored_what_is_asked(name: str) -> None:
    ignored = frozenset({name})

    assert seen(body(**{name: OTHERS[name][0]}), ignored=ignored).scope != seen(CHAT, ignored=ignored).scope


def test_texts_move_over_no_border() -> None:
    views = [
        seen(asked([{"type": "text", "text": one}, {"type": "text", "text": other}]))
        for one, other in (("ab", "c"), ("a", "bc"), ("ab\nc", ""), ("", "ab\nc"))
    ]

    assert len({view.exact for view in views}) == 4


def test_a_lone_part_of_text_is_a_string() -> None:
    part = [{"type": "text", "text": "How do I cancel?"}]

    assert seen(asked(part)) == seen(CHAT)
    assert seen(asked([part[0] | {"cache_control": {"type": "ephemeral"}}])).scope != seen(CHAT).scope
    assert seen(asked([*part, *part])).question == "How do I cancel?\nHow do I cancel?"


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": "You"},
        {"role": "tool", "content": "42", "tool_call_id": "c"},
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
    ],
)
def test_there_is_no_question_but_a_users_text(last: dict[str, Any]) -> None:
    view = seen(body(messages=[*CHAT["messages"], last]))

    assert view.question == ""
    assert view.exact != seen(body(messages=[*CHAT["messages"], last | {"name": "x"}])).exact


def test_pictures_are_part_of_the_digest() -> None:
    def shown(data: str) -> CacheView:
        url = {"url": f"data:image/png;base64,{data}"}
        return seen(asked([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": url}]))

    assert shown("AA").exact != shown("AB").exact
    assert shown("AA").has_media
    assert not shown("AA").has_links


@pytest.mark.parametrize("name", ["refusal", "audio", "function_call", "tool_calls"])
def test_nothing_said_in_earlier_messages_is_nothing(name: str) -> None:
    messages = [dict(message) for message in CHAT["messages"]]
    messages[2][name] = None

    assert seen(body(messages=messages)) == seen(CHAT)


def test_what_may_be_read_in_two_ways_is_left_alone() -> None:
    def written(more: bytes) -> CacheView:
        body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"x":%b}' % more
        view = view_of(parse(Endpoint.CHAT, body), NONE)
        assert view is not None
        return view

    twice, other, clear = written(b'{"a":1,"a":2}'), written(b'{"a":2,"a":1}'), written(b'{"a":2}')

    assert (twice.is_elsewhere, other.is_elsewhere, clear.is_elsewhere) == (True, True, False)
    assert len({twice.exact, other.exact, clear.exact}) == 3


def test_a_name_that_is_there_twice_is_only_like_itself() -> None:
    def written(content: str) -> bytes:
        return b'{"model":"m","messages":[{"role":"user",%b}]}' % content.encode()

    twice = '"content":"evil","content":"How?"'
    views = [view_of(parse(Endpoint.CHAT, written(each)), NONE) for each in (twice, '"content":"How?"', twice)]

    assert views[0] is not None
    assert views[0].question == ""
    assert views[0].is_elsewhere
    assert views[0] == views[2] != views[1]


@pytest.mark.parametrize(
    ("fields", "temperature"),
    [
        ({}, 0.5),
        ({"temperature": None}, None),
        ({"temperature": 0}, 0.0),
        ({"temperature": 2e-1}, 0.2),
    ],
)
def test_the_temperature_is_told(fields: dict[str, Any], temperature: float | None) -> None:
    assert seen(body(**fields)).temperature == temperature


@pytest.mark.parametrize(
    "changed",
    [
        {"web_search_options": {"search_context_size": "low"}},
        {"plugins": [{"id": "web"}]},
        {"enable_search": True},
        {"model": "a/b:online"},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": ["function"]}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}]},
        {"chat_template": "x"},
        {"data_sources": [{"type": "azure_search"}]},
    ],
)
def test_what_is_not_all_in_the_request_is_elsewhere(changed: dict[str, Any]) -> None:
    assert seen(body(**changed)).is_elsewhere


def test_what_is_set_to_nothing_is_not_elsewhere() -> None:
    assert not seen(body(web_search_options=None, enable_search=False, plugins=[])).is_elsewhere


RESPONSE: dict[str, Any] = {"model": "m", "input": "How do I cancel?", "store": False}


def responded(**changed: Any) -> CacheView:
    return seen(RESPONSE | changed, Endpoint.RESPONSES)


def test_responses_have_a_question_too() -> None:
    items = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    last = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How?"}]}

    assert responded().question == "How do I cancel?"
    assert responded(input="How?").scope == responded().scope
    assert responded(input=[*items, last]).question == "How?"
    assert responded(input=[*items, last]).scope != responded(input=[items[0], last]).scope
    assert responded(instructions="be brief").scope != responded().scope


@pytest.mark.parametrize(
    "changed",
    [
        {"store": True},
        {"store": None},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
def test_responses_that_are_stored_or_go_on_are_elsewhere(changed: dict[str, Any]) -> None:
    assert responded(**changed).is_elsewhere
    assert not responded().is_elsewhere


@pytest.mark.parametrize(
    ("name", "values"),
    [("metadata", ({"for": "ann"}, {"for": "bob"})), ("user", ("ann", "bob")), ("service_tier", ("flex", "priority"))],
)
def test_what_responses_say_again_is_told_to_nobody_else(name: str, values: tuple[Any, Any]) -> None:
    """Their answers repeat it."""
    ignored = frozenset({"user", "metadata"})
    views = [seen(RESPONSE | {name: value}, Endpoint.RESPONSES, ignored) for value in values]
    assert views[0].exact != views[1].exact
    assert views[0].scope != views[1].scope


def test_responses_without_a_question() -> None:
    no_input = {"model": "m", "store": False, "prompt": {"id": "pmpt_1"}}
    item = {"type": "function_call_output", "call_id": "c", "output": "42", "role": "user", "content": "a"}

    assert seen(no_input, Endpoint.RESPONSES).question == ""
    assert (
        seen(no_input, Endpoint.RESPONSES).exact != seen(no_input | {"prompt": {"id": "p"}}, Endpoint.RESPONSES).exact
    )
    assert responded(input=[item]).question == ""
    assert responded(input=[]).question == ""


def test_a_stream_of_responses_has_a_form_of_its_own() -> None:
    assert responded(stream=True).form != responded().form
    assert responded(stream=True).exact != responded().exact


@pytest.mark.parametrize(
    ("endpoint", "fields", "changed"),
    [
        (Endpoint.COMPLETIONS, {"prompt": "once"}, {"prompt": "twice"}),
        (Endpoint.COMPLETIONS, {"prompt": "once"}, {"suffix": "end"}),
        (Endpoint.EMBEDDINGS, {"input": ["a", "b"]}, {"input": ["b", "a"]}),
        (Endpoint.EMBEDDINGS, {"input": [1, 2]}, {"encoding_format": "base64"}),
        (Endpoint.RERANK, {"query": "q", "documents": ["a"]}, {"documents": ["b"]}),
        (Endpoint.RERANK, {"query": "q", "documents": ["a"]}, {"top_n": 1}),
    ],
)
def test_other_endpoints_have_no_question(endpoint: Endpoint, fields: dict[str, Any], changed: dict[str, Any]) -> None:
    fields = {"model": "m"} | fields
    one, other = seen(fields, endpoint), seen(fields | changed, endpoint)

    assert one.question == ""
    assert one.exact != other.exact
    assert one == seen(fields | {"metadata": {"a": "b"}}, endpoint)


def test_endpoints_do_not_meet() -> None:
    fields = {"model": "m", "input": "a", "store": False}

    assert seen(fields, Endpoint.EMBEDDINGS).exact != seen(fields, Endpoint.RESPONSES).exact


def test_what_would_take_long_to_look_at_is_left_alone() -> None:
    large = body(messages=[{"role": "user", "content": "x" * LARGEST_BYTES}])
    crowded = body(x_unknown=[{"a": 1}] * (VALUES_MOST + 1))

    assert view_of(parse(Endpoint.CHAT, json.dumps(large).encode()), NONE) is None
    assert view_of(parse(Endpoint.CHAT, json.dumps(crowded, separators=(",", ":")).encode()), NONE) is None


def test_names_of_any_length_are_not_remembered() -> None:
    cache_view._scalar.cache_clear()
    views = [seen({"model": "m", "messages": CHAT["messages"], "x" * 100_000: value}) for value in (1, 2)]
    assert views[0].exact != views[1].exact
    assert cache_view._scalar.cache_info().currsize == 1


def test_who_is_asking_always_matters() -> None:
    assert NEVER_MATTER.isdisjoint({"user", "safety_identifier"})

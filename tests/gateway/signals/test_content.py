"""What spans show of what was said: as much as the key's level lets them, cut to its bound, and never half a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Tally
from gateway.keys.peppers import digests_of
from gateway.records.settlement import settle
from gateway.signals.content import CUT, ContentCapture, shown_of
from gateway.signals.conventions import Attr
from gateway.signals.spans import spans_of
from policies.content import ContentRules
from policies.redaction import redact
from policies.route_rules import Content
from policies.usage import Usage
from tests.gateway.calls import PRINCIPAL, attempt, call, errand

if TYPE_CHECKING:
    from policies.vocabulary import Principal

CANARY = "sk-proj-abcdefghijklmnop1234"
SAID = [{"role": "user", "content": f"My key is {CANARY}, mail ada@example.com"}]
NAMES = (Attr.INPUT_MESSAGES, Attr.OUTPUT_MESSAGES, Attr.SYSTEM_INSTRUCTIONS, Attr.TOOL_DEFINITIONS)


def attributes(
    level: Content, said: Any = SAID, principal: Principal | None = PRINCIPAL, **members: Any
) -> dict[str, Any]:
    finished = call(attempt(Usage(3, 4), text=(f"Yes, {CANARY}.",), finish=("stop",)))
    finished.principal = None if principal is None else replace(principal, content=level)
    members = {"messages": said} | members
    finished.request.members |= {name: msgspec.Raw(json.dumps(value).encode()) for name, value in members.items()}
    settled = settle(finished)
    capture = ContentCapture(ContentRules(most=Content.FULL), digests_of("pepper"))
    server, *_, client = capture.added(settled, spans_of(settled))
    assert not {Attr.CONTENT_LEVEL, *NAMES} & server.attributes.keys(), "what was said stands on attempts only"
    return client.attributes


def test_all_of_it_where_all_may_be_seen() -> None:
    told = attributes(Content.FULL, instructions="Be brief.", tools=[{"type": "function", "name": "f"}])
    assert json.loads(told[Attr.INPUT_MESSAGES]) == [
        {"role": "user", "parts": [{"type": "text", "content": SAID[0]["content"]}]}
    ]
    assert json.loads(told[Attr.OUTPUT_MESSAGES]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": f"Yes, {CANARY}."}], "finish_reason": "stop"}
    ]
    assert json.loads(told[Attr.SYSTEM_INSTRUCTIONS]) == [{"type": "text", "content": "Be brief."}]
    assert json.loads(told[Attr.TOOL_DEFINITIONS]) == [{"type": "function", "name": "f"}]


def test_redacted_it_is_without_secrets_and_persons() -> None:
    told = attributes(Content.REDACTED)
    [message] = json.loads(told[Attr.INPUT_MESSAGES])
    assert message["parts"] == [{"type": "text", "content": "My key is [secret], mail [email]"}]
    assert CANARY not in json.dumps(told)
    assert told[Attr.CONTENT_LEVEL] == "redacted"


def test_digests_tell_equal_prompts_and_nothing_else() -> None:
    told = attributes(Content.HASH)
    assert not {*NAMES} & told.keys()
    assert CANARY not in json.dumps(told)
    same = attributes(Content.HASH, [{"content": SAID[0]["content"], "role": "user"}])
    other = attributes(Content.HASH, [{"role": "user", "content": "Hello"}])
    digest = told[Attr.CONTENT_INPUT_HASH]
    assert digest == same[Attr.CONTENT_INPUT_HASH] != other[Attr.CONTENT_INPUT_HASH]
    assert told[Attr.CONTENT_OUTPUT_HASH] == other[Attr.CONTENT_OUTPUT_HASH]
    assert len(digest) == 64


def test_nothing_of_strangers() -> None:
    assert not {Attr.CONTENT_LEVEL, *NAMES} & attributes(Content.FULL, principal=None).keys()


def test_nothing_of_what_the_cache_asks_by_itself() -> None:
    made = errand(attempt(Usage(3, 4), text=("Yes.",), finish=("stop",)))
    made.principal = replace(PRINCIPAL, content=Content.FULL)
    settled = settle(made)
    spans = spans_of(settled)
    capture = ContentCapture(ContentRules(most=Content.FULL), digests_of("pepper"))
    assert capture.added(settled, spans) is spans
    made.made_for = None
    assert capture.added(settled, spans) != spans


def test_nothing_at_all_unless_somebody_asked() -> None:
    assert not {Attr.CONTENT_LEVEL, *NAMES} & attributes(Content.NONE).keys()


def sized(said: Any, bytes_max: int = 256, tally: Tally | None = None) -> dict[str, Any]:
    finished = call()
    finished.request.members["messages"] = msgspec.Raw(json.dumps(said).encode())
    return shown_of(finished.request, tally, redact, bytes_max)._asdict()


def test_the_newest_messages_go_before_others() -> None:
    asked = sized([{"role": "user", "content": f"{number} {'x' * 80}"} for number in range(9)])["asked"]
    assert asked[0]["parts"][0]["content"] == "[cut: 7 earlier messages]"
    assert asked[-1]["parts"][0]["content"].startswith("8 xx")


def test_what_does_not_fit_is_cut_with_a_mark_and_no_secret_in_two() -> None:
    for before in range(150, 300):
        [message] = sized([{"role": "user", "content": "x " * (before // 2) + CANARY + " tail" * 5_000}])["asked"]
        shown = message["parts"][0]["content"]
        assert shown.endswith(CUT)
        assert "sk-" not in shown


def test_an_answer_has_a_bound_of_its_own() -> None:
    [message] = sized(SAID, tally=Tally(text=["word " * 1_000], finish_reasons=["stop"]))["answered"]
    assert 150 < len(message["parts"][0]["content"]) < 300
    assert message["finish_reason"] == "stop"


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=40) | st.just(CANARY),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just(CANARY), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(
    st.lists(st.fixed_dictionaries({"role": st.text(max_size=5) | st.just(CANARY), "content": JSON}), max_size=5), JSON
)
def test_wherever_a_canary_stands_it_is_not_shown(said: Any, arguments: Any) -> None:
    calls = [{"type": "function", "function": {"name": CANARY, "arguments": json.dumps(arguments)}}]
    shown = json.dumps(sized([*said, {"role": "assistant", "content": CANARY, "tool_calls": calls}], 4_096))
    assert CANARY not in shown
    assert len(shown) < 60_000


@given(JSON)
def test_however_much_is_said_what_is_shown_is_bounded(said: Any) -> None:
    many = [{"role": "user", "content": json.dumps(said) * 50} for _ in range(50)]
    assert len(json.dumps(sized(many))) < 4_096


def test_the_number_of_a_card_is_none_of_anybodys_business_as_a_number_either() -> None:
    calls = [{"function": {"name": "pay", "arguments": '{"card": 4111111111111111, "sum": 12}'}}]
    [message] = sized([{"role": "assistant", "content": None, "tool_calls": calls}])["asked"]
    assert message["parts"][0]["arguments"] == {"card": "[card]", "sum": 12}

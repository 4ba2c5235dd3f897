from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.cel import Condition, condition_for_limit, condition_for_route
from gateway.config.cel_names import PRINCIPAL, REQUEST
from gateway.config.cel_readings import UNTOLD
from gateway.config.cel_syntax import CelError
from gateway.config.cel_types import EMPTY
from policies.vocabulary import Endpoint, Principal, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

ADA = Principal("k1", "laptop", team="free", tags=("a", "b"), org="acme")


def subject(members: Mapping[str, str | bytes | memoryview] | None = None) -> Subject:
    raw = {name: text.encode() if isinstance(text, str) else text for name, text in (members or {}).items()}
    return Subject(ADA, Endpoint.CHAT, "smart", True, raw)


@pytest.mark.parametrize(
    ("when", "members", "expected"),
    [
        ("size(request.tools) == 0", {}, True),
        ("size(request.tools) == 0", {"tools": "[]"}, True),
        ("size(request.tools) == 0", {"tools": "null"}, True),
        ("size(request.tools) == 2", {"tools": '[{"a": [1]}, {}]'}, True),
        ("size(request.metadata) == 1", {"metadata": '{"a": "b"}'}, True),
        ("has(request.tools)", {}, False),
        ("has(request.tools)", {"tools": "null"}, False),
        ("has(request.tools)", {"tools": b"[]"}, True),
        ("has(request.tools)", {"tools": memoryview(b"[]")}, True),
        ("request.max_tokens > 100", {}, False),
        ("request.max_tokens > 100", {"max_tokens": "101"}, True),
        ("request.temperature > 0.5", {"temperature": "1"}, True),
        ("request.user == ''", {}, True),
        ("request.user == 'é'", {"user": '"\\u00e9"'}, True),
        ("request.metadata.tier == 'gold'", {"metadata": '{"tier": "gold"}'}, True),
        ("has(request.metadata.tier) && request.metadata.tier == 'gold'", {}, False),
        ("request.stop in ['a', 'b']", {"stop": '"b"'}, True),
        ("request.vendor == null", {}, True),
        ("request.vendor.size() > 2", {"vendor": '"abc"'}, True),
        ("request.messages.exists(m, m.role == 'tool')", {"messages": '[{"role": "tool"}]'}, True),
        ("request.model == 'smart' && request.stream && request.endpoint == 'chat/completions'", {}, True),
        ("request.model.matches('^sm.*t$')", {}, True),
        ("principal.key_id + principal.key + principal.team + principal.org == 'k1laptopfreeacme'", {}, True),
        ("principal.user == '' && !has(principal.user) && has(principal.team)", {}, True),
        ("'b' in principal.tags && size(principal.tags) == 2", {}, True),
        ("true || request.vendor.x.y == 1", {}, True),
    ],
)
def test_conditions(when: str, members: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert Condition(when).ask(subject(members)) is expected


@pytest.mark.parametrize(
    ("when", "members"),
    [
        ("request.metadata.tier == 'gold'", {}),
        ("request.tools[0].type == 'x'", {}),
        ("request.tools.all(t, t.type == 'x')", {"tools": "[1]"}),
        ("size(request.tools) == 0", {"tools": '"many"'}),
        ("request.max_tokens > 1", {"max_tokens": '"5"'}),
        ("request.max_tokens + 1 > 1", {"max_tokens": str(2**63 - 1)}),
        ("request.max_tokens > 1", {"max_tokens": "9" * 5000}),
        ("request.user == 'a'", {"user": "{"}),
        ("request.vendor > 5", {}),
        ("request.vendor", {"vendor": "1"}),
        ("request.vendor", {"vendor": "[" * 5000}),
        ("1 / request.n == 1", {"n": "0"}),
        ("int(request.user) == 1", {"user": '"x"'}),
    ],
)
def test_what_cannot_be_told_limits_and_does_not_route(when: str, members: dict[str, str]) -> None:
    assert condition_for_limit(when)(subject(members)) is True
    assert condition_for_route(when)(subject(members)) is False


def test_what_can_be_told_is() -> None:
    for condition in (condition_for_limit, condition_for_route):
        assert [condition(when)(subject()) for when in ("request.stream", "!request.stream")] == [True, False]


@pytest.mark.parametrize(
    ("when", "roles", "expected"),
    [
        ("request.messages.exists(m, m.role == 'tool')", 1_000, False),
        ("request.messages.exists(m, m.role == 'tool')", 20_000, UNTOLD),
        ("request.messages.filter(m, m.role == 'user').exists(m, m.role == 'tool')", 200, False),
        ("request.messages.filter(m, m.role == 'user').exists(m, m.role == 'tool')", 4_000, UNTOLD),
        ("request.messages.map(m, m.role).exists(r, r == 'tool')", 4_000, UNTOLD),
        ("request.metadata.all(name, request.metadata[name] == 'tool')", 1, True),
        ("size(request.messages) == 20000", 20_000, True),
    ],
)
def test_what_callers_make_long_holds_up_nobody(when: str, roles: int, expected: object) -> None:
    members = {"messages": "[" + ",".join(['{"role": "user"}'] * roles) + "]"}
    began_s = time.perf_counter()
    assert Condition(when).ask(subject(members)) is expected
    assert time.perf_counter() - began_s < 1.0


def test_what_lies_inside_items_counts_too() -> None:
    inner = ",".join(["1"] * 11_000)
    members = {"messages": '[{"content": [' + inner + "]}]"}
    assert Condition("request.messages.exists(m, m.content == 'x')").ask(subject(members)) is UNTOLD


def test_only_what_is_read_is_decoded() -> None:
    assert Condition("request.max_tokens > 1 || has(request.tools)").ask(
        subject({"max_tokens": "2", "tools": "not JSON", "messages": "nor this"})
    )


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("request.model.matches('(')", "is not understood: unclosed group"),
        ("request.n == 99999999999999999999", "is not understood: invalid int literal"),
        ("request.tem == ", "a value is missing at its end"),
    ],
)
def test_what_the_library_refuses_is_refused_at_load(when: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        Condition(when)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", sorted(PRINCIPAL))
def test_every_member_of_a_principal_can_be_read(name: str) -> None:
    when = f"principal.{name} == principal.{name} && (has(principal.{name}) || true) && size(principal.{name}) >= 0"
    assert Condition(when).ask(subject()) is True


@pytest.mark.parametrize("name", sorted(REQUEST))
def test_every_member_of_a_body_may_be_left_out(name: str) -> None:
    """And one that is null counts as left out."""
    for members in ({}, {name: "null"}):
        asked = subject(members)._replace(model="", stream=False)
        assert Condition(f"request.{name} == request.{name} && (!has(request.{name}) || true)").ask(asked) is True


def test_empty_values_are_there_for_every_type_of_a_member() -> None:
    assert {kind.name for kind in (*REQUEST.values(), *PRINCIPAL.values())} <= EMPTY.keys()


JSON = st.recursive(
    st.sampled_from(["1", "0", "-1.5", '"x"', "null", "true", "1e400", "[", "", '"\\ud800"', "9" * 30]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
    max_leaves=5,
)
WHENS = [
    condition_for_limit(when)
    for when in (
        "request.max_tokens * 3 > request.n + 7",
        "request.metadata.a == 'x' || request.tools.exists(t, t.type == request.user)",
        "request.input.size() > 2 ? request.stop in ['a'] : -request.temperature < 1.0",
        "request.x.y.z || request.x[0] == request.x || request.user.contains(request.x)",
        "string(request.x) == request.user && request.model.matches('a+$') && int(request.x) % 2 == 1",
    )
]


@given(st.sampled_from(WHENS), st.dictionaries(st.sampled_from([*REQUEST, "x"]), JSON))
def test_whatever_callers_send_gets_an_answer(when: object, members: dict[str, str]) -> None:
    assert callable(when)
    assert when(subject(members)) in (True, False)

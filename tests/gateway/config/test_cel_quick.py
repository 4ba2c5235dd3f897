"""The closures against the library: whatever they decide, it decides the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.config.cel import Condition
from gateway.config.cel_closures import Elsewhere
from gateway.config.cel_syntax import CelError
from policies.route_rules import Priority
from policies.vocabulary import Endpoint, Principal, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = ("''", "'a'", "'gold'", '"é"', "r'a\\b'", "'\\u00e9'", "principal.team", "principal.user", "request.model")
TEXTS_OF_CALLER = ("request.user", "request.metadata.tier", "request.metadata['a']", "request.headers['x-tier']")
INTS = ("0", "1", "-2", "7", "0x10", "9223372036854775807", "request.max_tokens", "request.n", "request.seed")
SIZES = (
    "size(request.tools)",
    "request.messages.size()",
    "size(principal.tags)",
    "size(request.user)",
    "request.tokens",
)
DOUBLES = ("0.5", "-1.0", "1e3", "request.temperature", "request.top_p")
BOOLS = (
    "true",
    "false",
    "request.stream",
    "request.store",
    "has(request.tools)",
    "has(request.user)",
    "!request.store",
)
THERE = ("has(request.metadata.tier)", "has(principal.team)", "'x-tier' in request.headers", "'a' in principal.tags")
TIMES = ("now.getHours()", "now.getHours('Europe/Berlin')", "now.getDayOfWeek('Asia/Tokyo')", "now.getDate()")
DYNS = (
    "request.stop",
    "request.vendor",
    "request.vendor.x",
    "request.response_format.type",
    "null",
    "request.logprobs",
)

leaves = st.sampled_from
ints = st.recursive(
    leaves((*INTS, *SIZES, *TIMES)),
    lambda inner: st.builds("({} {} {})".format, inner, leaves(("+", "-", "*", "/", "%")), inner),
    max_leaves=4,
)
texts = st.one_of(leaves((*TEXTS, *TEXTS_OF_CALLER)), st.builds("({} + {})".format, leaves(TEXTS), leaves(TEXTS)))
doubles, dyns = leaves(DOUBLES), leaves(DYNS)
compared = leaves(("==", "!=", "<", "<=", ">", ">="))
anything = st.one_of(ints, texts, doubles, dyns, leaves(BOOLS))
asks = st.one_of(
    leaves((*BOOLS, *THERE, *DYNS)),
    st.builds("{} {} {}".format, ints, compared, st.one_of(ints, doubles, dyns)),
    st.builds("{} {} {}".format, texts, compared, st.one_of(texts, dyns)),
    st.builds("{} {} {}".format, anything, compared, anything),
    st.builds("{} in [{}, {}]".format, texts, leaves(TEXTS[:4]), leaves(TEXTS[:4])),
    st.builds("{} in [{}, {}]".format, st.one_of(ints, dyns), leaves(("1", "7")), leaves(("0", "7", "2.0"))),
    st.builds(
        "{} in {}".format, st.one_of(texts, dyns), leaves(("principal.tags", "request.metadata", "request.stop"))
    ),
    st.builds("{}.{}({})".format, st.one_of(texts, dyns), leaves(("contains", "startsWith", "endsWith")), texts),
    st.builds("request.model.matches({})".format, leaves(("'a'", "'^g.*d$'"))),
)
conditions = st.recursive(
    asks,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 9),
        st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**70, 1e300, 2.0, 0.5]),
        st.sampled_from(["", "a", "gold", "é", "z"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("axtier"), inner, max_size=3)),
    max_leaves=4,
)
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "user": st.sampled_from(["a", "é", "gold"]),
    "metadata": st.dictionaries(st.sampled_from(["tier", "a"]), JSON, max_size=2),
    "max_tokens": st.integers(0, 20),
    "temperature": st.sampled_from([0, 0.5, 1]),
    "tools": st.lists(JSON, max_size=3),
    "store": st.booleans(),
    "vendor": st.fixed_dictionaries({"x": JSON}),
    "response_format": st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object"])}),
}
NAMES = ("user", "metadata", "max_tokens", "n", "seed", "temperature", "tools", "messages", "store", "stop", "vendor")
members = st.one_of(
    st.fixed_dictionaries({}, optional=USUAL), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4)
)
who = st.builds(
    Principal,
    st.just("k"),
    st.just("name"),
    team=st.sampled_from([None, "a", "gold"]),
    tags=st.sampled_from([(), ("a", "é")]),
    priority=st.sampled_from(Priority),
)


@st.composite
def subjects(draw: Callable[[Any], Any]) -> Subject:
    sent = {name: json.dumps(value).encode() for name, value in draw(members).items()}
    headers = draw(st.sampled_from([{}, {"x-tier": "gold"}, {"x-tier": ""}]))
    known = draw(st.sampled_from([None, {}]))
    known = None if known is None else {}
    tokens = draw(st.integers(0, 9))
    model, stream = draw(st.sampled_from(["a", "gold", "é"])), draw(st.booleans())
    now_s = draw(st.floats(0, 4e9))
    return Subject(draw(who), Endpoint.CHAT, model, stream, sent, headers, lambda: tokens, lambda: 0, now_s, known)


@settings(max_examples=600)
@given(conditions, subjects())
def test_what_the_closures_decide_the_library_decides_the_same(when: str, subject: Subject) -> None:
    try:
        condition = Condition(when, {"x-tier"})
    except CelError:
        event("refused at load")
        return
    if condition.quick is None:
        event("the library's")
        return
    try:
        told = condition.quick(subject)
    except Elsewhere:
        event("left to the library when asked")
        return
    event(f"closures say {told}")
    assert told is condition.ask_library(subject._replace(known=None)), when


def test_what_policies_usually_ask_needs_no_library() -> None:
    for when in (
        "size(request.tools) > 0 && principal.team in ['a', 'b']",
        "request.metadata.tier == 'gold' || request.headers['x-tier'] == 'gold'",
        "now.getHours('Europe/Berlin') < 8 && request.tokens > 1000",
        "request.model.startsWith('gpt-') && !(request.max_tokens > 100)",
        "has(request.metadata.tier) ? request.temperature > 1 : 'a' in principal.tags",
    ):
        assert Condition(when, {"x-tier"}).quick is not None


def test_what_only_the_library_can_do_is_left_to_it() -> None:
    for when in (
        "request.model.matches('a+')",
        "request.tools.exists(t, t.type == 'x')",
        "now > timestamp(request.user)",
    ):
        assert Condition(when).quick is None

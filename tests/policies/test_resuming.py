"""Where two answers become one: at every cut, in whatever pieces, no character twice and none missing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.resuming import (
    REPEATED_CHARS,
    Joint,
    Sent,
    end,
    hindrance,
    join,
    may_go_on,
    may_repeat,
    open_ways,
)
from policies.route_rules import Resume
from policies.vocabulary import Endpoint, Failure, FailureKind

ANSWER = "The family 👨\u200d👩\u200d👧 took the 🇩🇪 train; grüße, e\u0301.\n"
BOTH = (Resume.PREFILL, Resume.ALIGN)
# Few letters, so that answers repeat themselves and agree by chance.
TEXT = st.text(alphabet="ab 🚂\u0301", max_size=60)


def read(joint: Joint, pieces: list[str]) -> str | None:
    """What the caller gets of a whole new answer; None where it is not one answer."""
    got = ""
    for piece in pieces:
        joined = join(joint, piece)
        if joined is None:
            return None
        joint, text = joined
        got += text
    ended = end(joint)
    return None if ended is None else got + ended.text


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    return [text[start:stop] for start, stop in itertools.pairwise(bounds)]


@pytest.mark.parametrize("at", range(len(ANSWER) + 1))
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_the_same_answer_joins_at_every_cut(at: int, size: int) -> None:
    pieces = [ANSWER[start : start + size] for start in range(0, len(ANSWER), size)]
    assert read(Joint(Resume.ALIGN, ANSWER[:at]), pieces) == ANSWER[at:]


@given(sent=TEXT, answer=TEXT, places=st.lists(st.integers(0, 60), max_size=8))
def test_alignment_adds_exactly_what_is_missing_or_nothing(sent: str, answer: str, places: list[int]) -> None:
    got = read(Joint(Resume.ALIGN, sent), cut(answer, places))
    assert got == (answer[len(sent) :] if answer.startswith(sent) else None)


@given(sent=TEXT, rest=TEXT, places=st.lists(st.integers(0, 120), max_size=8))
def test_whatever_begins_with_the_text_sent_aligns(sent: str, rest: str, places: list[int]) -> None:
    assert read(Joint(Resume.ALIGN, sent), cut(sent + rest, places)) == rest


@pytest.mark.parametrize("at", range(len(ANSWER)))
def test_a_single_other_character_anywhere_is_another_answer(at: int) -> None:
    other = ANSWER[:at] + "#" + ANSWER[at + 1 :]
    assert read(Joint(Resume.ALIGN, ANSWER), list(other)) is None


def test_nothing_of_another_answer_is_told_before_it_parts() -> None:
    joint = Joint(Resume.ALIGN, "abc")
    first = join(joint, "ab")
    assert first is not None
    assert first.text == ""
    assert join(first.joint, "x") is None


def test_an_answer_that_ends_where_the_text_ends_is_complete() -> None:
    assert read(Joint(Resume.ALIGN, "abc"), ["ab", "c"]) == ""
    assert read(Joint(Resume.ALIGN, "abc"), ["ab"]) is None
    assert read(Joint(Resume.ALIGN, "abc"), []) is None


@given(sent=TEXT, rest=TEXT, places=st.lists(st.integers(0, 120), max_size=8))
def test_a_continuation_is_told_whole_unless_it_may_be_a_new_beginning(sent: str, rest: str, places: list[int]) -> None:
    begins_anew = sent != "" and rest.startswith(sent[:REPEATED_CHARS])
    assert read(Joint(Resume.PREFILL, sent), cut(rest, places)) == (None if begins_anew else rest)


@given(sent=TEXT.filter(bool), rest=TEXT, places=st.lists(st.integers(0, 120), max_size=8))
def test_a_model_that_begins_anew_doubles_nothing(sent: str, rest: str, places: list[int]) -> None:
    assert read(Joint(Resume.PREFILL, sent), cut(sent + rest, places)) is None


def test_a_continuation_flows_from_its_first_piece() -> None:
    joined = join(Joint(Resume.PREFILL, "The cat"), " sat")
    assert joined is not None
    assert joined.text == " sat"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, None),
        ({"model": b'"m"', "messages": b"[{}]", "temperature": b"0.2", "seed": b"7", "stop": b'["x"]'}, None),
        ({"tools": b"null", "response_format": b'{"type": "text"}', "tool_choice": b'"none"'}, None),
        ({"tools": b"[]", "logprobs": b"false", "modalities": b'["text"]', "reasoning_effort": b'"none"'}, None),
        ({"thinking": b'{"type": "disabled"}', "chat_template_kwargs": b'{"enable_thinking": false}'}, None),
        ({"thinking": b'{"type": "enabled"}'}, "'thinking' is asked for"),
        ({"chat_template_kwargs": b'{"enable_thinking": true}'}, "'chat_template_kwargs' is asked for"),
        ({"tools": b"[{}]"}, "'tools' is asked for"),
        ({"functions": b"[{}]"}, "'functions' is asked for"),
        ({"tool_choice": b'"auto"'}, "'tool_choice' is asked for"),
        ({"response_format": b'{"type":"json_object"}'}, "'response_format' is asked for"),
        ({"logprobs": b"true"}, "'logprobs' is asked for"),
        ({"logprobs": b"0"}, "'logprobs' is asked for"),
        ({"audio": b"{}", "modalities": b'["text","audio"]'}, "'modalities' is asked for"),
        ({"reasoning_effort": b'"low"'}, "'reasoning_effort' is asked for"),
        ({"echo": b"true"}, "'echo' is asked for"),
        ({"suffix": b'"x"'}, "'suffix' is asked for"),
        ({"guided_regex": b'"x"'}, "'guided_regex' is asked for"),
        ({"never_heard_of": b"1"}, "'never_heard_of' is asked for"),
    ],
)
def test_only_plain_text_goes_on(members: dict[str, bytes], reason: str | None) -> None:
    assert hindrance(Endpoint.CHAT, 1, members) == reason


def test_one_choice_of_an_endpoint_that_streams_text() -> None:
    assert hindrance(Endpoint.COMPLETIONS, 1, {"prompt": b'"x"'}) is None
    assert hindrance(Endpoint.CHAT, 2, {}) == "more than one choice"
    assert hindrance(Endpoint.RESPONSES, 1, {}) == "responses cannot be resumed"
    assert hindrance(Endpoint.EMBEDDINGS, 1, {}) == "embeddings cannot be resumed"


@pytest.mark.parametrize(
    ("failure", "goes_on", "repeats"),
    [
        (Failure(FailureKind.TRUNCATED), True, True),
        (Failure(FailureKind.IDLE), True, True),
        (Failure(FailureKind.RESET), True, True),
        (Failure(FailureKind.BAD_RESPONSE), True, True),
        (Failure(FailureKind.CRASHED), True, False),
        (Failure(FailureKind.IN_BAND), True, True),
        (Failure(FailureKind.IN_BAND, status=503), True, True),
        (Failure(FailureKind.IN_BAND, code="overloaded_error"), True, True),
        (Failure(FailureKind.IN_BAND, code="rate_limit_exceeded"), True, True),
        (Failure(FailureKind.IN_BAND, status=401), True, False),
        (Failure(FailureKind.IN_BAND, code="content_filter"), False, False),
        (Failure(FailureKind.IN_BAND, status=400), False, False),
        (Failure(FailureKind.IN_BAND, code="context_length_exceeded"), False, False),
        (Failure(FailureKind.TOTAL), False, False),
        (Failure(FailureKind.LIMITED), False, False),
    ],
)
def test_what_the_upstream_lost_goes_on_and_what_was_refused_does_not(
    failure: Failure, *, goes_on: bool, repeats: bool
) -> None:
    assert (may_go_on(failure), may_repeat(failure)) == (goes_on, repeats)


@pytest.mark.parametrize(
    ("sent", "ways"),
    [
        (Sent("Hi"), BOTH),
        (Sent(""), BOTH),
        (Sent("Hi", is_plain=False), ()),
        (Sent("Hi", is_finished=True), ()),
        (Sent("Hi", has_hole=True), (Resume.ALIGN,)),
        (Sent("half an emoji \ufffd"), ()),
        (Sent("a \ufffd inside"), BOTH),
    ],
)
def test_what_was_sent_decides_which_ways_are_open(sent: Sent, ways: tuple[Resume, ...]) -> None:
    assert open_ways(BOTH, sent) == ways
    assert open_ways((), sent) == ()

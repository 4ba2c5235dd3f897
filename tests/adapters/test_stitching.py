"""Two streams as one: events of the second look like more of the first, and say nothing twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.openai_events import DONE
from adapters.openai_text import TEXT_KEPT_BYTES
from adapters.stitching import Shown, Stitch, Unjoined, add_up, usage_event
from policies.usage import Usage

FIRST = {"id": "c-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4o", "system_fingerprint": "fp_1"}
SECOND = {"id": "c-2", "object": "chat.completion.chunk", "created": 9, "model": "llama", "service_tier": "flex"}
SPENT = Usage(10, 4, 2, 0, 1, estimated=True)


def event(fields: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def chunk(delta: Any, reason: str | None = None, of: dict[str, Any] = FIRST, **more: Any) -> bytes:
    return event(of | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} | more)


def second(delta: Any, reason: str | None = None, **more: Any) -> bytes:
    return chunk(delta, reason, SECOND, **more)


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
USAGE = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}


def shown(*texts: str) -> Shown:
    seen = Shown()
    seen.note(ROLE + b"".join(chunk({"content": text}) for text in texts))
    return seen


def stitch(seen: Shown, spent: Usage = SPENT) -> Stitch:
    """All that the second stream says follows."""
    return Stitch(seen, lambda piece: piece, lambda: "", spent)


def told(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n\n") if line.startswith(b"data: {")]


# -- what a caller has --


def test_the_text_of_a_stream_is_remembered() -> None:
    seen = shown("Grüße ", "👨\u200d👩", "\u200d👧")
    assert (seen.text, seen.pieces, seen.is_plain, seen.is_finished) == ("Grüße 👨\u200d👩\u200d👧", 3, True, False)
    seen.note(b": keep-alive\n\n" + chunk({}, "stop") + DONE)
    assert (seen.text, seen.is_finished) == ("Grüße 👨\u200d👩\u200d👧", True)
    assert seen.identity.keys() == FIRST.keys()


def test_many_pieces_are_one_text() -> None:
    seen = shown(*[f"{number} " for number in range(1000)])
    assert seen.text == "".join(f"{number} " for number in range(1000))
    assert seen.pieces == 1000


@pytest.mark.parametrize(
    "other",
    [
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning": "hm"}),
        chunk({"reasoning_details": [{"text": "hm"}]}),
        chunk({"refusal": "no"}),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"function_call": {"name": "f"}}),
        chunk({"audio": {"id": "a"}}),
        chunk({"content": [{"type": "text", "text": "Hi"}]}),
        event(FIRST | {"choices": [{"index": 1, "delta": {"content": "Hi"}}]}),
        event(FIRST | {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]}),
        event(FIRST | {"choices": "?"}),
        b"data: ?\n\n",
    ],
)
def test_anything_but_text_is_noticed(other: bytes) -> None:
    seen = shown("Hi")
    seen.note(other)
    assert not seen.is_plain
    with pytest.raises(Unjoined):
        stitch(shown("Hi")).take(other)


@pytest.mark.parametrize("nothing", [{"refusal": None}, {"tool_calls": []}, {"reasoning_content": ""}, {"audio": None}])
def test_what_servers_add_without_meaning_anything_is_text_still(nothing: dict[str, Any]) -> None:
    seen = shown("Hi")
    seen.note(chunk({"content": "!"} | nothing))
    assert (seen.text, seen.is_plain) == ("Hi!", True)


def test_more_text_than_is_kept_cannot_go_on() -> None:
    seen = shown("x" * TEXT_KEPT_BYTES)
    assert seen.is_plain
    seen.note(chunk({"content": "x"}))
    assert (seen.is_plain, seen.text) == (False, "")


def test_an_answer_is_named_by_its_text_and_not_by_what_comes_before() -> None:
    seen = Shown()
    nameless = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
    seen.note(event(nameless) + ROLE.replace(b"c-1", b"") + chunk({"content": "Hi"}))
    assert bytes(seen.identity["id"]) == b'"c-1"'


def test_an_answer_that_had_no_name_takes_the_second_ones() -> None:
    more = stitch(Shown())
    got = told(more.take(second({"content": "Hi"}) + second({"content": "!"}, id="c-3")))
    assert [event["id"] for event in got] == ["c-2", "c-2"]


def test_completions_have_text_too() -> None:
    seen = Shown()
    seen.note(event({"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "Once"}]}))
    assert seen.text == "Once"
    more = stitch(seen).take(
        event(
            {"id": "cmpl-2", "object": "text_completion", "choices": [{"index": 0, "text": " upon", "logprobs": None}]}
        )
    )
    assert told(more) == [
        {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": " upon", "logprobs": None}]}
    ]


# -- what is added --


def test_the_second_stream_calls_itself_as_the_first() -> None:
    got = stitch(shown("Once")).take(second({"role": "assistant", "content": " upon"}, x_unknown=[1]))
    assert got == chunk({"content": " upon"}, x_unknown=[1])


def test_what_nobody_here_reads_goes_on_as_it_came() -> None:
    deep = b"[" * 300 + b"]" * 300
    sent = second({"content": " upon"}).replace(b'"index":0', b'"index":0,"x":1.50,"y":%b' % deep)
    assert b'"x":1.50,"y":%b' % deep in stitch(shown("Once")).take(sent)


def test_who_speaks_is_not_said_again() -> None:
    more = stitch(shown("Once"))
    assert more.take(second({"role": "assistant", "content": ""})) == b""
    assert more.take(second({"role": "assistant"})) == b""
    assert more.take(event(SECOND | {"choices": []})) == b""
    assert told(more.take(second({"role": "assistant", "content": " upon"})))[0]["choices"][0]["delta"] == {
        "content": " upon"
    }


def test_the_end_is_told_once_joined() -> None:
    seen = shown("Once")
    more = stitch(seen)
    got = told(more.take(second({"content": " upon"}) + second({}, "length") + DONE))
    assert [choice["finish_reason"] for one in got for choice in one["choices"]] == [None, "length"]
    assert (seen.text, seen.is_finished) == ("Once upon", True)
    assert more.finish() == b""


def test_keep_alives_go_on_and_the_end_marker_is_left_to_others() -> None:
    assert stitch(shown("Once")).take(b": keep-alive\n\n" + DONE) == b": keep-alive\n\n"


def test_only_what_the_caller_does_not_have_is_told() -> None:
    seen = shown("Once upon")
    answers = iter(["", "", " a", " time"])
    more = Stitch(seen, lambda _: next(answers), lambda: "", Usage())
    stream = b"".join(second({"content": piece}) for piece in ("Once", " up", "on a", " time"))
    assert [one["choices"][0]["delta"]["content"] for one in told(more.take(stream))] == [" a", " time"]
    assert seen.text == "Once upon a time"


def test_an_answer_that_parts_is_left_when_all_before_has_been_told() -> None:
    seen = shown("Once")
    more = stitch(seen)
    stream = second({"content": " upon"}) + second({"tool_calls": [{"index": 0}]}) + second({"content": " a"})
    assert told(more.take(stream))[0]["choices"][0]["delta"] == {"content": " upon"}
    assert seen.text == "Once upon"
    for _ in range(2):
        with pytest.raises(Unjoined):
            more.take(second({"content": " a"}))
    with pytest.raises(Unjoined):
        more.finish()


def test_an_answer_that_parts_at_once_tells_nothing() -> None:
    more = Stitch(shown("Once"), lambda _: None, lambda: None, Usage())
    with pytest.raises(Unjoined):
        more.take(second({"role": "assistant"}) + second({"content": "Twice"}))


@pytest.mark.parametrize("last", [second({}, "stop"), b""])
def test_an_answer_that_ends_before_it_joins_is_another(last: bytes) -> None:
    more = Stitch(shown("Once"), lambda _: "", lambda: None, Usage())

    def read() -> None:
        more.take(second({"content": "On"}) + last)
        more.finish()

    with pytest.raises(Unjoined):
        read()


def test_what_was_waited_with_is_told_at_the_end() -> None:
    seen = shown("hat")
    more = Stitch(seen, lambda _: "", lambda: "ha", Usage())
    got = told(more.take(second({"content": "ha"}) + second({}, "stop")))
    assert [one["choices"][0] for one in got] == [{"index": 0, "delta": {"content": "ha"}, "finish_reason": "stop"}]
    without_reason = Stitch(shown("hat"), lambda _: "", lambda: "ha", Usage())
    without_reason.take(second({"content": "ha"}))
    assert told(without_reason.finish()) == [
        FIRST | {"choices": [{"index": 0, "finish_reason": None, "delta": {"content": "ha"}}]}
    ]


# -- usage --


def test_the_usage_covers_both() -> None:
    more = stitch(shown("Once"))
    got = told(more.take(second({}, "stop", usage=None) + event(SECOND | {"choices": [], "usage": USAGE})))
    assert more.has_told_usage
    assert got[1]["usage"] == {
        "prompt_tokens": 30,
        "completion_tokens": 10,
        "total_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "estimated": True,
    }
    assert got[1]["choices"] == []
    assert got[1]["id"] == "c-1"


def test_usage_beside_text_covers_both_and_groqs_own_does_not_go_on() -> None:
    got = told(
        stitch(shown("Once"), Usage(1, 1)).take(second({"content": " upon"}, usage=USAGE, x_groq={"usage": USAGE}))
    )
    assert got[0]["usage"]["total_tokens"] == 28
    assert "estimated" not in got[0]["usage"]
    assert "x_groq" not in got[0]


@pytest.mark.parametrize("usage", [None, "12", {}, {"prompt_tokens": -1}])
def test_usage_that_cannot_be_believed_is_none(usage: Any) -> None:
    more = stitch(shown("Once"))
    assert more.take(event(SECOND | {"choices": [], "usage": usage})) == b""
    assert not more.has_told_usage


def test_a_usage_that_nobody_told_is_an_event_of_its_own() -> None:
    assert told(usage_event(shown("Once"), Usage(3, 4))) == [
        FIRST
        | {
            "choices": [],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
    ]


def test_usage_adds_up() -> None:
    assert add_up(Usage(1, 2, 3, 4, 5), Usage(10, 20, 30, 40, 50, estimated=True)) == Usage(
        11, 22, 33, 44, 55, estimated=True
    )
    assert not add_up(Usage(1, 2), Usage(1, 2)).estimated

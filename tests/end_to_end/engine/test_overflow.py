"""Prompts and answers that do not fit: refused with both numbers, or shortened where the policy says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import CHAT, COMPLETIONS, conversation, rendered

if TYPE_CHECKING:
    from tests.end_to_end.engine.house import House

CONTEXT = 256
FULL: Any = list(b"x1" * 128)  # ids of tokens: exactly as many as there is room for
ONE_LEFT: Any = FULL[:-1]


def turns(words: int) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "q z " * words}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["narrow", "shifting"])
def test_a_conversation_that_does_not_fit_is_refused(house: House, model: str, stream: bool) -> None:  # noqa: FBT001
    error = house.refused(CHAT, conversation(model, turns(100)) | {"stream": stream})
    assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
    assert error["param"] == "messages"
    assert f"maximum context length is {CONTEXT} tokens" in error["message"]
    assert "your prompt has 4" in error["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("prompt", [FULL, FULL * 4, "q" * 100_000], ids=["by one token", "by far", "without looking"])
def test_a_prompt_that_leaves_no_room_is_refused(house: House, prompt: object, stream: bool) -> None:  # noqa: FBT001
    error = house.refused(COMPLETIONS, {"model": "narrow", "prompt": prompt, "max_tokens": 1, "stream": stream})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


def test_one_of_several_prompts_is_enough_to_refuse_all(house: House) -> None:
    error = house.refused(COMPLETIONS, {"model": "narrow", "prompt": [[1], FULL]})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


def test_refusals_cost_nothing_and_leave_nothing(house: House) -> None:
    answer = house.post(COMPLETIONS, {"model": "narrow", "prompt": FULL})
    row = house.row(answer.headers["x-request-id"])
    assert (row["cost_nanousd"] or 0, row["output_tokens"]) == (0, 0)
    assert house.complete("narrow", "fits", max_tokens=2)["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("model", ["narrow", "cutting"])
@pytest.mark.parametrize(("prompt", "wanted", "written"), [("Hi", 64, 64), ("Hi", 500, 254), (ONE_LEFT, 500, 1)])
def test_an_answer_ends_where_the_context_does(
    house: House, model: str, prompt: object, wanted: int, written: int
) -> None:
    ask = {"model": model, "prompt": prompt, "max_tokens": wanted, "temperature": 0}
    answer, stream = house.asked(COMPLETIONS, ask), house.stream(COMPLETIONS, ask)
    assert answer["usage"]["completion_tokens"] == written
    assert answer["choices"][0]["finish_reason"] == stream.reason() == "length"
    assert stream.text()


def test_without_a_limit_a_conversation_goes_on_to_the_end_of_the_context(house: House) -> None:
    usage = house.chat("narrow", "Sing.")["usage"]
    assert usage["total_tokens"] == CONTEXT


# truncate


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_is_left_out_is_told(house: House, stream: bool) -> None:  # noqa: FBT001
    ask = conversation("cutting", turns(100)) | {"max_tokens": 16, "stream": stream}
    answer = house.post(CHAT, ask)
    assert answer.status_code == 200
    whole = len(rendered(("system", "Rhyme."), ("user", "q z " * 100)))  # a letter is a token, but for marks and merges
    left_out = int(answer.headers["x-pointsman-truncated-tokens"])
    assert 0 < left_out < whole - CONTEXT
    if not stream:
        usage = answer.json()["usage"]
        assert usage["prompt_tokens"] == CONTEXT - 16
        assert usage["completion_tokens"] == 16


def test_the_beginning_and_the_end_of_a_prompt_stay(house: House) -> None:
    """The first quarter and the end of what fits, as if the caller had sent nothing else."""
    long = [*range(40, 100), *FULL, *range(40, 100)]
    kept = CONTEXT - 16
    short = long[: kept // 4] + long[-(kept - kept // 4) :]
    told = [house.complete("cutting", prompt, max_tokens=16)["choices"][0]["text"] for prompt in (long, short)]
    assert told[0] == told[1]


def test_what_fits_is_not_touched(house: House) -> None:
    answer = house.post(COMPLETIONS, {"model": "cutting", "prompt": ONE_LEFT, "max_tokens": 1})
    assert answer.status_code == 200
    assert "x-pointsman-truncated-tokens" not in answer.headers
    assert answer.json()["usage"]["prompt_tokens"] == CONTEXT - 1


def test_far_too_much_is_refused_all_the_same(house: House) -> None:
    error = house.refused(COMPLETIONS, {"model": "cutting", "prompt": "q" * 1_000_000})
    assert error["code"] == "context_length_exceeded"


# shift


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_shifting_context_has_room_for_longer_answers(house: House, stream: bool) -> None:  # noqa: FBT001
    """More is written than fits, the beginning of the conversation being forgotten meanwhile."""
    ask = {"model": "shifting", "prompt": "q z " * 20, "max_tokens": 600, "temperature": 0}
    if stream:
        told = house.stream(COMPLETIONS, ask | {"stream_options": {"include_usage": True}})
        usage, reason, text = told.chunks[-1]["usage"], told.reason(), told.text()
    else:
        answer = house.asked(COMPLETIONS, ask)
        usage, (choice,) = answer["usage"], answer["choices"]
        reason, text = choice["finish_reason"], choice["text"]
    assert (usage["completion_tokens"], reason) == (600, "length")
    assert len(text) >= 400

"""Texts that a model of our own engine goes on with: forms of prompts, ends, many callers, and callers who leave."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.end_to_end.conftest import eventually
from tests.end_to_end.engine.house import COMPLETIONS

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.end_to_end.engine.house import House

PROMPT = "The river and the sea"
ASK: Any = {"model": "steady", "prompt": PROMPT, "temperature": 0, "max_tokens": 12}
# Ids of single bytes are those bytes in the tiny models' vocabulary.
IDS = list(b"q1w2e3")
SAME = "q1w2e3"


def texts(answer: dict[str, Any]) -> list[str]:
    return [choice["text"] for choice in answer["choices"]]


def test_an_answer_has_all_that_clients_read(house: House) -> None:
    answer = house.asked(COMPLETIONS, ASK)
    (choice,) = answer["choices"]
    assert answer["id"].startswith("cmpl-")
    assert (answer["object"], answer["model"]) == ("text_completion", "steady")
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "length", None)
    assert choice["text"]
    usage = answer["usage"]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (12, usage["prompt_tokens"] + 12)


def test_a_stream_says_what_the_whole_says(house: House, client: OpenAI) -> None:
    whole = house.asked(COMPLETIONS, ASK)
    stream = house.stream(COMPLETIONS, ASK | {"stream_options": {"include_usage": True}})
    assert [stream.text()] == texts(whole)
    assert stream.reason() == "length"
    assert stream.chunks[-1]["usage"]["completion_tokens"] == 12
    pieces = client.completions.create(**ASK, stream=True)
    assert ["".join(piece.choices[0].text for piece in pieces)] == texts(whole)


def test_without_a_limit_sixteen_tokens_come(house: House) -> None:
    answer = house.complete("steady", PROMPT)
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (16, "length")


# forms of prompts


@pytest.mark.parametrize(
    ("prompt", "answers"),
    [
        (SAME, 1),
        (IDS, 1),
        ([SAME], 1),
        ([IDS, IDS], 2),
        ([SAME] * 3, 3),
    ],
)
def test_ids_of_tokens_are_as_good_as_texts(house: House, prompt: object, answers: int) -> None:
    (alone,) = texts(house.complete("steady", SAME))
    answer = house.complete("steady", prompt)
    assert texts(answer) == [alone] * answers
    assert [choice["index"] for choice in answer["choices"]] == list(range(answers))
    assert answer["usage"]["prompt_tokens"] == len(IDS) * answers
    assert answer["usage"]["completion_tokens"] == 16 * answers


def test_each_of_several_prompts_is_answered_as_if_alone(house: House) -> None:
    prompts = ["A dog", "The moon over a city", "sun", "Trees"]
    alone = [texts(house.complete("steady", prompt))[0] for prompt in prompts]
    assert texts(house.complete("steady", prompts)) == alone
    stream = house.stream(COMPLETIONS, ASK | {"prompt": prompts, "max_tokens": 16})
    assert [stream.text(index) for index in range(4)] == alone


def test_choices_of_several_prompts_are_counted_through(house: House) -> None:
    answer = house.complete("steady", ["A dog", "sun"], n=2, temperature=1, seed=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert len(set(texts(answer))) == 4


def test_the_prompt_comes_first_where_an_echo_is_asked_for(house: House) -> None:
    for prompts, said in ([PROMPT, "sun"], [PROMPT, "sun"]), ([IDS], [SAME]):
        plain, echo = (texts(house.complete("steady", prompts, echo=wanted)) for wanted in (False, True))
        assert echo == [one + text for one, text in zip(said, plain, strict=True)]


def test_control_tokens_in_a_prompt_are_control_tokens(house: House) -> None:
    usage = house.complete("steady", "<|im_start|>q<|im_end|>")["usage"]
    assert usage["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["x", [1]]}, "prompt"),
        ({"prompt": [[1, "y"]]}, "prompt"),
        ({"prompt": [1, 2, "x", 3]}, "prompt"),
        ({"prompt": [1, -1]}, "prompt"),
        ({"prompt": [1, 10**6]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": ["x"] * 65}, "prompt"),
        ({"prompt": ["x"] * 10, "n": 15}, "prompt"),
        ({"suffix": "the end"}, "suffix"),
        ({"best_of": 4}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"seed": "dice"}, "seed"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_nonsense_is_refused_by_name(house: House, changed: dict[str, Any], param: str) -> None:
    for stream in (False, True):
        error = house.refused(COMPLETIONS, ASK | changed | {"stream": stream})
        assert (error["type"], error["param"].partition("[")[0]) == ("invalid_request_error", param)


# where texts end


@pytest.mark.parametrize("stop", ["END", ["never", "END"], ["END", " two END"]])
def test_a_text_ends_before_the_first_stop(house: House, stop: object) -> None:
    """The script is `one END two END three`, in tokens of two letters and more."""
    ask = {"model": "scripted", "prompt": "H", "temperature": 0, "max_tokens": 64}
    assert texts(house.asked(COMPLETIONS, ask)) == ["one END two END three"]
    answer, stream = house.asked(COMPLETIONS, ask | {"stop": stop}), house.stream(COMPLETIONS, ask | {"stop": stop})
    assert (texts(answer), answer["choices"][0]["finish_reason"]) == (["one "], "stop")
    assert (stream.text(), stream.reason()) == ("one ", "stop")


def test_what_only_began_like_a_stop_is_said_after_all(house: House) -> None:
    ask = {"model": "scripted", "prompt": "H", "temperature": 0, "max_tokens": 64, "stop": ["three blind mice", "ENDS"]}
    assert texts(house.asked(COMPLETIONS, ask)) == [house.stream(COMPLETIONS, ask).text()] == ["one END two END three"]


def test_an_end_that_may_be_ignored_is(house: House) -> None:
    usual = house.complete("brief", PROMPT, max_tokens=200)
    assert usual["choices"][0]["finish_reason"] == "stop"
    assert usual["usage"]["completion_tokens"] < 200
    ignoring = house.complete("brief", PROMPT, max_tokens=200, ignore_eos=True)
    assert ignoring["choices"][0]["finish_reason"] == "length"
    assert ignoring["usage"]["completion_tokens"] == 200
    assert texts(house.complete("brief", PROMPT, max_tokens=200, ignore_eos=False)) == texts(usual)


# the same again


@pytest.mark.parametrize("model", ["thrifty", "steady"], ids=["one slot", "two slots"])
def test_the_same_request_is_answered_alike(house: House, model: str) -> None:
    ask = ASK | {"model": model, "max_tokens": 40, "seed": 42}
    house.asked(COMPLETIONS, ask)
    assert len({texts(house.asked(COMPLETIONS, ask))[0] for _ in range(4)}) == 1
    chance = ask | {"temperature": 1}
    assert len({texts(house.asked(COMPLETIONS, chance))[0] for _ in range(4)}) == 1


@pytest.mark.parametrize("model", ["thrifty", "steady"], ids=["one slot", "two slots"])
def test_another_seed_makes_another_text(house: House, model: str) -> None:
    seeds = [0, 1, 2, 3, -5, 2**62]
    said = [texts(house.complete(model, PROMPT, temperature=1, seed=seed)) for seed in seeds]
    assert len({text for (text,) in said}) == len(seeds)


def test_without_a_seed_no_two_texts_are_alike(house: House) -> None:
    assert len({texts(house.complete("steady", PROMPT, temperature=1))[0] for _ in range(4)}) == 4


def test_what_is_remembered_changes_no_text(house: House) -> None:
    """Cold, known to the last token but one, and known by half: on `steady` that is all the same, chance included."""
    long = "the cat and the dog in the city " * 10
    ask = ASK | {"prompt": long, "temperature": 0.8, "seed": 9, "max_tokens": 24}
    cold, warm = house.asked(COMPLETIONS, ask), house.asked(COMPLETIONS, ask)
    house.asked(COMPLETIONS, ask | {"prompt": long[:100] + "something else"})
    half = house.asked(COMPLETIONS, ask)
    known = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in (cold, warm, half)]
    assert known[0] < known[1]
    assert texts(cold) == texts(warm) == texts(half)


def test_prompts_that_come_and_go_are_counted_right(house: House) -> None:
    """Prompts of several lengths in turn: what is read and what is known always add up to the prompt."""
    rng = random.Random(1)
    for _ in range(16):
        kind, wanted = rng.randrange(5), rng.randint(1, 8)
        usage = house.complete("pooled", f" Hey {kind}" * (20 + kind), max_tokens=wanted)["usage"]
        assert usage["prompt_tokens"] == 6 * (20 + kind)
        assert usage["completion_tokens"] == wanted
        assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


# many at once


@pytest.mark.parametrize(
    ("model", "callers"), [("thrifty", 3), ("steady", 2), ("steady", 6), ("pooled", 2), ("pooled", 6)]
)
def test_callers_at_once_are_all_answered(house: House, model: str, callers: int) -> None:
    def ask(number: int) -> dict[str, Any]:
        return house.complete(model, f"caller {number} says", max_tokens=10 + number, temperature=1, seed=number)

    with ThreadPoolExecutor(callers) as crowd:
        answers = list(crowd.map(ask, range(callers)))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [10 + number for number in range(callers)]
    if model == "steady":  # where the company of others is promised to change nothing
        assert [texts(answer) for answer in answers] == [texts(ask(number)) for number in range(callers)]


@pytest.mark.parametrize("wanted", [[80, 40, 80, 80], [200, 200, 200, 200], [250, 20, 250, 20]])
def test_a_pool_of_cells_is_enough_for_all_who_were_let_in(house: House, wanted: list[int]) -> None:
    """Each gets what it asked for, though their answers together are as many tokens as the pool has."""
    with ThreadPoolExecutor(len(wanted)) as crowd:
        answers = list(crowd.map(lambda count: house.complete("pooled", "A", max_tokens=count), wanted))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == wanted
    assert {answer["choices"][0]["finish_reason"] for answer in answers} == {"length"}


# callers who leave


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_leaves_stops_the_engine(house: House, stream: bool) -> None:  # noqa: FBT001
    before = len(house.cancelled("crowded"))
    endless = {"model": "crowded", "prompt": "Count.", "max_tokens": 1000, "stream": stream}
    if stream:
        with house.http.stream("POST", COMPLETIONS, json=endless) as answer:
            assert next(answer.iter_bytes())
    else:
        with pytest.raises(httpx.ReadTimeout):
            house.http.post(COMPLETIONS, json=endless, timeout=0.05)

    assert eventually(lambda: len(house.cancelled("crowded")) > before, 5)
    row = house.cancelled("crowded")[-1]
    assert row["outcome"] == "client_cancelled"
    assert row["output_tokens"] < 1000
    house.until_idle("crowded")
    assert house.complete("crowded", "next", max_tokens=1)["usage"]["completion_tokens"] == 1

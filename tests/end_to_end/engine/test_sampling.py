"""How tokens are chosen, as callers steer it, and what the model thought of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import CHAT, COMPLETIONS, conversation

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.end_to_end.engine.house import House

ASK: Any = {**conversation("steady", "Name a river."), "max_tokens": 24}
LOGPROBS: Any = ASK | {"logprobs": True, "top_logprobs": 10}


def said(house: House, **changed: object) -> str:
    return str(house.asked(CHAT, ASK | changed)["choices"][0]["message"]["content"])


# what the model thought


@pytest.mark.parametrize("temperature", [0, 1])
def test_logprobs_spell_the_answer(house: House, temperature: int) -> None:
    ask = LOGPROBS | {"temperature": temperature, "seed": 1}
    (choice,) = house.asked(CHAT, ask)["choices"]
    tokens = choice["logprobs"]["content"]
    assert len(tokens) == 24
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == choice["message"]["content"]
    for token in tokens:
        top = [one["logprob"] for one in token["top_logprobs"]]
        assert len(top) == 10
        assert top == sorted(top, reverse=True)
        assert top[0] <= 0
        assert token["logprob"] <= top[0]
        assert sum(map(math.exp, top)) <= 1.0001
    if temperature == 0:
        assert all(token["token"] == token["top_logprobs"][0]["token"] for token in tokens)


def test_a_stream_has_the_logprobs_of_the_whole(house: House, client: OpenAI) -> None:
    whole = house.asked(CHAT, LOGPROBS)["choices"][0]["logprobs"]["content"]
    assert house.stream(CHAT, LOGPROBS).logprobs() == whole
    told = client.chat.completions.create(**LOGPROBS).choices[0].logprobs
    assert told is not None
    assert [token.token for token in told.content or []] == [token["token"] for token in whole]


def test_parts_of_a_character_have_logprobs_too(house: House) -> None:
    """The script's tokens are cut within letters: their bytes add up, whichever chunk they come with."""
    ask = conversation("scripted", "A") | {"logprobs": True}
    (whole,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    for tokens in (whole["logprobs"]["content"], stream.logprobs()):
        # The token that ends the text is none of the text.
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == whole["message"]["content"]
        assert all(token["top_logprobs"] == [] for token in tokens)


def test_logprobs_do_not_know_of_settings(house: House) -> None:
    """They are the model's own: a bias that changes every token does not change what the model thinks of it."""
    first, *_ = house.asked(CHAT, LOGPROBS)["choices"][0]["logprobs"]["content"]
    second = first["top_logprobs"][1]
    (token,) = second["bytes"]
    biased = house.asked(CHAT, LOGPROBS | {"logit_bias": {str(token): 100}, "max_tokens": 1})
    (chosen,) = biased["choices"][0]["logprobs"]["content"]
    assert (chosen["token"], chosen["logprob"]) == (second["token"], pytest.approx(second["logprob"], abs=1e-4))


def test_completions_have_them_in_four_lists(house: House) -> None:
    ask = {"model": "steady", "prompt": "The sea", "temperature": 0, "max_tokens": 8, "logprobs": 3}
    (choice,) = house.asked(COMPLETIONS, ask)["choices"]
    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    assert [len(told[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")] == [8] * 4
    assert told["text_offset"] == [len("".join(told["tokens"][:at])) for at in range(8)]
    for token, logprob, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert top[token] == logprob == max(top.values())
    chunks = [one["logprobs"] for one in house.stream(COMPLETIONS, ask).choices() if one["logprobs"]]
    for name, values in told.items():
        assert [value for chunk in chunks for value in chunk[name]] == values


def test_nobody_gets_logprobs_unasked(house: House) -> None:
    assert house.asked(CHAT, ASK)["choices"][0]["logprobs"] is None
    assert house.stream(CHAT, ASK).logprobs() == []


# biases


def test_what_is_banned_never_comes(house: House) -> None:
    usual = said(house)
    banned = {str(byte): -100 for byte in usual.encode()}
    other = said(house, logit_bias=banned, temperature=1, max_tokens=100)
    singles = [
        one["bytes"]
        for one in house.asked(
            CHAT, ASK | {"logit_bias": banned, "temperature": 1, "max_tokens": 100, "logprobs": True}
        )["choices"][0]["logprobs"]["content"]
    ]
    assert other
    assert not {byte for token in singles if len(token) == 1 for byte in token} & set(usual.encode())


def test_what_is_favoured_comes_always(house: House) -> None:
    assert said(house, logit_bias={str(ord("q")): 100}) == "q" * 24
    assert said(house, logit_bias={str(ord("q")): 100}, temperature=1, seed=1) == "q" * 24


# settings


def test_one_likeliest_token_leaves_nothing_to_chance(house: House) -> None:
    usual = said(house)
    for settings in ({"top_k": 1}, {"top_p": 0}, {"min_p": 1}):
        assert said(house, temperature=1, seed=8, **settings) == usual


def test_settings_reach_the_choice(house: House) -> None:
    """Each makes another text than none of them, with the same seed."""
    usual = said(house, temperature=1.5, seed=3, top_k=0)
    for settings in ({"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.2}, {"seed": 4}):
        assert said(house, **{"temperature": 1.5, "seed": 3, "top_k": 0} | settings) != usual


@pytest.mark.parametrize("penalty", [{"presence_penalty": 2}, {"frequency_penalty": 2}, {"repeat_penalty": 10}])
def test_penalties_make_for_variety(house: House, penalty: dict[str, float]) -> None:
    """On top of a bias without which nothing would be repeated at all."""
    favoured = {"logit_bias": {str(byte): 3 for byte in b"abcdefgh"}, "max_tokens": 64}
    usual, varied = said(house, **favoured), said(house, **favoured, **penalty)
    assert len(set(varied)) > len(set(usual))


def test_negative_penalties_make_for_repetition(house: House) -> None:
    ask = {"temperature": 1, "seed": 2, "max_tokens": 64}
    usual, repeated = said(house, **ask), said(house, **ask, frequency_penalty=-2)
    assert max(map(repeated.count, repeated)) > 2 * max(map(usual.count, usual))

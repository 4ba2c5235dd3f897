"""One model with and without a LoRA adapter: callers choose by name, and those of both are served side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import CHAT, COMPLETIONS, conversation

if TYPE_CHECKING:
    from tests.end_to_end.engine.house import House

PROMPT = "Look into the glass"


def said(house: House, model: str, prompt: str = PROMPT) -> str:
    return str(house.complete(model, prompt, max_tokens=24)["choices"][0]["text"])


def test_an_adapter_changes_what_is_said(house: House) -> None:
    plain, loud = said(house, "styled"), said(house, "loud")
    assert plain != loud
    assert [said(house, "styled"), said(house, "loud")] == [plain, loud]


def test_answers_name_the_adapter(house: House) -> None:
    assert house.complete("loud", PROMPT)["model"] == "styled:loud"
    stream = house.stream(CHAT, conversation("loud", PROMPT) | {"max_tokens": 4})
    assert {chunk["model"] for chunk in stream.chunks} == {"styled:loud"}


def test_callers_of_both_at_once_get_each_their_own(house: House) -> None:
    asks = [(model, f"{PROMPT} {number // 2}") for number in range(4) for model in ("styled", "loud")]
    alone = [said(house, *ask) for ask in asks]
    with ThreadPoolExecutor(len(asks)) as crowd:
        assert list(crowd.map(lambda ask: said(house, *ask), asks)) == alone


def test_what_one_of_them_has_read_is_of_no_use_to_the_other(house: House) -> None:
    """Cells that were computed with an adapter hold other numbers."""
    long: Any = {"prompt": "the sun and the moon " * 20, "temperature": 0, "max_tokens": 2}

    def known(model: str) -> int:
        usage = house.asked(COMPLETIONS, long | {"model": model})["usage"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    assert known("styled") == 0
    assert known("loud") == 0
    assert known("styled") > 0
    assert known("loud") > 0


@pytest.mark.parametrize("model", ["styled:quiet", "styled:loud", "loud:loud", "styled:", ":loud"])
def test_only_what_the_policy_offers_can_be_asked_for(house: House, model: str) -> None:
    error = house.refused(COMPLETIONS, {"model": model, "prompt": PROMPT}, 404)
    assert error["code"] == "model_not_found"

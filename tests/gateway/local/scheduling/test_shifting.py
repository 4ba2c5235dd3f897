"""Answers that outgrow their slot, with a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.llama_cpp_job import Finished, Job, Sampling
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from gateway.local.binding.llama import Model

SHIFTS = tuned(slots=2, context_tokens=128, batch_tokens=64, on_overflow="shift")
LETTERS = "The quick brown fox jumps over the lazy dog"
LONG = Job(1, prompt=LETTERS, sampling=GREEDY, max_tokens=400, ignore_eos=True)


def end_of(rig: Rig, job: int) -> Finished:
    (end,) = rig.ends(job)
    assert isinstance(end, Finished)
    return end


@pytest.mark.parametrize("changes", [{}, {"unified": True}, {"deterministic": True}], ids=["moved", "pool", "grid"])
def test_an_answer_may_outgrow_its_slot(tiny_model: Model, changes: dict[str, bool]) -> None:
    with Rig(tiny_model, msgspec.structs.replace(SHIFTS, **changes)) as rig:
        ((text,),) = rig.run(LONG)
        end = end_of(rig, 1)
        assert (end.reason, end.completion_tokens) == ("length", 400)
        assert len(text) > 200
        whole = rig.started(1).prompt_tokens + 400
        assert whole - end.shifted_tokens <= rig.context.context_tokens + 1
        assert end.shifted_tokens > whole - rig.context.context_tokens
        rig.at_rest()


def test_an_answer_that_fits_is_not_touched(tiny_model: Model) -> None:
    short = msgspec.structs.replace(LONG, max_tokens=60)
    with Rig(tiny_model, SHIFTS) as rig:
        texts = rig.run(short)
        assert end_of(rig, 1).shifted_tokens == 0
    with Rig(tiny_model, msgspec.structs.replace(SHIFTS, on_overflow="error")) as rig:
        assert rig.run(short) == texts


def test_without_shifting_the_end_of_the_context_is_the_end(tiny_model: Model) -> None:
    with Rig(tiny_model, msgspec.structs.replace(SHIFTS, on_overflow="error")) as rig:
        rig.run(LONG)
        end = end_of(rig, 1)
        assert end.reason == "length"
        assert rig.started(1).prompt_tokens + end.completion_tokens == rig.context.context_tokens
        assert end.shifted_tokens == 0


def test_shifted_text_is_shared_with_nobody(tiny_model: Model) -> None:
    """A prompt that begins as the shifted text does now reads all of it: what those cells saw is gone."""
    with Rig(tiny_model, SHIFTS) as rig:
        rig.run(LONG)
        (slot,) = [slot for slot in rig.engine._slots.slots if slot.known]
        rig.run(Job(2, prompt_tokens=tuple(slot.tokens[:100]), sampling=GREEDY, max_tokens=2))
        assert rig.started(2).cached_tokens == 0
        rig.at_rest()


@pytest.mark.parametrize("unified", [False, True])
def test_others_are_not_disturbed(tiny_model: Model, *, unified: bool) -> None:
    """Another choice of the same prompt, whose cells it shares, ends before and says what it says alone."""
    tuning = msgspec.structs.replace(SHIFTS, unified=unified, context_tokens=256 if unified else 128)
    calm = Job(2, prompt=LETTERS, sampling=Sampling(temperature=0.5, seed=3), max_tokens=60)
    with Rig(tiny_model, tuning) as rig:
        expected = rig.run(calm)
    with Rig(tiny_model, tuning) as rig:
        rig.submit(LONG)
        rig.until(lambda: rig.engine.standing().written_tokens > 40)
        rig.submit(calm)
        rig.until(lambda: rig.is_over(LONG) and rig.is_over(calm))
        assert [rig.texts(calm)] == expected
        assert end_of(rig, 1).shifted_tokens > 0
        rig.at_rest()


def test_what_is_moved_stays_close_to_what_is_read(model: Model) -> None:
    """The same remaining text, moved and read anew: nearly the same likeliest tokens."""
    import numpy as np  # noqa: PLC0415 - only this test needs it

    from gateway.local.binding.context import Context, Part  # noqa: PLC0415 - loads llama.cpp

    text = model.tokenize(f"{LETTERS}. " * 8)[:90]
    context = Context(model, SHIFTS)
    context.read([Part(0, text[:60], 0)])
    assert context.drop(0, 10, 40)
    assert context.end(0) == 30
    moved = context.read([Part(0, text[60:], 1)])[0].copy()
    context.clear(0)
    read = context.read([Part(0, text[:10] + text[40:], 1)])[0]
    assert int(np.argmax(moved)) in np.argsort(-read)[:3]
    context.close()

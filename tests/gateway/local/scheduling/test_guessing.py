"""Guesses in a whole engine with a tiny model that may write few letters: some guesses hold, and some do not.

Rows are taken to be free, so that all guesses are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.llama_cpp_job import Delta, Finished, Job, Sampling
from tests.gateway.local.scheduling.engine_rig import Rig, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning

VERSE = "One for sorrow, two for joy, three for a girl, four for a boy. "
GUESSING = tuned(context_tokens=320)


def jobs_of(model: Model) -> list[Job]:
    bias = tuple((token, 90.0) for token in model.tokenize("abc", begins=False))
    greedy = Sampling(temperature=0, logit_bias=bias)
    seeded = Sampling(temperature=0.3, seed=5, logit_bias=bias)
    frugal = Sampling(temperature=0, frequency_penalty=0.05, logit_bias=bias)
    told = Sampling(temperature=0, top_logprobs=2, logit_bias=bias)
    return [
        Job(1, prompt=VERSE * 3, sampling=greedy, max_tokens=60),
        Job(2, prompt=VERSE * 2 + "One for", sampling=seeded, max_tokens=50),
        Job(3, prompt="abcabcabcabc", sampling=frugal, max_tokens=45),
        Job(4, prompt=VERSE, sampling=told, max_tokens=40, choices=2),
    ]


def guessing_rig(model: Model, tuning: Tuning) -> Rig:
    rig = Rig(model, tuning)
    rig.engine._gauges.call_times.by_rows = lambda: {1: 1.0, 1000: 1.0}  # type: ignore[method-assign]
    return rig


@pytest.fixture(scope="module")
def jobs(tiny_model: Model) -> list[Job]:
    return jobs_of(tiny_model)


@pytest.fixture
def rig(tiny_model: Model) -> Iterator[Rig]:
    with guessing_rig(tiny_model, GUESSING) as rig:
        yield rig


@pytest.mark.parametrize("unified", [False, True])
def test_guesses_change_no_answer(tiny_model: Model, jobs: list[Job], *, unified: bool) -> None:
    """Greedy, seeded, with penalties and log-probabilities: token for token, in fewer steps."""
    tuning = msgspec.structs.replace(GUESSING, unified=unified)
    with Rig(tiny_model, msgspec.structs.replace(tuning, speculate=False)) as rig:
        expected, usual_steps = rig.run(*jobs), rig.engine.steps
        logprobs = [event.logprobs for event in rig.events if isinstance(event, Delta) and event.job == 4]
        assert rig.engine.standing().guessed_tokens == 0
    with guessing_rig(tiny_model, tuning) as rig:
        assert rig.run(*jobs) == expected
        standing = rig.engine.standing()
        assert 20 < standing.accepted_tokens < standing.guessed_tokens
        assert rig.engine.steps < usual_steps
        assert standing.written_tokens == 60 + 50 + 45 + 2 * 40
        told = [event.logprobs for event in rig.events if isinstance(event, Delta) and event.job == 4]
        assert sum(map(len, told)) == sum(map(len, logprobs)) == 80
        ends = {job.id: rig.ends(job.id) for job in jobs}
        assert [end.completion_tokens for end in ends[1] + ends[4] if isinstance(end, Finished)] == [60, 40, 40]
        rig.at_rest()


def test_a_stop_string_within_guesses_ends_the_text(rig: Rig, jobs: list[Job]) -> None:
    ((whole,),) = rig.run(jobs[1])
    assert rig.engine.standing().accepted_tokens > 5
    stop = whole[-6:]
    ((cut,),) = rig.run(msgspec.structs.replace(jobs[1], id=9, stop=(stop,)))
    assert cut == whole[: whole.index(stop)]
    rig.at_rest()


def test_what_was_guessed_wrongly_is_known_to_nobody(rig: Rig, jobs: list[Job]) -> None:
    """A text goes on from cells in which guesses had stood as if none had been made."""
    ((text,),) = rig.run(jobs[1])
    assert rig.engine.standing().guessed_tokens > rig.engine.standing().accepted_tokens
    longer = msgspec.structs.replace(jobs[1], id=8, prompt=f"{jobs[1].prompt}{text}", max_tokens=20)
    rig.run(longer)
    assert rig.started(8).cached_tokens >= rig.started(8).prompt_tokens - 2
    with Rig(rig.engine._computing._model, msgspec.structs.replace(GUESSING, speculate=False)) as fresh:
        assert fresh.run(longer) == [rig.texts(longer)]


def test_nothing_is_guessed_beyond_the_last_token_and_the_end_of_the_context(rig: Rig, jobs: list[Job]) -> None:
    read, widest = rig.context.read, [0]

    def noted(parts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        for part in parts:
            widest[0] = max(widest[0], rig.context.end(part.slot) + len(part.tokens))
        return read(parts)

    rig.context.read = noted  # type: ignore[method-assign]
    rig.run(msgspec.structs.replace(jobs[0], max_tokens=None))
    (end,) = rig.ends(1)
    assert isinstance(end, Finished)
    assert end.reason == "length"
    assert end.completion_tokens + rig.started(1).prompt_tokens == rig.context.context_tokens
    assert widest[0] < rig.context.context_tokens
    rig.at_rest()


@pytest.mark.parametrize("changes", [{"deterministic": True}, {"speculate": False}])
def test_who_must_not_guess_does_not(tiny_model: Model, jobs: list[Job], changes: dict[str, bool]) -> None:
    with guessing_rig(tiny_model, msgspec.structs.replace(GUESSING, **changes)) as rig:
        rig.run(jobs[0])
        assert rig.engine.standing().guessed_tokens == 0


def test_a_model_that_cannot_take_back_does_not_guess(tiny_model: Model) -> None:
    from gateway.local.scheduling.guessing import Guessing  # noqa: PLC0415 - loads llama.cpp

    with Rig(tiny_model) as rig:
        rig.context.can_copy = False
        assert not Guessing(rig.context, rig.engine._gauges, is_on=True).is_on
        rig.context.can_copy = True


def test_guessing_begins_only_where_it_is_measured_to_pay(tiny_model: Model, jobs: list[Job]) -> None:
    with Rig(tiny_model, GUESSING) as rig:
        rig.engine._gauges.call_times.by_rows = lambda: {1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}  # type: ignore[method-assign]
        rig.run(jobs[0])
        assert rig.engine.standing().guessed_tokens == 0

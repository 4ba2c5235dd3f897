"""When an answer depends on its request alone, and how little it depends on others where it does.

llama.cpp's arithmetic is not the same for every size of batch. With `deterministic` the engine keeps to what is, on a
processor, and answers are equal token for token. Otherwise no more is promised than that logits stay close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from adapters.llama_cpp_job import Job, Sampling
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning

    Rows: TypeAlias = NDArray[np.float32]

HANDBOOK = "The lighthouse keeper writes down every ship, its flag, its cargo and the weather of the day. " * 5
JOBS = [
    Job(1, prompt="Once upon a time there was", sampling=GREEDY, max_tokens=14),
    Job(2, prompt="A list of colours: red,", sampling=Sampling(temperature=1.0, seed=7), max_tokens=14),
    Job(3, prompt=f"{HANDBOOK}Monday:", sampling=GREEDY, max_tokens=10),
    Job(4, prompt=f"{HANDBOOK}Tuesday:", sampling=Sampling(temperature=0.8, top_p=0.9, seed=3), max_tokens=10),
    Job(5, prompt=f"{HANDBOOK}Monday:", sampling=Sampling(temperature=1.2, seed=11), max_tokens=10, choices=2),
    Job(6, prompt="The capital of France is", sampling=Sampling(temperature=1.0, min_p=0.1, seed=5), max_tokens=14),
]
# With flash attention the size of a chunk shows in the last bits: the harder case, in which the usual mode does differ.
DETERMINISTIC = tuned(deterministic=True, slots=4, context_tokens=512, flash_attention=True)


def alone(model: Model, job: Job) -> list[str]:
    """What the job's choices are in an engine that never saw another one."""
    with Rig(model, DETERMINISTIC) as rig:
        return rig.run(job)[0]


@pytest.fixture(scope="module")
def expected(model: Model) -> list[list[str]]:
    return [alone(model, job) for job in JOBS]


def test_answers_are_the_same_under_load(model: Model, expected: list[list[str]]) -> None:
    """More runs than slots, prompts that share their beginnings, all at once."""
    with Rig(model, DETERMINISTIC) as rig:
        assert rig.run(*JOBS) == expected
        assert rig.engine.standing().cached_tokens > 0


def test_answers_are_the_same_whatever_the_slots_still_know(model: Model, expected: list[list[str]]) -> None:
    with Rig(model, DETERMINISTIC) as rig:
        for number in (5, 4, 3, 2, 4, 1):
            again = msgspec.structs.replace(JOBS[number], id=100 + len(rig.events))
            assert rig.run(again) == [expected[number]], again
        assert rig.engine.standing().cached_tokens > 0


def test_answers_are_the_same_when_others_come_in_between(model: Model, expected: list[list[str]]) -> None:
    """A long prompt arrives while the first writes, and others leave in the middle."""
    with Rig(model, DETERMINISTIC) as rig:
        rig.submit(JOBS[0])
        rig.until(lambda: len(rig.texts(JOBS[0])[0]) > 5)
        leaver = rig.submit(Job(50, prompt=HANDBOOK * 2, sampling=GREEDY, max_tokens=64))
        rig.submit(JOBS[3])
        rig.until(lambda: any(event.job == 4 for event in rig.events))
        leaver.cancelled = True
        rig.submit(JOBS[1])
        rig.until(lambda: all(map(rig.is_over, (JOBS[0], JOBS[3], JOBS[1]))))
        assert [rig.texts(JOBS[number]) for number in (0, 3, 1)] == [expected[number] for number in (0, 3, 1)]


# --- elsewhere ---


def forced(model: Model, tuning: Tuning, chunk_tokens: int, others: int) -> Rows:
    """The logits along one fixed text: its beginning in chunks, then token by token beside so many other sequences."""
    from gateway.local.binding.context import Context, Part  # noqa: PLC0415 - loads llama.cpp

    text = model.tokenize(
        f"{HANDBOOK}On Monday the sea was calm, and the ferry from the island came at nine in the morning."
    )
    begin = len(text) - 14
    context = Context(model, tuning)
    for at in range(0, begin, chunk_tokens):
        context.read([Part(0, text[at : min(at + chunk_tokens, begin)], 0)])
    for slot in range(1, others + 1):
        context.read([Part(slot, text[slot : slot + 40], 0)])
    rows = []
    for number, token in enumerate(text[begin:]):
        parts = [Part(0, [token], 1), *(Part(slot, [text[slot + number]], 1) for slot in range(1, others + 1))]
        rows.append(context.read(parts)[0].copy())
    context.close()
    return np.array(rows)


def distance(one: Rows, other: Rows) -> float:
    """The largest difference of a logit, position by position: the median of them."""
    return float(np.median(np.abs(one - other).max(axis=1)))


def test_with_split_cells_writing_beside_others_changes_nothing_at_all(model: Model) -> None:
    usual = tuned(slots=4, context_tokens=512)
    assert np.array_equal(forced(model, usual, 64, 0), forced(model, usual, 64, 3))


def test_rows_of_guesses_are_close_to_those_of_single_tokens(model: Model) -> None:
    """With flash attention they are the same; without it llama.cpp sums up a chunk in another order than one token."""
    from gateway.local.binding.context import Context, Part  # noqa: PLC0415 - loads llama.cpp

    text = model.tokenize(HANDBOOK)[:80]

    def along(width: int, *, flash_attention: bool) -> Rows:
        context = Context(model, tuned(slots=1, flash_attention=flash_attention))
        context.read([Part(0, text[:64], 0)])
        parts = [Part(0, text[at : at + width], width) for at in range(64, 80, width)]
        rows = np.concatenate([context.read([part]).copy() for part in parts])
        context.close()
        return rows

    assert distance(along(1, flash_attention=False), along(4, flash_attention=False)) < 1.5
    assert distance(along(1, flash_attention=True), along(8, flash_attention=True)) < 0.1


def test_elsewhere_logits_stay_close(model: Model) -> None:
    """Chunks of other sizes, and cells that all share: the same distribution, not the same bits."""
    reference = forced(model, tuned(slots=4, context_tokens=512), 64, 0)
    chunked = forced(model, tuned(slots=4, context_tokens=512, flash_attention=True), 48, 0)
    unified = forced(model, tuned(slots=4, context_tokens=512, unified=True), 64, 3)
    assert distance(reference, chunked) < 1.5
    assert distance(reference, unified) < 1.5
    assert distance(reference, reference[::-1]) > 5.0  # what another place in the text would make of it

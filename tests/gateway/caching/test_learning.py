from __future__ import annotations

import math

import msgspec
import pytest

from gateway.caching.learning import KNOWN_MAX, Learning, Where, read
from gateway.state.answers.in_process import InProcessAnswers
from policies.caching import Experience, Verdict

FAQ = Where("faq", "team:acme/shop", "minilm")
SERVED = Verdict(0, 0.01, 0.02, serves=True, log_odds=-4.6)


async def test_each_place_learns_for_itself() -> None:
    learning = Learning(InProcessAnswers())
    learning.decided(FAQ, SERVED)
    for other in (FAQ._replace(owner="all"), FAQ._replace(route="x"), FAQ._replace(embedder="e5")):
        assert await learning.experience(other) == Experience()
        assert other.name != FAQ.name
    assert (await learning.experience(FAQ)).spent == 0.01


async def test_requests_that_needed_no_verdict_count() -> None:
    learning = Learning(InProcessAnswers())
    await learning.experience(FAQ)
    for _ in range(3):
        learning.passed(FAQ)
    learning.decided(FAQ, SERVED)
    found, before = await learning.experience(FAQ), Experience()
    assert (found.requests, found.weight - before.weight) == (4.0, 4.0)
    assert sum(found.seen) - sum(before.seen) == pytest.approx(1.0)


async def test_labels_move_what_is_decided_by() -> None:
    learning = Learning(InProcessAnswers())
    for _ in range(20):
        learning.decided(FAQ, SERVED)
    before = (await learning.experience(FAQ)).lessons.shift
    learning.labelled(FAQ, -4.6, wrong=True)
    learning.reported(FAQ)
    found = (await learning.experience(FAQ)).lessons
    assert found.shift > before
    assert (found.wrong, found.reports) == (1.0, 1.0)


async def test_what_was_learnt_outlives_the_process() -> None:
    store = InProcessAnswers()
    learning = Learning(store)
    learning.start()
    learning.decided(FAQ, SERVED)
    learning.reported(FAQ)
    before = await learning.experience(FAQ)
    await learning.close()
    assert await Learning(store).experience(FAQ) == before


async def test_what_is_known_is_bounded() -> None:
    learning = Learning(InProcessAnswers())
    for number in range(KNOWN_MAX + 5):
        await learning.experience(FAQ._replace(owner=str(number)))
    assert len(list(learning.all())) == KNOWN_MAX


async def test_who_is_crowded_out_is_remembered_and_what_comes_late_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check may come back when many others have been before: what was learnt is neither lost nor begun anew."""
    monkeypatch.setattr("gateway.caching.learning.KNOWN_MAX", 2)
    learning = Learning(InProcessAnswers())
    await learning.experience(FAQ)
    learning.decided(FAQ, SERVED)
    for number in range(3):
        await learning.experience(FAQ._replace(owner=str(number)))
    assert FAQ not in dict(learning.all())
    learning.reported(FAQ)
    found = await learning.experience(FAQ)
    assert (found.requests, found.lessons.reports) == (1.0, 1.0)
    await learning.remember()
    for number in range(3):
        await learning.experience(FAQ._replace(owner=str(number)))
    learning.reported(FAQ)
    await learning.remember()
    found = await learning.experience(FAQ)
    assert (found.requests, found.lessons.reports) == (1.0, 2.0)


def written(**changes: object) -> bytes:
    found = msgspec.to_builtins(Experience().after(SERVED))
    return msgspec.json.encode(found | changes)


@pytest.mark.parametrize(
    "state",
    [
        None,
        b"",
        b"{}[]",
        b"[" * 100_000,
        written(requests=-1.0),
        written(seen=[0.0]),
        written(served=[-1.0] * 96),
        written(spent="a lot"),
        written(lessons={"learnt": []}),
        written(lessons={"shift": 10_000}),
        written(lessons={"shift": -10_000}),
        written(requests=1e300),
        written().replace(b'"requests":1.0', b'"requests":1e999'),
    ],
)
def test_what_is_no_experience_is_none(state: bytes | None) -> None:
    assert read(state) == Experience()


def test_what_was_written_is_read() -> None:
    assert read(written()) == Experience().after(SERVED)
    assert math.isfinite(read(written()).spent)

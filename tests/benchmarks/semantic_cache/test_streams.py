"""The benchmark's own arithmetic, and the promise that it prints."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.semantic_cache import data
from benchmarks.semantic_cache.intervals import wilson
from benchmarks.semantic_cache.pairs import by_budget, chats_in_one_scope
from benchmarks.semantic_cache.report import BUDGETS
from benchmarks.semantic_cache.streams import Budgeted, Cosine, Outcome, Part, Stream, load
from policies.cache_curves import SHIPPED, curve_of

needs_data = pytest.mark.skipif(data.missing() is not None, reason=data.missing() or "")


def test_the_interval_is_wilsons() -> None:
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0)


def test_only_misses_are_stored_and_every_hit_is_counted_as_right_or_wrong() -> None:
    questions = [data.Question("one", 1), data.Question("one again", 1), data.Question("like one", 2)]
    stream = Stream(questions, np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 1.0], [0.9, 1.0, 1.0]], np.float32))
    assert stream.run(Cosine(0.8)) == Outcome(requests=3, correct=1, wrong=1)
    assert stream.run(Cosine(0.95)) == Outcome(requests=3, correct=0, wrong=1)
    assert stream.run(Cosine(0.8), Part.ODD) == Outcome(requests=1, correct=1, wrong=0)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", data.STREAMS)
def test_budgets_are_kept_on_both_streams_with_one_configuration(name: str) -> None:
    pytest.importorskip("onnxruntime")
    stream = load(name)
    for budget in (one for one in BUDGETS if one >= 0.01):
        found = stream.run(Budgeted(SHIPPED[0], budget))
        assert wilson(found.wrong, found.requests)[1] <= 1.5 * budget
        assert found.correct > 0.2 * found.requests


@needs_data
def test_no_trap_of_the_conversations_shares_a_scope() -> None:
    traps, alike, _ = chats_in_one_scope()
    assert traps > 0
    assert alike == 0


@needs_data
@pytest.mark.slow
def test_few_traps_are_served_and_many_of_the_rest() -> None:
    pytest.importorskip("onnxruntime")
    found = by_budget(curve_of(SHIPPED[0].embedder), 0.01)
    assert found.traps_served <= 0.05 * found.traps
    assert found.should_served >= 0.4 * found.should

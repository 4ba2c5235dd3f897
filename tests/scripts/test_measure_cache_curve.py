"""A curve and a guess of traffic from a small made-up stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.semantic_cache import data
from benchmarks.semantic_cache.streams import Part, Stream
from policies.cache_curves import PER_PRIOR
from scripts import measure_cache_curve

if TYPE_CHECKING:
    import pytest


def made_up(count: int = 600) -> Stream:
    """Questions about forty topics; what is near is mostly of the same topic."""
    rng = np.random.default_rng(5)
    topics = rng.normal(size=(40, 24))
    about = rng.integers(40, size=count)
    vectors = topics[about] + 0.45 * rng.normal(size=(count, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = np.where(rng.random(count) < 0.1, 1000 + np.arange(count), about)
    questions = [data.Question(f"what about it, {'ab'[number % 2]}?", int(one)) for number, one in enumerate(answers)]
    return Stream(questions, (vectors @ vectors.T).astype(np.float32))


def test_a_curve_is_measured_on_what_the_cache_looks_at() -> None:
    stream = made_up()
    fitted = measure_cache_curve.measure([stream])
    assert fitted.curve.per_distance > 0.0
    assert 0 < fitted.wrong < fitted.observations < len(stream.questions)
    even = measure_cache_curve.observe(stream, fitted.curve, Part.EVEN)
    odd = measure_cache_curve.observe(stream, fitted.curve, Part.ODD)
    assert len(even) + len(odd) == len(measure_cache_curve.observe(stream, fitted.curve))


def test_the_guess_of_traffic_counts_each_request_once_at_most() -> None:
    stream = made_up()
    guess = measure_cache_curve.prior([stream], measure_cache_curve.START)
    assert len(guess) == PER_PRIOR
    assert 0 < sum(guess) <= 10_000


def test_without_data_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(data, "missing", lambda: "nothing there")
    assert measure_cache_curve.main() == 1
    assert "nothing there" in capsys.readouterr().err

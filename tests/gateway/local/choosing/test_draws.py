from __future__ import annotations

import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.llama_cpp_job import Sampling
from gateway.local.choosing.draws import Support, draw, draw_from, race, support_of

SIZE = 700
CHANCES = np.array([0.5, 0.25, 0.125, 0.125])
SUPPORT = Support(np.array([3, 5, 7, 9]), np.log(CHANCES))
TIMES = 4000


def near(share: float, chance: float) -> bool:
    return abs(share - chance) < 4.5 * math.sqrt(chance * (1 - chance) / TIMES) + 1e-9


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.01, 0.3, 1.0, 2.0]),
        top_k=st.sampled_from([0, 1, 5, 40, 5000]),
        top_p=st.sampled_from([0.0, 0.1, 0.6, 0.95, 1.0]),
        min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    ),
    st.integers(0, 2**32),
    st.sampled_from([0.1, 1.0, 4.0]),
)
def test_the_quick_way_leaves_what_sorting_everything_would(sampling: Sampling, seed: int, width: float) -> None:
    row = (np.random.default_rng(seed).standard_normal(SIZE) * width).astype(np.float32)
    assume(len(set(row.tolist())) == SIZE)
    order = np.argsort(-row)[: sampling.top_k or None]
    chances = np.exp(row[order].astype(np.float64) - row.max())
    before = (np.cumsum(chances) - chances) / chances.sum()
    assume(np.abs(before - sampling.top_p).min() > 1e-6)
    kept = (before < max(sampling.top_p, 1e-12)) & (chances >= sampling.min_p)
    found = support_of(row, float(row.max()), sampling)
    plain = {token for token in order[kept].tolist() if row[token] > row.max() - 29 * min(1.0, sampling.temperature)}
    assert plain <= set(found.tokens.tolist()) <= set(order[kept].tolist())
    assert found.tokens.tolist() == sorted(found.tokens.tolist())
    assert found.logits * sampling.temperature == pytest.approx(row[found.tokens] - row.max(), abs=1e-5)


def test_of_equal_tokens_the_first_stay_in() -> None:
    row = np.zeros(100, np.float32)
    assert support_of(row, 0.0, Sampling(top_k=3)).tokens.tolist() == [0, 1, 2]


def test_a_token_is_drawn_by_its_chance() -> None:
    rng = Random(1)
    drawn = Counter(draw(SUPPORT, rng) for _ in range(TIMES))
    assert all(near(drawn[token] / TIMES, chance) for token, chance in zip((3, 5, 7, 9), CHANCES, strict=True))


def test_a_whole_row_is_drawn_from_by_chance() -> None:
    """Tokens come out as often as they should, at whatever border of a block of the vocabulary they lie."""
    row = np.full(SIZE, -40.0, np.float32)
    places = [0, 255, 256, SIZE - 1]
    row[places] = np.log(CHANCES)
    rng = Random(2)
    sampling = Sampling(top_k=0)
    drawn = Counter(draw_from(row, float(row.max()), sampling, rng) for _ in range(TIMES))
    assert all(near(drawn[token] / TIMES, chance) for token, chance in zip(places, CHANCES, strict=True))


@pytest.mark.parametrize("passing", [(5, 7), (7, 9), (3, 9)])
def test_the_first_in_a_race_that_passes_a_test_is_drawn_as_from_those_that_pass(passing: tuple[int, ...]) -> None:
    rng = Random(3)
    firsts = Counter(next(token for token in race(SUPPORT, rng).tolist() if token in passing) for _ in range(TIMES))
    chances = {token: chance for token, chance in zip((3, 5, 7, 9), CHANCES, strict=True) if token in passing}
    assert all(near(firsts[token] / TIMES, chance / sum(chances.values())) for token, chance in chances.items())


def test_a_race_is_run_by_all_once() -> None:
    assert sorted(race(SUPPORT, Random(4)).tolist()) == [3, 5, 7, 9]

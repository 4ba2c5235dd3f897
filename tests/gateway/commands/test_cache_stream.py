from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.commands.cache_stream import Answer, Asked, How, run_stream, share
from policies.cache_curves import SHIPPED, Curve

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector

CURVE = SHIPPED[0]


def vector(*parts: float) -> Vector:
    made = np.zeros(8, np.float32)
    made[: len(parts)] = parts
    return made / np.linalg.norm(made)


def test_what_is_not_served_is_stored_and_what_comes_again_is_a_hit() -> None:
    stream = [
        Asked("How do canaries sing?", "sing", vector(1)),
        Asked("Where do canaries nest?", "nest", vector(0, 1)),
        Asked("How do canaries sing?", "sing", vector(1)),
        Asked("Where do canaries nest?", "nest", vector(0, 1)),
    ]
    seen, ran = run_stream(stream, How(), CURVE)
    assert (ran.hits.count, ran.wrong.count, ran.hits.of) == (2, 0, 4)
    assert [(one.similarity, one.wrong) for one in seen] == [(0.0, True), (1.0, False), (1.0, False)]
    assert [round(one.next_similarity, 3) for one in seen] == [0.0, 0.0, 0.0]


def test_a_hit_with_another_answer_is_a_wrong_one() -> None:
    stream = [Asked("Canaries?", "song", vector(1)), Asked("Canaries?", "food", vector(1))]
    _, ran = run_stream(stream, How(), CURVE)
    assert (ran.hits.count, ran.wrong.count) == (1, 1)


def test_what_the_words_rule_out_is_no_candidate() -> None:
    stream = [Asked("Are 3 canaries loud?", "3", vector(1)), Asked("Are 4 canaries loud?", "4", vector(1))]
    assert run_stream(stream, How(), CURVE) == ([], run_stream(stream, How(), CURVE)[1])


def test_a_budget_that_allows_nothing_serves_nothing() -> None:
    stream = [Asked("Canaries?", "a", vector(1)) for _ in range(5)]
    seen, ran = run_stream(stream, How(budget=0.0), Curve("", 0.0, 0.0))
    assert (ran.hits.count, len(seen)) == (0, 4)


def test_answers_that_nobody_can_tell_apart_are_no_observation() -> None:
    song, other = Answer("They sing.", None), Answer("A song is heard.", None)
    stream = [Asked("Canaries?", "", vector(1), answer) for answer in (song, song, other)]
    seen, ran = run_stream(stream, How(), CURVE)
    assert [one.wrong for one in seen] == [False]
    assert (ran.hits.count, ran.wrong.count, ran.untold) == (2, 0, 1)


def test_no_place_hears_of_anothers_questions() -> None:
    stream = [Asked("Canaries?", "song", vector(1), place=place) for place in ("a", "b", "b")]
    seen, ran = run_stream(stream, How(), CURVE)
    assert (len(seen), ran.hits.count, ran.hits.of) == (1, 1, 3)


def test_no_questions_are_no_requests() -> None:
    assert run_stream([], How(), CURVE)[1].hits.of == 0


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.037), (1, 100, 0.0018, 0.0545), (50, 100, 0.4038, 0.5962), (9, 9, 0.7009, 1.0)],
)
def test_a_share_has_wilsons_interval(count: int, of: int, low: float, high: float) -> None:
    found = share(count, of)
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)

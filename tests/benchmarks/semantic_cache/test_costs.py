from __future__ import annotations

import numpy as np
import pytest

from benchmarks.semantic_cache.costs import TOKENS, embedding_costs, index_costs, made_up, more_like, questions
from gateway.data_files import data_dir
from gateway.embedding.minilm import VOCABULARY
from gateway.embedding.wordpiece import WordPiece, read_pieces


@pytest.mark.parametrize("tokens", TOKENS)
def test_questions_have_the_length_they_are_measured_for(tokens: int) -> None:
    pieces = WordPiece(read_pieces(data_dir().joinpath(*VOCABULARY)))
    made = questions(20, tokens)
    assert len(set(made)) == 20
    assert [len(pieces.encode(text, 256) or ()) for text in made] == [tokens] * 20


def test_more_vectors_are_near_those_they_are_like() -> None:
    some = made_up(50)
    more = more_like(some, 200)
    cosines = (more @ some.T).max(axis=1)
    assert more.shape == (200, some.shape[1])
    np.testing.assert_allclose(np.linalg.norm(more, axis=1), 1, atol=1e-5)
    assert 0.9 < cosines.min() < cosines.max() < 0.9999


def test_both_tables_can_be_measured() -> None:
    (cost,) = index_costs(made_up(100), sizes=(300,), rounds=20)
    assert (cost.entries, cost.recall) == (300, 1.0)
    assert 0 < cost.lookup.p50 <= cost.lookup.p99 < cost.with_embedding.p99
    assert 800 < cost.size_bytes < 3_000
    by_tokens = embedding_costs((16,), rounds=3)
    assert by_tokens[16].rounds == 3
    assert 0.1 < by_tokens[16].p50 <= by_tokens[16].p99

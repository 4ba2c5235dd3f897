from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tiny_gguf import VectorShape, tiny_embedding_model

pytest.importorskip("llama_cpp")

from gateway.local.binding.llama import DecodeFailed, Model, ModelUnusable, start_library
from gateway.local.binding.vector_context import MAX_TEXTS, Pooling, VectorContext, stated_pooling
from gateway.local.frames import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = Tuning(threads=1)


def load(path: Path) -> Model:
    start_library()
    return Model(path, lambda _: None)


@pytest.fixture(scope="module")
def context(tiny_embedding_path: Path) -> Iterator[VectorContext]:
    model = load(tiny_embedding_path)
    context = VectorContext(model, "embed", ONE, 1)
    yield context
    context.close()
    model.close()


def test_the_file_says_how_to_pool_and_how_long_a_text_may_be(context: VectorContext) -> None:
    assert context.pooling is Pooling.MEAN
    assert (context.text_tokens, context.width) == (256, 32)


def test_a_text_has_the_same_vector_alone_and_in_company(context: VectorContext) -> None:
    rng = np.random.default_rng(3)
    texts = [rng.integers(5, 60, length).tolist() for length in (1, 3, 40, 7, 100, 2)]
    alone = np.stack([context.read([text])[0] for text in texts])
    bound = 1e-3 * np.abs(alone).max()  # random weights amplify what half precision leaves out
    assert np.abs(context.read(texts) - alone).max() < bound
    assert np.abs(context.read(texts[::-1])[::-1] - alone).max() < bound


@pytest.mark.parametrize("texts", [[], [[]], [[5], []], [[5] * 257], [[5] * 300, [5] * 300], [[5]] * (MAX_TEXTS + 1)])
def test_what_would_abort_the_process_is_refused(context: VectorContext, texts: list[list[int]]) -> None:
    with pytest.raises(DecodeFailed):
        context.read(texts)


def test_a_shorter_text_can_be_made_the_longest(tiny_embedding_path: Path) -> None:
    context = VectorContext(load(tiny_embedding_path), "embed", Tuning(context_tokens=64), 1)
    assert context.text_tokens == 64
    with pytest.raises(DecodeFailed):
        context.read([[5] * 65])
    context.close()


def test_a_model_of_text_makes_vectors_when_it_is_asked_to(tiny_model: Model) -> None:
    context = VectorContext(tiny_model, "embed", ONE, 1)
    assert stated_pooling(tiny_model) is Pooling.UNSPECIFIED
    assert context.pooling is Pooling.MEAN
    texts = [[5, 6, 7, 8], [9, 10], [11] * 100]
    alone = np.stack([context.read([text])[0] for text in texts])
    assert np.abs(context.read(texts) - alone).max() < 1e-3 * np.abs(alone).max()
    context.close()


def test_a_ranking_model_has_scores_and_no_vectors(tiny_rerank_path: Path) -> None:
    model = load(tiny_rerank_path)
    context = VectorContext(model, "rerank", ONE, 1)
    assert (context.pooling, context.width) == (Pooling.RANK, 1)
    assert context.read([[5, 6], [7, 8]]).shape == (2, 1)
    context.close()
    with pytest.raises(ModelUnusable, match="ranks documents"):
        VectorContext(model, "embed", ONE, 1)
    model.close()


def test_an_embedding_model_cannot_rank(tiny_embedding_path: Path) -> None:
    model = load(tiny_embedding_path)
    with pytest.raises(ModelUnusable, match="cannot rank"):
        VectorContext(model, "rerank", ONE, 1)
    model.close()


@pytest.mark.parametrize(("number", "words"), [(0, "not to be pooled"), (77, "unknown pooling_type")])
def test_a_file_that_pools_in_no_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    monkeypatch.setattr("tests.tiny_gguf._MEAN", number)
    model = load(tiny_embedding_model(tmp_path, VectorShape(layers=1)))
    with pytest.raises(ModelUnusable, match=words):
        VectorContext(model, "embed", ONE, 1)
    model.close()

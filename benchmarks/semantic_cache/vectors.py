"""The vectors of many questions by the embedder that the gateway uses, kept between runs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.embedding.minilm import MiniLm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "semantic_cache"
EMBEDDER: Final = MiniLm.id


def vectors_of(texts: Sequence[str]) -> Vectors:
    """One row for each; zeros for a text that the embedder does not take, which is like nothing then."""
    digest = hashlib.sha256("\0".join([EMBEDDER, *texts]).encode()).hexdigest()[:24]
    file = CACHE / f"{digest}.npy"
    if file.is_file():
        kept: Vectors = np.load(file)
        return kept
    vectors = asyncio.run(_embedded(texts))
    CACHE.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors)
    return vectors


async def _embedded(texts: Sequence[str]) -> Vectors:
    embedder = MiniLm()
    await embedder.ready()
    try:
        rows = [await embedder.embed(text) for text in texts]
    finally:
        await embedder.close()
    return np.stack([np.zeros(embedder.dimensions, np.float32) if row is None else row for row in rows])

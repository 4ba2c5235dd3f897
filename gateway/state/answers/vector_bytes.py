"""Vectors of questions as bytes: half precision, which moves a cosine by less than 0.001."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector

DIMENSIONS_MAX: Final = 16_384
OFF_MAX: Final = 0.02
"""How far from one the length of a vector may be that comes from outside."""


def to_bytes(vector: Vector) -> bytes:
    return vector.astype("<f2").tobytes()


def from_bytes(data: bytes) -> Vector | None:
    """None for what is no vector of length one, and where numpy is not installed."""
    try:
        import numpy as np  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    if not data or len(data) % 2 or len(data) > 2 * DIMENSIONS_MAX:
        return None
    vector = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(vector).all() or abs((length := float(np.linalg.norm(vector))) - 1.0) > OFF_MAX:
        return None
    return np.asarray(vector / length, np.float32)

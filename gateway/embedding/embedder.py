"""What an embedder must do. Vectors are float32 arrays of length one; numpy comes with the extra `semantic`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


ASKED_FOR: Final[ContextVar[str]] = ContextVar("the owner of the answers that a text is compared for", default="")
"""Set by who asks. What an embedder remembers it remembers for one owner: others could tell by the time that it takes
what was asked.
"""


class EmbedderUnavailable(Exception):  # noqa: N818 - it says what is wrong
    """It cannot be asked now: not ready yet, too much in its line, or an upstream that fails."""


class Embedder(Protocol):
    """Turns a question into a vector, off the event loop.

    `id` names the model and how it was prepared: vectors of two ids are never compared. `dimensions` is 0 until known.
    """

    dimensions: int

    @property
    def id(self) -> str: ...

    async def embed(self, text: str) -> Vector | None:
        """None where the text does not fit the model's window: a part of it would say nothing of the whole. Raises
        `EmbedderUnavailable`.
        """

    async def start(self) -> None:
        """Returns at once; what takes long goes on in a thread."""

    async def close(self) -> None: ...


@runtime_checkable
class Loading(Protocol):
    """An embedder that is loaded in this process, which takes a while."""

    @property
    def is_ready(self) -> bool: ...

    async def ready(self) -> None:
        """Once loading is over, well or not."""

"""Any deployment as the embedder: a provider's `/v1/embeddings`, or a model of the bundled engine.

What it answers is checked before it is believed: finite numbers of some length, and always as many as the first time.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.embedding.embedder import EmbedderUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector

log = logging.getLogger(__name__)

DIMENSIONS_MAX: Final = 16_384
DOWN_AFTER: Final = 3
"""So many in a row fail before it is said to be down."""
SLOW_S: Final = 0.9
"""A caller who gives up later than this has waited as long as any does: the deployment is too slow."""
_MARKS: Final = 2  # tokens that models put around a text


class _NoVectorError(ValueError):
    """What a deployment answered instead of a vector."""


class Errand(Protocol):
    """How the gateway calls a deployment on its own account."""

    async def embeddings(self, text: str) -> Sequence[float]:
        """The text's embedding. Raises what the call fails with; `EmbedderUnavailable` where that says nothing of the
        deployment.
        """


class DeploymentEmbedder:
    """`window_tokens` is the model's. A text fits when it has no more bytes than that: no vocabulary makes more tokens
    of it, and a model that is asked for more may cut the text in silence.
    """

    def __init__(
        self, deployment: str, model: str, errand: Errand, *, window_tokens: int, waiting_max: int = 64
    ) -> None:
        self.dimensions = 0
        self._name = f"{deployment}/{model}"
        self._errand = errand
        self._bytes_max = window_tokens - _MARKS
        self._waiting_max = waiting_max
        self._waiting = 0
        self._failures = 0
        self._loading: asyncio.Future[object] | None = None

    @property
    def id(self) -> str:
        """Complete once a first vector was made: deployments' models change behind their names."""
        return f"{self._name}/{self.dimensions}"

    @property
    def waiting(self) -> int:
        """How many texts are on their way."""
        return self._waiting

    @property
    def is_ready(self) -> bool:
        """As far as its latest calls tell; it is asked all the same."""
        return self._failures < DOWN_AFTER

    async def start(self) -> None:
        """Have numpy in memory, so that no call waits for it on the loop."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(None, importlib.import_module, "numpy")
            self._loading.add_done_callback(asyncio.Future.exception)  # its absence is told by who needs it

    async def close(self) -> None:
        """Calls under way are their caller's to give up."""
        if self._loading is not None:
            await asyncio.wait([self._loading])

    async def embed(self, text: str) -> Vector | None:
        if len(text) > self._bytes_max or len(text.encode(errors="replace")) > self._bytes_max:
            return None
        if self._waiting >= self._waiting_max:
            raise EmbedderUnavailable("too many questions wait for the embedder")
        self._waiting += 1
        began_s = time.monotonic()
        try:
            vector = self._checked(await self._errand.embeddings(text))
        except asyncio.CancelledError:
            if time.monotonic() - began_s >= SLOW_S:
                self._failed("it is too slow")
            raise
        except EmbedderUnavailable:
            raise
        except _NoVectorError as error:
            self._failed(str(error))
            raise EmbedderUnavailable(f"the embedder answered {error}") from error
        except Exception as error:  # whatever fails there, the cache goes on without
            self._failed(type(error).__name__)
            raise EmbedderUnavailable(f"the embedding failed: {type(error).__name__}") from error
        finally:
            self._waiting -= 1
        if not self.is_ready:
            log.warning("the embedder %s makes vectors again", self._name)
        self._failures = 0
        return vector

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures == DOWN_AFTER:
            log.warning("the embedder %s makes no vectors; its last failure: %s", self._name, why)

    def _checked(self, answer: Sequence[float]) -> Vector:
        import numpy as np  # noqa: PLC0415 - heavy, and part of an extra

        if not 1 <= len(answer) <= DIMENSIONS_MAX:
            raise _NoVectorError(f"{len(answer)} numbers")
        if self.dimensions not in {0, len(answer)}:
            raise _NoVectorError(f"{len(answer)} numbers, not {self.dimensions}")
        length = _length(answer)
        if not 1e-6 < length < 1e12:  # a NaN is neither
            raise _NoVectorError("a vector without a direction")
        self.dimensions = len(answer)
        vector: Vector = np.array([number / length for number in answer], np.float32)
        vector.flags.writeable = False
        return vector


def _length(numbers: Sequence[float]) -> float:
    try:
        return math.hypot(*numbers)
    except (TypeError, OverflowError):  # not numbers
        return math.nan

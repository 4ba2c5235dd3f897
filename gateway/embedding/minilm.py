"""all-MiniLM-L6-v2 in this process: questions of up to 256 word pieces, in threads beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from gateway.data_files import data_dir
from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable
from gateway.embedding.preparing import RECIPE, PreparationError, cache_folder, model_bytes
from gateway.embedding.session import DIMENSIONS, Session
from gateway.embedding.wordpiece import WordPiece, read_pieces

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.embedding.embedder import Vector

log = logging.getLogger(__name__)

WINDOW_TOKENS: Final = 256  # what it was trained with
VOCABULARY: Final = ("wordpiece", "bert-uncased.txt")


class MiniLm:
    """The embedder that Pointsman brings along. Unavailable until it is loaded, and when too many wait.

    A question with characters that the vocabulary lacks has no vector: the model would not see them, and two questions
    that differ in nothing else would be the same to it.
    """

    id = f"minilm-l6-v2/{RECIPE}"
    dimensions = DIMENSIONS

    def __init__(
        self, *, threads: int = 1, waiting_max: int = 64, recent_max: int = 1024, folder: Path | None = None
    ) -> None:
        self._folder = folder
        self._waiting_max = waiting_max
        self._recent_max = recent_max
        self._recent: OrderedDict[tuple[str, str], Vector | None] = OrderedDict()
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="embedder")
        self._waiting = 0
        self._loading: asyncio.Future[None] | None = None
        self._parts: tuple[WordPiece, Session] | None = None

    @property
    def is_ready(self) -> bool:
        return self._parts is not None

    async def start(self) -> None:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(self._threads, self._load)

    async def ready(self) -> None:
        """Once loading is over, well or not."""
        await self.start()
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def close(self) -> None:
        """What waits is given up; what runs is waited for."""
        self._parts = None
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def embed(self, text: str) -> Vector | None:
        parts = self._parts
        if parts is None:
            raise EmbedderUnavailable("the embedder is not ready")
        if len(text) > parts[0].chars_max(WINDOW_TOKENS):
            return None
        asked = ASKED_FOR.get(), text
        if asked in self._recent:
            self._recent.move_to_end(asked)
            return self._recent[asked]
        if self._waiting >= self._waiting_max:
            raise EmbedderUnavailable("too many questions wait for the embedder")
        vector = await self._computed(parts, text)
        self._recent[asked] = vector
        while len(self._recent) > self._recent_max:
            self._recent.popitem(last=False)
        return vector

    async def _computed(self, parts: tuple[WordPiece, Session], text: str) -> Vector | None:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _vector, *parts, text)
        except asyncio.CancelledError:
            if self._parts is None and not _is_cancelled():
                raise EmbedderUnavailable("the embedder is closed") from None
            raise
        except Exception as error:  # onnxruntime's have nothing else in common
            raise EmbedderUnavailable(f"the embedder fails: {type(error).__name__}") from error
        finally:
            self._waiting -= 1

    def _load(self) -> None:
        try:
            vocabulary = read_pieces(data_dir().joinpath(*VOCABULARY))
            session = Session(model_bytes(self._folder or cache_folder()))
            self._parts = WordPiece(vocabulary), session
        except (OSError, ValueError, ImportError, RuntimeError, PreparationError):
            log.exception("the embedder cannot be loaded; questions are not compared by meaning")


def _is_cancelled() -> bool:
    """Whether somebody gave this task up, rather than what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _vector(pieces: WordPiece, session: Session, text: str) -> Vector | None:
    numbers = pieces.encode(text, WINDOW_TOKENS)
    if numbers is None or pieces.unknown in numbers:
        return None
    return session.vector(numbers)

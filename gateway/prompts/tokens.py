"""Counts tokens where an upstream does not say: offline, off the event loop, in bounded time.

The counts are OpenAI's tokenizers applied to everybody's text, so they are estimates for other families; callers
mark them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.data_files import data_dir
from gateway.prompts.text import prompt_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import tiktoken

    from adapters.schema import InferenceRequest

_T = TypeVar("_T")

log = logging.getLogger(__name__)

EXACT_BYTES = 256 * 1024
"""Text up to this size is counted whole; of more, as much is sampled."""
PIECE_CHARS = 2048
CUT_CHARS = 256
CUT_TOKENS = 8
"""Added by a bound for a cut inside a word. Cutting nearly always adds tokens, but merging by rank is not the best
that can be done, so two halves may come to a token or so less than the whole."""
STRATA = 32

_CL100K = ("gpt-4", "gpt-3.5", "gpt-35", "text-embedding", "davinci-002", "babbage-002")
_O200K_GPT_4 = ("gpt-4o", "gpt-4.1", "gpt-4.5")


@dataclass(frozen=True, slots=True)
class RankFile:
    """One encoding's ranks: `address` is where tiktoken would fetch them, `sha256` what it accepts."""

    address: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that tiktoken looks for below TIKTOKEN_CACHE_DIR."""
        return hashlib.sha1(self.address.encode(), usedforsecurity=False).hexdigest()


RANK_FILES = {
    "cl100k_base": RankFile(
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": RankFile(
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}

# No pattern of either encoding reaches from a visible character over a space, from a line's end into what begins the
# next, or from a letter or digit into punctuation (the apostrophe of `it's` is not among it).
_SAFE_CUT = re.compile(r"\S(?= )|[\r\n](?=[^\s/])|[^\W_](?=[,.;:!?(){}\[\]<>=\"\u3001\u3002\uff0c\uff01\uff1f])")

ENVIRONMENT: Final = threading.Lock()


def encoding_of(model: str) -> str:
    """The encoding for a model's name: cl100k for GPT-4, GPT-3.5 and OpenAI's embeddings, o200k for all else."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("ft:")
    if name.startswith(_CL100K) and not name.startswith(_O200K_GPT_4):
        return "cl100k_base"
    return "o200k_base"


class TokenCounter:
    """Counts tokens in one thread of its own, loading an encoding when it is first needed.

    An encoding costs a third of a second and some 25 MB, so a gateway whose upstreams all report usage never loads one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Raises `FileNotFoundError` when a rank file is absent: better at the start than at the first settlement."""
        self._folder = folder or data_dir() / "tiktoken"
        for name, rank_file in RANK_FILES.items():
            if not (self._folder / rank_file.file_name).is_file():
                raise FileNotFoundError(
                    f"the rank file of {name} is missing from {self._folder}: run scripts/fetch_tiktoken.py"
                )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens")
        self._encodings: dict[str, tiktoken.Encoding | None] = {}

    async def count(self, text_parts: Sequence[str], model: str) -> int:
        """Tokens of one text that came in parts, as a stream's deltas do."""
        if not text_parts:
            return 0
        return await self.run(lambda: self._count_text("".join(text_parts), model))

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int:
        """Tokens of a request's prompt, as `model` (the deployment's; else the caller's word) would count them.

        Texts, tool definitions and answer schemas are counted, images and audio guessed, three tokens added per
        message.
        """
        return await self.run(lambda: self._count_prompt(request, model or request.model))

    async def load(self, encoding: str) -> None:
        """Have an encoding in memory (see `encoding_of`), so that nobody waits for it later."""
        await self.run(lambda: int(self._encoding(encoding) is not None))

    def is_loaded(self, encoding: str) -> bool:
        """Whether counting by it may be done at once: loading takes a third of a second."""
        return encoding in self._encodings

    def bound_of(self, texts: Iterable[str], encoding: str) -> int:
        """No fewer tokens than any of OpenAI's models would see in `texts`, each by itself; of any length.

        Loads the encoding where `is_loaded` does not say so. Words without end are cut, see `_pieces`.
        """
        tokenizer = self._encoding(encoding)
        if tokenizer is None:
            return sum(map(utf8_bytes, texts))
        return sum(_bound(tokenizer, text) for text in texts)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do work in the thread that counts."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _count_prompt(self, request: InferenceRequest, model: str) -> int:
        prompt = prompt_of(request)
        if not prompt.texts:
            return prompt.other_tokens
        return prompt.other_tokens + self._count_texts(prompt.texts, model)

    def _count_text(self, text: str, model: str) -> int:
        return self._count_texts([text], model)

    def _count_texts(self, texts: Sequence[str], model: str) -> int:
        encoding = self._encoding(encoding_of(model))
        sizes = [len(text) for text in texts]
        if encoding is None:
            return sum(-(-utf8_bytes(text) // 3) for text in texts)
        if sum(sizes) <= EXACT_BYTES and sum(map(utf8_bytes, texts)) <= EXACT_BYTES:
            return sum(_exact(encoding, text) for text in texts)
        return _sampled(encoding, "\n".join(texts))

    def _encoding(self, name: str) -> tiktoken.Encoding | None:
        """None when the rank file is damaged: three bytes are then taken for a token, and the log says so once."""
        if name not in self._encodings:
            try:
                self._encodings[name] = _load(name, self._folder)
            except (OSError, ValueError):
                log.exception("the rank file of %s cannot be used; tokens are estimated from bytes", name)
                self._encodings[name] = None
        return self._encodings[name]


def _load(name: str, folder: Path) -> tiktoken.Encoding:
    """The encoding, from the shipped file only.

    Checked here first: tiktoken deletes a file whose hash is wrong and goes to the network. Its cache folder is a
    process-wide environment variable, so it is set for the length of the load only: a child process or another user
    of tiktoken in this process sees what the operator set.
    """
    import tiktoken  # noqa: PLC0415 - most gateways never count

    rank_file = RANK_FILES[name]
    if hashlib.sha256((folder / rank_file.file_name).read_bytes()).hexdigest() != rank_file.sha256:
        raise ValueError(f"the rank file of {name} is damaged")
    with ENVIRONMENT, _cache_dir(folder):
        return tiktoken.get_encoding(name)


@contextlib.contextmanager
def _cache_dir(folder: Path) -> Iterator[None]:
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        # Left alone where somebody else has set it meanwhile, as litellm does while it is imported.
        if os.environ.get("TIKTOKEN_CACHE_DIR") == str(folder):
            if before is None:
                del os.environ["TIKTOKEN_CACHE_DIR"]
            else:
                os.environ["TIKTOKEN_CACHE_DIR"] = before


def _exact(encoding: tiktoken.Encoding, text: str) -> int:
    """Tokens of `text`, special tokens' names being plain text: a caller's words are never control tokens."""
    return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))


def _bound(encoding: tiktoken.Encoding, text: str) -> int:
    """Tokens of `text`, raised by what a cut inside a word may hide, and never more than its bytes."""
    tokens = cuts = 0
    for piece, is_whole in _cut(text):
        tokens += len(encoding.encode_ordinary(piece))
        cuts += not is_whole
    return tokens if not cuts else min(tokens + cuts * CUT_TOKENS, utf8_bytes(text))


def _pieces(text: str) -> Iterable[str]:
    """`text` in short pieces: merging one endless word takes quadratic time."""
    return (piece for piece, _ in _cut(text))


def _cut(text: str) -> Iterator[tuple[str, bool]]:
    """`text` in pieces, and whether each ends where a tokenizer cuts anyway, so that the pieces' counts add up."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = start + PIECE_CHARS
        safe = 0
        for match in _SAFE_CUT.finditer(text, end - CUT_CHARS, end):
            safe = match.end()
        yield text[start : safe or end], safe > 0
        start = safe or end
    yield text[start:], True


def _sampled(encoding: tiktoken.Encoding, text: str) -> int:
    """About how many tokens `text` has: equal strata, a run counted at a fixed place of each, the rest in
    proportion.
    """
    stratum = -(-len(text) // STRATA)
    run = min(stratum, EXACT_BYTES // STRATA // 4)
    total = 0.0
    for start in range(0, len(text), stratum):
        whole = text[start : start + stratum]
        middle = max(0, (len(whole) - run) // 2)
        sample = whole[middle : middle + run]
        total += _exact(encoding, sample) * len(whole) / len(sample)
    return round(total)


def utf8_bytes(text: str) -> int:
    """Bytes of `text`; a lone surrogate, which JSON can carry and UTF-8 cannot, counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

"""How many tokens a prompt may come to: a bound that costs microseconds, and a count for when that bound is too much.

The bound is one token per byte of the body, plus what bytes do not bound (`prompt_bounds`). The count is exact for the
text that OpenAI's models see, and never above the bound; each message is counted once and remembered by its hash, so a
conversation that grows costs only what is new.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.prompts.bounds import (
    BASE64_CHARS_PER_AUDIO_TOKEN,
    IMAGE_TOKENS_MAX,
    OTHERS,
    WINDOW_TOKENS_DEFAULT,
    family_of,
    find,
)
from gateway.prompts.count_cache import CountCache, Counted
from gateway.prompts.parts import UNREADABLE, is_elsewhere, is_plain, more_than_text, pairs_bound, parts_of
from gateway.prompts.tokens import encoding_of, utf8_bytes
from policies.vocabulary import ONLY_READ, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from adapters.schema import InferenceRequest
    from gateway.prompts.bounds import Family, Found
    from gateway.prompts.parts import Parts
    from gateway.prompts.tokens import TokenCounter

log = logging.getLogger(__name__)

INLINE_BYTES: Final = 2048
"""New text up to this size is counted at once (some 100 us): a turn through another thread takes as long."""
LOOKED_UP_BYTES: Final = 32 * 1024
"""Bodies up to this size are taken apart and looked up on the event loop (some 60 us), larger ones off it."""
COUNTED_BYTES: Final = 1024 * 1024
"""More new text than this is taken at one token per byte: nobody shall keep the tokenizer busy for seconds."""
WAITING_MAX: Final = 32
"""With as many counts in line (5 s of work at the very worst) the next prompt is taken by its bytes at once."""


class _Way(NamedTuple):
    """How a model's tokens are counted."""

    family: Family
    encoding: str

    @property
    def profile(self) -> str:
        return f"{self.family.name} {self.encoding}"


class Estimator:
    """Prompts' sizes, from above.

    `context_tokens` is the largest context window among the candidates, None where one of them is unknown: a larger
    prompt is refused by its upstream and costs nothing. A hosted tool is the exception, since each of its rounds reads
    the window anew; what goes beyond is an overrun like any other.
    """

    def __init__(self, counter: TokenCounter, cache: CountCache | None = None) -> None:
        self._counter = counter
        self._cache = CountCache() if cache is None else cache
        self._waiting = 0

    def bound(self, request: InferenceRequest, context_tokens: int | None = None) -> int:
        """No upstream can read more tokens in this request, whatever its tokenizer. Takes microseconds."""
        return prompt_bound(request, context_tokens)

    def quick(self, request: InferenceRequest) -> int:
        """`bound` for what no limit hangs on: the messages of a prompt that was read as text are not read once more."""
        return quick_bound(request)

    async def exact(self, request: InferenceRequest, model: str, context_tokens: int | None = None) -> int:
        """Tokens of the prompt as `model` (a deployment's) counts them; framing, tools and media are rounded up.

        For OpenAI's models a bound; for others twice what OpenAI's tokenizer says, which is an estimate.
        """
        way = _Way(family_of(model), encoding_of(model))
        try:
            if request.body_bytes <= LOOKED_UP_BYTES:
                parts = parts_of(request, way.profile)
                if self._is_soon_counted(parts, way):
                    return self._total(request, parts, way, context_tokens)
            if self._waiting < WAITING_MAX:
                return await self._in_line(
                    lambda: self._total(request, parts_of(request, way.profile), way, context_tokens)
                )
        except UNREADABLE:
            log.debug("a prompt cannot be taken apart; its bytes are taken for tokens")
        return self.bound(request, context_tokens)

    async def warm(self, models: Iterable[str]) -> None:
        """Load what counting for `models` takes, so that the first denied request need not wait for it."""
        for encoding in sorted({encoding_of(model) for model in models}):
            await self._counter.load(encoding)

    def _is_soon_counted(self, parts: Parts, way: _Way) -> bool:
        new_bytes = sum(len(part.raw) for part in parts.parts if self._cache.get(part.key) is None)
        return not new_bytes or (new_bytes <= INLINE_BYTES and self._counter.is_loaded(way.encoding))

    async def _in_line(self, count: Callable[[], int]) -> int:
        self._waiting += 1
        try:
            return await self._counter.run(count)
        finally:
            self._waiting -= 1

    def _total(self, request: InferenceRequest, parts: Parts, way: _Way, context_tokens: int | None) -> int:
        tokens, elsewhere, room_bytes = _framing(parts, way.family), is_elsewhere(request), COUNTED_BYTES
        for part in parts.parts:
            counted = self._cache.get(part.key)
            if counted is None:
                found = part.found()
                text_bytes = sum(map(utf8_bytes, found.texts))
                room_bytes -= text_bytes
                text_tokens = text_bytes if room_bytes < 0 else self._text_tokens(found, text_bytes, way)
                counted = Counted(text_tokens + _other_tokens(found, way.family), found.elsewhere)
                if room_bytes >= 0:
                    self._cache.put(part.key, counted)
            tokens += counted.tokens
            elsewhere = elsewhere or counted.elsewhere
        if elsewhere:
            tokens += context_tokens or WINDOW_TOKENS_DEFAULT
        return min(tokens, self.bound(request, context_tokens))

    def _text_tokens(self, found: Found, text_bytes: int, way: _Way) -> int:
        return min(self._counter.bound_of(found.texts, way.encoding) * way.family.percent // 100, text_bytes)


def prompt_bound(request: InferenceRequest, context_tokens: int | None = None) -> int:
    """What `Estimator.bound` says."""
    tokens = request.body_bytes + OTHERS.prompt_tokens
    if not is_plain(request):
        tokens += _beyond_text(request, context_tokens)
    return tokens if context_tokens is None else min(tokens, context_tokens * request.choices)


def quick_bound(request: InferenceRequest) -> int:
    """What `Estimator.quick` says."""
    if request.endpoint is Endpoint.RERANK:
        return prompt_bound(request)
    if request.has_media or is_elsewhere(request):
        return prompt_bound(request)
    return request.body_bytes + OTHERS.prompt_tokens + _definitions_bound(request)


def per_text(request: InferenceRequest, tokens: int) -> int:
    """What has to fit a window, of all that is read. Texts to be embedded or ranked are read one by one: the longest
    has at least the mean of them all, and whether it fits, its engine says.
    """
    return -(-tokens // max(1, request.choices)) if request.endpoint in ONLY_READ else tokens


def _framing(parts: Parts, family: Family) -> int:
    """What is put around messages and before the first of them; a text that is no conversation stands by itself."""
    tokens = parts.id_tokens
    if parts.is_conversation:
        tokens += family.prompt_tokens + parts.messages * family.message_tokens
        return tokens + (family.tools_tokens if parts.has_tools else 0)
    return tokens + (parts.messages * family.message_tokens if family.percent > 100 else 0)


def _other_tokens(found: Found, family: Family) -> int:
    high, low = family.image_tokens
    audio_tokens = -(-found.audio_chars // BASE64_CHARS_PER_AUDIO_TOKEN)
    return found.other_tokens + found.images * high + found.low_images * low + audio_tokens


def _beyond_text(request: InferenceRequest, context_tokens: int | None) -> int:
    """What the bytes of the body do not bound: definitions, images, and what is not in it at all."""
    tokens, elsewhere = _definitions_bound(request) + pairs_bound(request), is_elsewhere(request)
    try:
        for item in more_than_text(request):
            found = find(item)
            tokens += (found.images + found.low_images) * IMAGE_TOKENS_MAX
            elsewhere = elsewhere or found.elsewhere
    except UNREADABLE:
        elsewhere = True
    return tokens + (context_tokens or WINDOW_TOKENS_DEFAULT) if elsewhere else tokens


def _definitions_bound(request: InferenceRequest) -> int:
    """What tools may cost beyond their bytes: words of introduction, and templates that print them indented."""
    members, tokens = request.members, 0
    for name in ("tools", "functions"):
        if name in members:
            tokens += OTHERS.tools_tokens + memoryview(members[name]).nbytes
    return tokens

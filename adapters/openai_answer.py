"""Whole answers: checked for what their endpoint promises, read for the tally, and handed on as they came."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.base import NAME_CHARS_KEPT, FailedStream, Tally
from adapters.openai_errors import in_band, not_an_answer
from adapters.openai_responses import Response, finish_reason, is_search
from adapters.openai_text import Choice, TextKeeper, add_delta
from adapters.openai_usage import read_ranking_usage, read_usage
from policies.vocabulary import Endpoint


class Generated(msgspec.Struct, gc=False):
    """A whole answer of chat or completions."""

    choices: list[Choice] | None = None
    usage: Any = None
    id: Any = None
    model: Any = None
    service_tier: Any = None


class Embedded(msgspec.Struct, gc=False):
    """Embeddings; the vectors themselves are skipped over."""

    data: list[msgspec.Raw] | None = None
    usage: Any = None
    id: Any = None
    model: Any = None
    service_tier: Any = None


class Ranked(msgspec.Struct, gc=False):
    """A ranking; its documents are skipped over. Voyage calls the results `data`; Cohere reports under `meta`."""

    results: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    meta: Any = None
    id: Any = None
    model: Any = None
    service_tier: Any = None


class Responded(Response, gc=False):
    output: list[Any] | None = None


_GENERATED = msgspec.json.Decoder(Generated)
_EMBEDDED = msgspec.json.Decoder(Embedded)
_RANKED = msgspec.json.Decoder(Ranked)
_RESPONDED = msgspec.json.Decoder(Responded)
_GENERATION: Final = (Endpoint.CHAT, Endpoint.COMPLETIONS)


def read_answer(endpoint: Endpoint, body: bytes) -> Tally:
    """What the answer in `body` says of itself. Raises `FailedStream` for an error object or anything else."""
    try:
        if endpoint in _GENERATION:
            return _read_generated(body)
        return _OTHERS[endpoint](body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FailedStream(not_an_answer(body)) from None


def _read_generated(body: bytes) -> Tally:
    answer = _GENERATED.decode(body)
    if not answer.choices:
        raise _refuse(body)
    tally = _tally(answer)
    keeper = TextKeeper(tally)
    for choice in answer.choices:
        if choice.message is not None:
            add_delta(keeper, choice.message)
        if type(choice.text) is str:
            keeper.add(choice.text)
        if type(choice.finish_reason) is str:
            tally.add_reason(choice.finish_reason)
    return tally


def _read_embedded(body: bytes) -> Tally:
    answer = _EMBEDDED.decode(body)
    if not answer.data:
        raise _refuse(body)
    return _tally(answer)


def _read_ranked(body: bytes) -> Tally:
    answer = _RANKED.decode(body)
    if not (answer.results or answer.data):
        raise _refuse(body)
    tally = _tally(answer)
    tally.usage = tally.usage or read_ranking_usage(answer.usage, answer.meta)
    return tally


def _read_responded(body: bytes) -> Tally:
    answer = _RESPONDED.decode(body)
    if answer.output is None or answer.status == "failed":
        raise _refuse(body)
    tally = _tally(answer, sum(map(is_search, answer.output)))
    tally.add_reason(finish_reason(answer))
    keeper = TextKeeper(tally)
    for item in answer.output:
        for text in _texts(item):
            keeper.add(text)
    return tally


def _texts(item: object) -> list[str]:
    """What was generated in one output item: its text, its call, its summary."""
    if not isinstance(item, dict):
        return []
    found = [item.get(name) for name in ("name", "arguments", "input")]
    for name in ("summary", "content"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                found += [part.get("text"), part.get("refusal")]
    return [text for text in found if isinstance(text, str)]


def _tally(answer: Generated | Embedded | Ranked | Responded, searches: int = 0) -> Tally:
    model = answer.model[:NAME_CHARS_KEPT] if isinstance(answer.model, str) and answer.model else None
    name = answer.id[:NAME_CHARS_KEPT] if isinstance(answer.id, str) and answer.id else None
    return Tally(usage=read_usage(answer.usage, answer.service_tier, searches), model=model, id=name)


def _refuse(body: bytes) -> FailedStream:
    """An error object under status 200 says what it is; whatever else came is no answer."""
    value = msgspec.json.decode(body)
    if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
        return FailedStream(in_band(value, maybe_billed=False))
    return FailedStream(not_an_answer(body))


_OTHERS: Final = {
    Endpoint.EMBEDDINGS: _read_embedded,
    Endpoint.RERANK: _read_ranked,
    Endpoint.RESPONSES: _read_responded,
}

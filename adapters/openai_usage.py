"""Usage as OpenAI-compatible servers report it, made sane: wrong shapes, negative and absurd counts are not usage."""

from __future__ import annotations

from typing import Final

from policies.vocabulary import Usage

TOKENS_BELIEVED: Final = 100_000_000  # no request has had a hundredth of it

_PLAIN: Final = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
_PLAIN_DETAILS: Final = frozenset({"cached_tokens", "audio_tokens"})


def read_usage(value: object) -> Usage | None:
    """A `usage` object of any endpoint; None where it says nothing that can be believed."""
    if not isinstance(value, dict):
        return None
    return _read_plain(value) or _read_any(value)


def read_ranking_usage(usage: object, meta: object) -> Usage | None:
    """The usage of a ranking that names no prompt tokens: Jina's and Voyage's total, or what Cohere has read or bills.

    All of it is input. Search units are no tokens.
    """
    meta = meta if isinstance(meta, dict) else {}
    for value in (usage, meta.get("tokens"), meta.get("billed_units")):
        found = _first(value, "total_tokens", "input_tokens") if isinstance(value, dict) else None
        if found:
            return Usage(found)
    return None


def _read_plain(value: dict[str, object]) -> Usage | None:
    """OpenAI's own form without reasoning, as nearly every answer's is, at a quarter of the cost; None for others."""
    if not value.keys() <= _PLAIN:
        return None
    input_tokens, output_tokens = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(input_tokens) is not int or type(output_tokens) is not int:
        return None
    cached: object = 0
    details = value.get("prompt_tokens_details")
    if type(details) is dict:
        if not details.keys() <= _PLAIN_DETAILS:
            return None
        cached = details.get("cached_tokens", 0)
    parts = value.get("completion_tokens_details")
    if type(cached) is not int or (type(parts) is dict and parts.get("reasoning_tokens")):
        return None
    if not 0 <= cached <= input_tokens <= TOKENS_BELIEVED or not 0 < output_tokens <= TOKENS_BELIEVED:
        return None
    return Usage(input_tokens, output_tokens, cached)


def _read_any(value: dict[str, object]) -> Usage | None:
    total = _count(value.get("total_tokens"))
    input_tokens = _first(value, "prompt_tokens", "input_tokens")
    output_tokens = _first(value, "completion_tokens", "output_tokens")
    if input_tokens is None:
        return None
    if output_tokens is None:  # embeddings have none
        output_tokens = max(0, (total or 0) - input_tokens)
    if not input_tokens and not output_tokens:
        return None
    input_details = _details(value, "prompt_tokens_details", "input_tokens_details")
    output_details = _details(value, "completion_tokens_details", "output_tokens_details")
    reasoning = _first(output_details, "reasoning_tokens") or _first(value, "reasoning_tokens") or 0
    if reasoning > output_tokens or (reasoning and total == input_tokens + output_tokens + reasoning):
        output_tokens += reasoning  # xAI reports reasoning beside the completion, OpenAI within it
    cached = _first(input_details, "cached_tokens")
    if cached is None:
        cached = _first(value, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens") or 0
    written = _first(input_details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _first(value, "cache_creation_input_tokens") or 0
    cached = min(cached, input_tokens)
    return Usage(input_tokens, output_tokens, cached, min(written, input_tokens - cached), reasoning)


def _first(fields: dict[str, object], *names: str) -> int | None:
    for name in names:
        if (count := _count(fields.get(name))) is not None:
            return count
    return None


def _details(value: dict[str, object], *names: str) -> dict[str, object]:
    for name in names:
        details = value.get(name)
        if isinstance(details, dict):
            return details
    return {}


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_BELIEVED:
        return None
    return value

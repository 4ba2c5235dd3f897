"""Usage as OpenAI-compatible servers report it, made sane: wrong shapes, negative and absurd counts are not usage.

Three ways to count meet here. OpenAI's input holds what was cached and its output what was thought. Anthropic's own
names count caches beside the input, and Google's thoughts lie outside the answer; both come through servers that speak
OpenAI's protocol otherwise.
"""

from __future__ import annotations

from typing import Final

from adapters.openai_usage_details import STANDARD, read_details
from adapters.usage_fields import TOKENS_BELIEVED, count, cut_to_whole, details_in, first, not_believed
from policies.usage import Usage

_PLAIN: Final = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
INPUT_AND_OUTPUT: Final = 2
_PLAIN_DETAILS: Final = frozenset({"cached_tokens", "audio_tokens"})


def read_usage(value: object, service: object = None, searches: int = 0) -> Usage | None:
    """A `usage` object of any endpoint; None where it says nothing that can be believed.

    `service` is the tier that the answer names beside it, `searches` what it has looked up.
    """
    if not isinstance(value, dict):
        return None
    if not searches and (service is None or (type(service) is str and service in STANDARD)):
        return _read_plain(value) or _read_any(value, None, 0)
    return _read_any(value, service, searches)


def gone_on_with(before: Usage, now: Usage) -> Usage:
    """The last usage of a stream counts, and no output is none; but there is no call without a prompt: a translation of
    Anthropic's stream may tell of it at the start, and at the end of the answer only.
    """
    if before.input_tokens and not now.input_tokens:
        return before._replace(output_tokens=now.output_tokens, reasoning_tokens=now.reasoning_tokens)
    return now


def read_ranking_usage(usage: object, meta: object) -> Usage | None:
    """The usage of a ranking that names no prompt tokens: Jina's and Voyage's total, or what Cohere has read or bills.

    All of it is input. Search units are no tokens.
    """
    meta = meta if isinstance(meta, dict) else {}
    for value in (usage, meta.get("tokens"), meta.get("billed_units")):
        found = first(value, "total_tokens", "input_tokens") if isinstance(value, dict) else None
        if found:
            return Usage(found)
    return None


def _read_plain(value: dict[str, object]) -> Usage | None:
    """OpenAI's own form of text, as nearly every answer's is, at a quarter of the cost; None for others."""
    if not value.keys() <= _PLAIN:
        return None
    input_tokens, output_tokens = value.get("prompt_tokens"), value.get("completion_tokens")
    cached: object = 0
    reasoning: object = 0
    details, parts = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    if type(details) is dict:
        if not details.keys() <= _PLAIN_DETAILS or details.get("audio_tokens"):
            return None
        cached = details.get("cached_tokens", 0)
    if type(parts) is dict:
        if parts.get("audio_tokens") or parts.get("image_tokens"):
            return None
        reasoning = parts.get("reasoning_tokens", 0)
    if not type(input_tokens) is type(output_tokens) is type(cached) is type(reasoning) is int:
        return None
    if not 0 <= cached <= input_tokens <= TOKENS_BELIEVED or not 0 <= reasoning <= output_tokens <= TOKENS_BELIEVED:
        return None
    adds_up = output_tokens and value.get("total_tokens") == input_tokens + output_tokens
    return Usage(input_tokens, output_tokens, cached, 0, reasoning) if adds_up else None


def _read_any(value: dict[str, object], service: object, searches: int) -> Usage | None:
    odd = tuple(not_believed(value))
    usage = _read_counts(_from_google(value) if "promptTokenCount" in value else value, service, searches)
    return None if usage is None else cut_to_whole(usage, odd)


def _read_counts(value: dict[str, object], service: object, searches: int) -> Usage | None:
    total = count(value.get("total_tokens"))
    input_tokens = first(value, "prompt_tokens", "input_tokens")
    output_tokens = first(value, "completion_tokens", "output_tokens")
    if input_tokens is None:
        return None
    input_details = details_in(value, "prompt_tokens_details", "input_tokens_details")
    output_details = details_in(value, "completion_tokens_details", "output_tokens_details")
    cached = first(input_details, "cached_tokens")
    if cached is None:
        cached = first(value, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens") or 0
    written = first(input_details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = first(value, "cache_creation_input_tokens") or 0
    if _counts_caches_apart(value, input_tokens):
        input_tokens += cached + written
    if output_tokens is None:  # embeddings have none
        output_tokens = max(0, (total or 0) - input_tokens)
    reasoning = first(output_details, "reasoning_tokens") or first(value, "reasoning_tokens") or 0
    if reasoning > output_tokens or (reasoning and total == input_tokens + output_tokens + reasoning):
        output_tokens += reasoning  # xAI reports reasoning beside the completion, OpenAI within it
    if total is not None and total > input_tokens + output_tokens:  # Google's totals hold thoughts that nothing names
        reasoning += total - input_tokens - output_tokens
        output_tokens = total - input_tokens
    if not input_tokens and not output_tokens:
        return _nothing(value)
    details = read_details(value, service, searches)
    return Usage(input_tokens, output_tokens, cached, written, reasoning, details=details)


def _counts_caches_apart(value: dict[str, object], input_tokens: int) -> bool:
    """Anthropic's own form names what it read from caches and wrote to them beside its input. Servers that translate it
    keep the two names and mostly count them in; where they exceed the input, they cannot.
    """
    read, written = first(value, "cache_read_input_tokens"), first(value, "cache_creation_input_tokens")
    if read is None and written is None:
        return False
    is_own_form = "prompt_tokens" not in value and "input_tokens_details" not in value
    return is_own_form or (read or 0) + (written or 0) > input_tokens


def _nothing(value: dict[str, object]) -> Usage | None:
    """An explicit zero is zero, where input and output are both said to be; whoever generated text is not believed."""
    named = [value.get(name) for name in ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")]
    return Usage() if len(named) - named.count(None) >= INPUT_AND_OUTPUT else None


def _from_google(value: dict[str, object]) -> dict[str, object]:
    """Google's own names. Its input holds what was cached, its output does not hold what was thought."""
    thoughts = first(value, "thoughtsTokenCount") or 0
    output = first(value, "candidatesTokenCount") or 0
    reading = first(value, "toolUsePromptTokenCount") or 0
    return {
        "prompt_tokens": (first(value, "promptTokenCount") or 0) + reading,
        "completion_tokens": output + thoughts,
        "prompt_tokens_details": {
            "cached_tokens": value.get("cachedContentTokenCount"),
            "audio_tokens": _of_modality(value, "promptTokensDetails", "AUDIO"),
            "image_tokens": _of_modality(value, "promptTokensDetails", "IMAGE"),
            "cached_tokens_details": {"audio_tokens": _of_modality(value, "cacheTokensDetails", "AUDIO")},
        },
        "completion_tokens_details": {
            "reasoning_tokens": thoughts,
            "audio_tokens": _of_modality(value, "candidatesTokensDetails", "AUDIO"),
            "image_tokens": _of_modality(value, "candidatesTokensDetails", "IMAGE"),
        },
    }


def _of_modality(value: dict[str, object], name: str, modality: str) -> int:
    parts = value.get(name)
    if not isinstance(parts, list):
        return 0
    found = (part for part in parts if isinstance(part, dict) and part.get("modality") == modality)
    return sum(count(part.get("tokenCount")) or 0 for part in found)

"""Reading counts out of JSON that anybody may have written: a wrong shape is nothing, never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.usage import Correction, Usage, UsageDetails

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS_BELIEVED: Final = 100_000_000  # no request has had a hundredth of it
_DEPTH_MAX: Final = 2
_NO_DETAILS: Final = UsageDetails()
_COUNTS: Final = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "reasoning_tokens",
    "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cache_write_tokens",
    "cache_creation_tokens", "cache_creation_input_tokens", "ephemeral_1h_input_tokens", "audio_tokens", "image_tokens",
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
    "cachedContentTokenCount", "totalTokenCount",
})  # fmt: skip
"""What is read of usage, in the words of all who write it. Others may count what they like."""


def first(fields: dict[str, object], *names: str) -> int | None:
    """The first of these fields that is a count."""
    for name in names:
        if (found := count(fields.get(name))) is not None:
            return found
    return None


def details_in(value: dict[str, object], *names: str) -> dict[str, object]:
    """The first of these fields that is an object; else an empty one."""
    for name in names:
        details = value.get(name)
        if isinstance(details, dict):
            return details
    return {}


def count(value: object) -> int | None:
    """A whole number that may be a count of tokens."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_BELIEVED:
        return None
    return value


def not_believed(value: dict[str, object], depth: int = _DEPTH_MAX) -> Iterator[Correction]:
    """A word for each count in a usage object that no request can have had, and that was taken for none."""
    for name, told in value.items():
        if isinstance(told, dict):
            if depth:
                yield from not_believed(told, depth - 1)
        elif name in _COUNTS and isinstance(told, int | float) and not isinstance(told, bool):
            if told < 0:
                yield Correction.NEGATIVE
            elif told > TOKENS_BELIEVED:
                yield Correction.TOO_LARGE


def cut_to_whole(usage: Usage, odd: tuple[Correction, ...]) -> Usage:
    """With no part above its whole, and a word for each that was, after those for what was not believed before."""
    input_tokens, output_tokens, told_cached, told_written, told_reasoning, _, _ = usage
    cached = min(told_cached, input_tokens)
    written = min(told_written, input_tokens - cached)
    reasoning = min(told_reasoning, output_tokens)
    cuts = (cached < told_cached) + (written < told_written) + (reasoning < told_reasoning)
    if cuts:
        usage = usage._replace(cached_input_tokens=cached, cache_write_tokens=written, reasoning_tokens=reasoning)
        odd += (Correction.PART_ABOVE_WHOLE,) * cuts
    return usage._replace(details=(usage.details or _NO_DETAILS)._replace(corrected=odd)) if odd else usage

"""Usage taken apart into tokens counted once each, and made sane before that: no part is larger than its whole."""

from __future__ import annotations

from typing import Final, NamedTuple

from policies.usage import Correction, Usage, UsageDetails

# No request that the gateway takes or answer that it forwards comes near; a larger count is a broken upstream's.
TOKENS_MAX: Final = 100_000_000
SEARCHES_MAX: Final = 10_000
BILLED_MAX_NANOUSD: Final = 10_000 * 1_000_000_000
"""No single answer has cost a hundredth of it; what an upstream claims beyond is not believed."""
_NO_DETAILS: Final = UsageDetails()
_NAMES: Final = (*Usage._fields[:5], *UsageDetails._fields)
_WHOLES: Final = frozenset({"input_tokens", "output_tokens", "searches", "billed_nanousd"})


class Buckets(NamedTuple):
    """Tokens counted once each. Their sum is input plus output, however the upstream's numbers overlap."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int


class Parts(NamedTuple):
    """The same, with all that may have a rate of its own. `reasoning` is 0 where it is billed as the text it is."""

    input_text: int
    input_audio: int
    input_image: int
    cached_text: int
    cached_audio: int
    write_5m: int
    write_1h: int
    output_text: int
    reasoning: int
    output_audio: int
    output_image: int


class Sane(NamedTuple):
    """Usage that can be billed, and why the upstream's counts had to be corrected for that: a word for each."""

    usage: Usage
    corrections: tuple[Correction, ...] = ()


def disjoint(usage: Usage) -> Buckets:
    """The inclusive counts taken apart. Parts larger than their whole are cut down to it; negatives are nothing."""
    if not (usage.cached_input_tokens or usage.cache_write_tokens) and usage.input_tokens >= 0 <= usage.output_tokens:
        return Buckets(usage.input_tokens, 0, 0, usage.output_tokens)  # what nearly every call amounts to
    input_tokens = max(0, usage.input_tokens)
    cached_tokens = within(usage.cached_input_tokens, input_tokens)
    written_tokens = within(usage.cache_write_tokens, input_tokens - cached_tokens)
    return Buckets(
        input_tokens - cached_tokens - written_tokens, cached_tokens, written_tokens, max(0, usage.output_tokens)
    )


def parts_of(usage: Usage, *, reasoning_apart: bool) -> Parts:
    """As `disjoint`; the sum is the same."""
    fresh, cached, written, output = disjoint(usage)
    details = usage.details or _NO_DETAILS
    cached_audio = within(details.cached_audio_tokens, cached)
    audio = within(details.input_audio_tokens - cached_audio, fresh)
    image = within(details.input_image_tokens, fresh - audio)
    write_1h = within(details.cache_write_1h_tokens, written)
    out_audio = within(details.output_audio_tokens, output)
    out_image = within(details.output_image_tokens, output - out_audio)
    text = output - out_audio - out_image
    reasoning = within(usage.reasoning_tokens, text) if reasoning_apart else 0
    return Parts(
        fresh - audio - image,
        audio,
        image,
        cached - cached_audio,
        cached_audio,
        written - write_1h,
        write_1h,
        text - reasoning,
        reasoning,
        out_audio,
        out_image,
    )


def sane(usage: Usage, context_tokens: int | None = None, sequences: int = 1) -> Sane:
    """`usage` with every count within what is possible: not negative, not beyond the window, no part above its whole.

    `sequences` is how many windows the request could fill: the inputs of an embeddings batch, or its `n`.
    """
    limit = TOKENS_MAX if context_tokens is None else min(TOKENS_MAX, context_tokens * max(1, sequences))
    input_tokens = within(usage.input_tokens, limit)
    output_tokens = within(usage.output_tokens, limit)
    cached_tokens = within(usage.cached_input_tokens, input_tokens)
    corrected = Usage(
        input_tokens,
        output_tokens,
        cached_tokens,
        within(usage.cache_write_tokens, input_tokens - cached_tokens),
        within(usage.reasoning_tokens, output_tokens),
        usage.estimated,
    )
    if usage.details is not None:
        corrected = corrected._replace(details=_sane_details(usage.details, corrected))
    if corrected == usage:
        return Sane(usage)
    pairs = zip(_NAMES, _counts(usage), _counts(corrected), strict=True)
    return Sane(corrected, tuple(_why(name, before) for name, before, after in pairs if before != after))


def _why(name: str, told: object) -> Correction:
    if isinstance(told, int) and told < 0:
        return Correction.NEGATIVE
    return Correction.TOO_LARGE if name in _WHOLES else Correction.PART_ABOVE_WHOLE


def _sane_details(details: UsageDetails, usage: Usage) -> UsageDetails:
    """`usage` is sane already."""
    cached = usage.cached_input_tokens
    fresh = usage.input_tokens - cached - usage.cache_write_tokens
    cached_audio = within(details.cached_audio_tokens, cached)
    audio = within(details.input_audio_tokens - cached_audio, fresh)
    out_audio = within(details.output_audio_tokens, usage.output_tokens)
    billed = details.billed_nanousd
    return UsageDetails(
        within(details.cache_write_1h_tokens, usage.cache_write_tokens),
        cached_audio + audio,
        cached_audio,
        within(details.input_image_tokens, fresh - audio),
        out_audio,
        within(details.output_image_tokens, usage.output_tokens - out_audio),
        within(details.searches, SEARCHES_MAX),
        details.service,
        billed if billed is not None and 0 <= billed <= BILLED_MAX_NANOUSD else None,
        details.corrected,
    )


def within(tokens: int, limit: int) -> int:
    return min(max(0, tokens), limit)


def _counts(usage: Usage) -> tuple[object, ...]:
    return (*usage[:5], *(usage.details or _NO_DETAILS))

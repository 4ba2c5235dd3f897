"""How long a deployment takes for a request, from what it took lately.

Time to first token is taken as a straight line over the prompt's size, fitted to samples that lose half their weight
every minute; what comes after it as a time per token. Quantiles come from a histogram of the same samples whose steps
are a fifth apart, so that two kinds of traffic with nothing between them stay two. A sample that was cut off counts as
twice the time it was given: taken at its word, a limit learned from it would never leave room for the truth.

Weights grow instead of fading ("forward decay": Cormode et al., ICDE 2009), so that a sample is a few additions.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import log2
from typing import Final, NamedTuple

HALF_LIFE_S: Final = 60.0
CENSORED_FACTOR: Final = 2.0
FORGET_S: Final = 3600.0
"""What was last seen longer ago is no longer known."""
# The histogram: four steps per octave from a millisecond, up to well over an hour.
_STEPS_PER_OCTAVE: Final = 4
_BUCKETS: Final = 88
_FLOOR_S: Final = 0.001
# Weights double each half-life; before they come near the end of doubles all are brought back.
_WEIGHT_MAX: Final = 2.0**60
_HALF_LIVES_MAX: Final = 900.0
# A whole answer's prompt counts as so many tokens written, so that short answers are not taken for fast ones.
_PROMPT_AS_OUTPUT_TOKENS: Final = 16.0


class Sample(NamedTuple):
    """How long one attempt took; token counts as billed, or as expected where it was not.

    `ttft_s` None: it was no stream, or nothing came. `censored`: it was cut off, `ttft_s` (or else `total_s`) is how
    long the first token was waited for.
    """

    input_tokens: int
    ttft_s: float | None
    itl_s: float | None
    total_s: float
    output_tokens: int
    censored: bool = False


class Latency(NamedTuple):
    """Weighted sums over the samples of one deployment. A weight was 1 at `since_s`; the last sample is of `seen_s`."""

    since_s: float = 0.0
    seen_s: float | None = None
    first: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)  # w, wx, wy, wxx, wxy
    between: tuple[float, float] = (0.0, 0.0)  # w, w * itl
    whole: tuple[float, float, float] = (0.0, 0.0, 0.0)  # w, w * total, w * output tokens
    output: tuple[float, float] = (0.0, 0.0)  # w, w * output tokens
    histogram: tuple[float, ...] = ()


UNKNOWN_LATENCY: Final = Latency()


def observe(latency: Latency, sample: Sample, now: float) -> Latency:
    """The estimates with one more sample."""
    if latency.seen_s is None:
        latency = Latency(since_s=now, seen_s=now)
    weight = 2.0 ** min(max(0.0, (now - latency.since_s) / HALF_LIFE_S), _HALF_LIVES_MAX)
    if weight > _WEIGHT_MAX:
        latency, weight = _brought_back(latency, weight, now), 1.0
    since_s, seen_s, first, between, whole, output, histogram = latency
    input_tokens, ttft_s, itl_s, total_s, output_tokens, censored = sample
    if censored:
        ttft_s = CENSORED_FACTOR * (total_s if ttft_s is None else ttft_s)
    if ttft_s is not None:
        first = _with_first(first, weight, float(input_tokens), ttft_s)
        histogram = _with_bucket(histogram, weight, ttft_s)
    if itl_s is not None:
        between = (between[0] + weight, between[1] + weight * itl_s)
    elif ttft_s is None:
        whole = (whole[0] + weight, whole[1] + weight * total_s, whole[2] + weight * output_tokens)
    if output_tokens:
        output = (output[0] + weight, output[1] + weight * output_tokens)
    return Latency(since_s, max(now, seen_s or now), first, between, whole, output, histogram)


def expected_s(latency: Latency, input_tokens: float, output_tokens: float, now: float) -> float | None:
    """How long a request of this size is expected to take from start to end; None where nothing is known."""
    _, seen_s, first, between, whole, _, _ = latency
    if seen_s is None or now - seen_s > FORGET_S:
        return None
    if first[0]:
        weight, spent = between
        ttft_s = _on_line(first, input_tokens)
        return ttft_s + spent / weight * (output_tokens - 1.0) if weight and output_tokens > 1.0 else ttft_s
    weight, total, tokens = whole
    if not weight:
        return None
    share = (output_tokens + _PROMPT_AS_OUTPUT_TOKENS) / (tokens / weight + _PROMPT_AS_OUTPUT_TOKENS)
    return total / weight * share


def expected_ttft_s(latency: Latency, input_tokens: float, now: float) -> float | None:
    """Expected time to the first token of a prompt of this size; None where no stream was seen."""
    if not latency.first[0] or _is_forgotten(latency, now):
        return None
    return _on_line(latency.first, input_tokens)


def _on_line(first: tuple[float, float, float, float, float], x: float) -> float:
    weight, xs, ys, xxs, xys = first
    mean_x, mean_y = xs / weight, ys / weight
    mean_xx = xxs / weight
    spread = mean_xx - mean_x * mean_x
    if spread <= 1e-9 * mean_xx or not mean_x:  # prompts of one size tell nothing of others
        return mean_y
    slope = (xys / weight - mean_x * mean_y) / spread
    if slope <= 0.0:  # a longer prompt is never faster
        return mean_y
    # Nor does any take less than nothing: the line is no steeper than one from the origin.
    steepest = mean_y / mean_x
    return mean_y + min(steepest, slope) * (x - mean_x)


def ttft_quantile_s(latency: Latency, quantile: float, now: float) -> float | None:
    """The time within which this share of first tokens came lately, to a fifth; None where no stream was seen."""
    if not latency.histogram or _is_forgotten(latency, now):
        return None
    sums = list(accumulate(latency.histogram))
    step = bisect_left(sums, min(quantile, 1.0) * sums[-1])
    return _FLOOR_S * float(2.0 ** (step / _STEPS_PER_OCTAVE))


def unseen_s(latency: Latency, now: float) -> float | None:
    """How long ago the last sample came; None where there was none."""
    return None if latency.seen_s is None else max(0.0, now - latency.seen_s)


def _is_forgotten(latency: Latency, now: float) -> bool:
    return latency.seen_s is None or now - latency.seen_s > FORGET_S


def usual_output_tokens(latency: Latency) -> float | None:
    """How long answers were lately; None where nothing is known."""
    weight, tokens = latency.output
    return tokens / weight if weight else None


def _with_first(
    first: tuple[float, float, float, float, float], weight: float, x: float, y: float
) -> tuple[float, float, float, float, float]:
    ws, xs, ys, xxs, xys = first
    wx = weight * x
    return ws + weight, xs + wx, ys + weight * y, xxs + wx * x, xys + wx * y


def _with_bucket(histogram: tuple[float, ...], weight: float, ttft_s: float) -> tuple[float, ...]:
    step = 0 if ttft_s <= _FLOOR_S else min(_BUCKETS - 1, round(_STEPS_PER_OCTAVE * log2(ttft_s / _FLOOR_S)))
    counts = list(histogram) if histogram else [0.0] * _BUCKETS
    counts[step] += weight
    return tuple(counts)


def _brought_back(latency: Latency, weight: float, now: float) -> Latency:
    """The same estimates with weights counted from now."""
    by = 1.0 / weight
    first, between, whole, output = latency.first, latency.between, latency.whole, latency.output
    return Latency(
        now,
        latency.seen_s,
        (first[0] * by, first[1] * by, first[2] * by, first[3] * by, first[4] * by),
        (between[0] * by, between[1] * by),
        (whole[0] * by, whole[1] * by, whole[2] * by),
        (output[0] * by, output[1] * by),
        tuple([count * by for count in latency.histogram]),
    )

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.usage import Correction, Usage, UsageDetails
from policies.usage_parts import BILLED_MAX_NANOUSD, SEARCHES_MAX, TOKENS_MAX, Sane, disjoint, parts_of, sane

counts = st.integers(-1_000, 10_000_000)
details = st.builds(
    UsageDetails, counts, counts, counts, counts, counts, counts, counts, st.just("flex"), st.none() | counts
)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.booleans(), st.none() | details)


@given(usages)
def test_buckets_hold_every_token_once(usage: Usage) -> None:
    tokens = disjoint(usage)
    assert all(count >= 0 for count in tokens)
    assert sum(tokens) == max(0, usage.input_tokens) + max(0, usage.output_tokens)


@pytest.mark.parametrize(
    ("usage", "expected", "why"),
    [
        (Usage(10, 20, 5, 5, 20), Usage(10, 20, 5, 5, 20), []),
        (Usage(-1, 20), Usage(0, 20), ["negative"]),
        (Usage(10**18, 20), Usage(1000, 20), ["too_large"]),
        (Usage(10, 10**18), Usage(10, 1000), ["too_large"]),
        (Usage(10, 20, 11), Usage(10, 20, 10), ["part_above_whole"]),
        (Usage(10, 20, 6, 6), Usage(10, 20, 6, 4), ["part_above_whole"]),
        (Usage(10, 20, 0, 0, 21), Usage(10, 20, 0, 0, 20), ["part_above_whole"]),
        (Usage(-1, -1, -1, -1, -1, estimated=True), Usage(estimated=True), ["negative"] * 5),
    ],
)
def test_sane(usage: Usage, expected: Usage, why: list[str]) -> None:
    assert sane(usage, context_tokens=1000) == Sane(expected, tuple(map(Correction, why)))


def test_a_batch_may_fill_one_window_per_sequence() -> None:
    usage = Usage(input_tokens=5_000)
    assert sane(usage, context_tokens=1000, sequences=5) == Sane(usage)
    assert sane(usage, context_tokens=1000, sequences=4).corrections == (Correction.TOO_LARGE,)


def test_without_a_known_window_a_count_is_still_bounded() -> None:
    assert sane(Usage(input_tokens=2**63)).usage.input_tokens == TOKENS_MAX


@given(usages, st.booleans())
def test_parts_hold_every_token_once(usage: Usage, reasoning_apart: bool) -> None:  # noqa: FBT001 - drawn
    parts = parts_of(usage, reasoning_apart=reasoning_apart)
    assert all(count >= 0 for count in parts)
    assert sum(parts) == sum(disjoint(usage))
    assert reasoning_apart or not parts.reasoning


@pytest.mark.parametrize(
    ("told", "expected", "why"),
    [
        (UsageDetails(4, 7, 5, 1, 3, 2, 9, "flex", 12), UsageDetails(4, 7, 5, 1, 3, 2, 9, "flex", 12), None),
        (UsageDetails(cache_write_1h_tokens=6), UsageDetails(cache_write_1h_tokens=5), "part_above_whole"),
        (UsageDetails(input_audio_tokens=91), UsageDetails(input_audio_tokens=5), "part_above_whole"),
        (UsageDetails(cached_audio_tokens=91, input_audio_tokens=95), UsageDetails(0, 95, 90), "part_above_whole"),
        (
            UsageDetails(output_audio_tokens=8, output_image_tokens=8),
            UsageDetails(0, 0, 0, 0, 8, 2),
            "part_above_whole",
        ),
        (UsageDetails(searches=-1), UsageDetails(), "negative"),
        (UsageDetails(searches=10**9), UsageDetails(searches=SEARCHES_MAX), "too_large"),
        (UsageDetails(billed_nanousd=-1), UsageDetails(), "negative"),
        (UsageDetails(billed_nanousd=BILLED_MAX_NANOUSD + 1), UsageDetails(), "too_large"),
    ],
)
def test_details_are_parts_of_what_they_are_parts_of(
    told: UsageDetails, expected: UsageDetails, why: str | None
) -> None:
    usage = Usage(100, 10, 90, 5)
    corrections = () if why is None else (Correction(why),)
    assert sane(usage._replace(details=told)) == Sane(usage._replace(details=expected), corrections)


def test_what_was_corrected_before_stays_said() -> None:
    details = UsageDetails(searches=-1, corrected=(Correction.TOO_LARGE,))
    found = sane(Usage(10, 5, details=details))
    assert found.usage == Usage(10, 5, details=UsageDetails(corrected=(Correction.TOO_LARGE,)))
    assert found.corrections == (Correction.NEGATIVE,)


@given(usages, st.none() | st.integers(1, 2_000_000))
def test_sane_usage_is_left_alone(usage: Usage, context_tokens: int | None) -> None:
    once = sane(usage, context_tokens)
    assert (once.corrections == ()) == (once.usage == usage)
    assert sane(once.usage, context_tokens) == Sane(once.usage)
    assert once.usage.estimated == usage.estimated

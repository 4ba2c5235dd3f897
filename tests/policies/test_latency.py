from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.latency import (
    CENSORED_FACTOR,
    FORGET_S,
    HALF_LIFE_S,
    UNKNOWN_LATENCY,
    Latency,
    Sample,
    expected_s,
    expected_ttft_s,
    observe,
    ttft_quantile_s,
    unseen_s,
    usual_output_tokens,
)


def stream(ttft_s: float, input_tokens: int = 100, itl_s: float = 0.01, output_tokens: int = 101) -> Sample:
    return Sample(input_tokens, ttft_s, itl_s, ttft_s + itl_s * (output_tokens - 1), output_tokens)


def after(*samples: tuple[float, Sample]) -> Latency:
    latency = UNKNOWN_LATENCY
    for at_s, sample in samples:
        latency = observe(latency, sample, at_s)
    return latency


def test_nothing_is_expected_of_the_unknown() -> None:
    assert expected_s(UNKNOWN_LATENCY, 100, 100, 0.0) is None
    assert expected_ttft_s(UNKNOWN_LATENCY, 100, 0.0) is None
    assert ttft_quantile_s(UNKNOWN_LATENCY, 0.95, 0.0) is None
    assert unseen_s(UNKNOWN_LATENCY, 0.0) is None
    assert usual_output_tokens(UNKNOWN_LATENCY) is None


def test_a_stream_takes_its_first_token_and_then_a_time_for_each() -> None:
    latency = after((0.0, stream(0.5)))
    assert expected_s(latency, 100, 201, 1.0) == pytest.approx(0.5 + 2.0)
    assert usual_output_tokens(latency) == 101


def test_longer_prompts_take_longer_as_they_did() -> None:
    latency = after((0.0, stream(0.3, 1_000)), (0.0, stream(1.2, 10_000)))
    assert expected_ttft_s(latency, 1_000, 0.0) == pytest.approx(0.3)
    assert expected_ttft_s(latency, 20_000, 0.0) == pytest.approx(2.2)


def test_a_longer_prompt_is_never_taken_for_faster() -> None:
    latency = after((0.0, stream(2.0, 100)), (0.0, stream(1.0, 10_000)))
    assert expected_ttft_s(latency, 50_000, 0.0) == pytest.approx(1.5)


def test_what_is_older_weighs_less() -> None:
    latency = after((0.0, stream(4.0)), (HALF_LIFE_S, stream(1.0)))
    assert expected_ttft_s(latency, 100, HALF_LIFE_S) == pytest.approx((4.0 * 0.5 + 1.0) / 1.5)


def test_what_was_seen_long_ago_is_forgotten() -> None:
    latency = after((0.0, stream(1.0)))
    assert expected_s(latency, 100, 100, FORGET_S) is not None
    assert expected_s(latency, 100, 100, FORGET_S + 1) is None
    assert ttft_quantile_s(latency, 0.5, FORGET_S + 1) is None
    assert unseen_s(latency, FORGET_S + 1) == FORGET_S + 1


def test_whole_answers_are_expected_by_their_length() -> None:
    latency = after((0.0, Sample(100, None, None, 2.0, 184)))
    assert expected_s(latency, 100, 184, 0.0) == pytest.approx(2.0)
    assert expected_s(latency, 100, 384, 0.0) == pytest.approx(4.0)
    assert expected_ttft_s(latency, 100, 0.0) is None


def test_an_answer_without_tokens_takes_what_others_took() -> None:
    latency = after((0.0, Sample(100, None, None, 0.25, 0)))
    assert expected_s(latency, 100, 0, 0.0) == pytest.approx(0.25)


def test_a_cut_sample_counts_as_longer_than_it_was() -> None:
    cut = Sample(100, None, None, 10.0, 0, censored=True)
    assert expected_ttft_s(after((0.0, cut)), 100, 0.0) == pytest.approx(10.0 * CENSORED_FACTOR)


def test_a_limit_learned_from_cut_samples_comes_to_leave_room_for_a_slow_model() -> None:
    """Cut at four times the 95th percentile within 10 to 60 s, a model of 45 s is cut a few times, then answers."""
    latency, cuts = UNKNOWN_LATENCY, 0
    for at_s in range(0, 1_000, 100):
        known_s = ttft_quantile_s(latency, 0.95, at_s)
        patience_s = 10.0 if known_s is None else min(60.0, max(10.0, 4 * known_s))
        cut = patience_s < 45.0
        cuts += cut
        sample = Sample(100, None, None, patience_s, 0, censored=True) if cut else stream(45.0)
        latency = observe(latency, sample, float(at_s))
    assert cuts <= 2


def test_quantiles_are_right_to_a_fifth() -> None:
    rng = Random(7)
    times = sorted(rng.lognormvariate(-1.0, 0.8) for _ in range(2_000))
    latency = after(*((0.0, stream(time_s)) for time_s in times))
    for quantile in (0.1, 0.5, 0.95, 0.99):
        assert ttft_quantile_s(latency, quantile, 0.0) == pytest.approx(times[int(quantile * 2_000)], rel=0.2)


def test_two_kinds_of_traffic_stay_two() -> None:
    latency = after(*((0.0, stream(10.0 if number % 10 == 0 else 0.1)) for number in range(100)))
    assert ttft_quantile_s(latency, 0.85, 0.0) == pytest.approx(0.1, rel=0.2)
    assert ttft_quantile_s(latency, 0.95, 0.0) == pytest.approx(10.0, rel=0.2)


def test_the_least_and_the_most_have_a_place() -> None:
    assert ttft_quantile_s(after((0.0, stream(0.0))), 0.5, 0.0) == pytest.approx(0.001)
    assert (ttft_quantile_s(after((0.0, stream(1e9))), 1.0, 0.0) or 0.0) > 3_000


def test_weights_that_grew_large_are_brought_back() -> None:
    near = after((0.0, stream(1.0)), (100 * HALF_LIFE_S, stream(3.0)))
    assert near.since_s == 100 * HALF_LIFE_S
    assert expected_ttft_s(near, 100, 100 * HALF_LIFE_S) == pytest.approx(3.0)
    assert usual_output_tokens(near) == pytest.approx(101)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 600), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_estimates_are_times_whatever_was_seen_and_however_clocks_went(
    seen: list[tuple[float, float, int]],
) -> None:
    latency, last_s = UNKNOWN_LATENCY, 0.0
    for at_s, ttft_s, input_tokens in seen:
        latency, last_s = observe(latency, stream(ttft_s, input_tokens), at_s), max(last_s, at_s)
    for input_tokens in (0, 1_000, 10**6):
        found = expected_ttft_s(latency, input_tokens, last_s)
        assert found is not None
        assert found >= -1e-9
    assert ttft_quantile_s(latency, 0.95, last_s) is not None

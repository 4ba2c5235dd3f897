from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.prices.from_genai import found_in, looks_like
from gateway.prices.lines import Above, Line


def lines(prices: Any) -> tuple[Line, ...]:
    found = found_in([{"id": "p", "models": [{"id": "m", "match": {"equals": "m"}, "prices": prices}]}])
    return found.models.get("p", {}).get("m", ())


def test_rates_by_their_keys() -> None:
    told = {
        "input_mtok": 3,
        "cache_read_mtok": Decimal("0.3"),
        "cache_write_mtok": Decimal("3.75"),
        "cache_write_1h_mtok": 6,
        "output_mtok": 15,
        "input_audio_mtok": 40,
        "web_searches_kcount": 10,
        "requests_kcount": 5,
        "audio_hours": 2,
        "output_video_mtok": None,
    }
    assert lines(told) == (
        Line(
            source="genai-prices",
            input=Decimal(3),
            cached_input=Decimal("0.3"),
            cache_write=Decimal("3.75"),
            cache_write_1h=Decimal(6),
            output=Decimal(15),
            input_audio=Decimal(40),
            search=Decimal("0.01"),
            request=Decimal("0.005"),
            lacks=("audio_hours",),
        ),
    )


def test_tiers_of_single_rates_become_tiers_of_requests() -> None:
    told = {
        "input_mtok": {"base": 1, "tiers": [{"start": 200, "price": 2}, {"start": 100, "price": 3}]},
        "output_mtok": {"base": 5, "tiers": [{"start": 100, "price": 6}]},
    }
    (line,) = lines(told)
    assert (line.input, line.output) == (Decimal(1), Decimal(5))
    assert line.above == (Above(tokens=100, input=Decimal(3), output=Decimal(6)), Above(tokens=200, input=Decimal(2)))


def test_changes_keep_their_days_and_of_hours_the_dearest_is_taken() -> None:
    told = [
        {"prices": {"input_mtok": 1, "output_mtok": 2}},
        {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 3, "output_mtok": 4}},
        {
            "constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"},
            "prices": {"input_mtok": 2, "output_mtok": 3},
        },
    ]
    before, after = lines(told)
    assert (before.begins, before.output, before.lacks) == (None, Decimal(3), ("hours",))
    assert (after.begins, after.output, after.lacks) == ("2026-03-13", Decimal(4), ("hours",))


def test_a_model_without_a_price_of_tokens_is_left_out() -> None:
    assert lines({"audio_hours": 1}) == ()
    assert lines([]) == ()


def test_names_that_would_stand_for_two_models_stand_for_none() -> None:
    prices = {"input_mtok": 1}
    models = [
        {
            "id": "a",
            "match": {"or": [{"starts_with": "both-"}, {"equals": "only-a"}, {"regex": ".*"}]},
            "prices": prices,
        },
        {"id": "b", "match": {"or": [{"contains": "/both"}, {"equals": "a"}]}, "prices": prices},
    ]
    assert found_in([{"id": "p", "models": models}]).aliases == {"p": {"only-a": "a"}}


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ({"id": "p", "models": 5}, "p: its models are no list"),
        ({"models": []}, "a provider's id is not a name"),
        ({"id": "p", "models": [{"id": 5}]}, "p: a model's id is not a name"),
        ({"id": "p", "models": [{"id": "m", "prices": 5}]}, "p/m: its prices are neither"),
        ({"id": "p", "models": [{"id": "m", "prices": {"input_mtok": -1}}]}, "p/m: input_mtok is negative"),
        ({"id": "p", "models": [{"id": "m", "prices": {"input_mtok": {"base": "x"}}}]}, "p/m: input_mtok is no number"),
        (
            {
                "id": "p",
                "models": [{"id": "m", "prices": {"input_mtok": {"base": 1, "tiers": [{"start": -5, "price": 1}]}}}],
            },
            "p/m: input_mtok has a tier without a whole number of tokens",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(provider: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found_in([provider])


@pytest.mark.parametrize(
    ("document", "is_like"),
    [([{"id": "p", "models": []}], True), ([], True), ({}, False), ([5], False), ([{}], False), (None, False)],
)
def test_it_is_known_by_its_shape(document: object, is_like: bool) -> None:  # noqa: FBT001 - a table's column
    assert looks_like(document) is is_like

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.hardware import GpuSettings
from policies.hardware_cost import Hardware

RENTED = {"usd_per_hour": 2, "tokens_per_s": 2000, "utilisation": "60%"}
OWNED = {
    "price": 30000,
    "residual": 3000,
    "life": "3y",
    "availability": "95%",
    "watts": 700,
    "pue": 1.3,
    "usd_per_kwh": 0.2,
    "hosting_per_hour": 0.1,
}


def gpu(**values: Any) -> GpuSettings:
    return GpuSettings.model_validate(values)


def test_a_rented_gpu_makes_a_price_whose_id_holds_the_numbers() -> None:
    price = gpu(**RENTED).price("llama-70b")
    assert price is not None
    assert price.source == "local_standard"
    assert price.id == "local/llama-70b@2000000000/h,2000,-,-/s,0.6=462962963,462962963,462962963"
    assert (price.input_nanousd, price.cached_input_nanousd, price.output_nanousd) == (462_962_963,) * 3
    assert price.cache_write_nanousd == price.input_nanousd


def test_prompts_and_what_is_known_of_them_may_go_faster() -> None:
    rates = gpu(**RENTED, prefill_tokens_per_s=20_000, cached_tokens_per_s=200_000).rates()
    assert rates == (46_296_296, 4_629_630, 462_962_963)


def test_an_owned_gpu_costs_what_it_loses_and_takes() -> None:
    owned = gpu(owned=OWNED, gpus=2)
    assert owned.nanousd_per_hour == 2 * 1_363_470_800
    assert owned.hardware("x", is_engine=True) == Hardware("x", 2000, 2 * 1_363_470_800, is_engine=True)
    assert owned.price("x") is None


def test_half_a_gpu_costs_half() -> None:
    half = gpu(usd_per_hour=2, gpus=0.5)
    assert (half.nanousd_per_hour, half.milligpus) == (10**9, 500)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "either usd_per_hour or owned"),
        ({"usd_per_hour": 2, "owned": OWNED}, "either usd_per_hour or owned"),
        ({"usd_per_hour": 2, "tokens_per_s": 2000}, "has tokens_per_s, which makes a price of tokens with utilisation"),
        ({"usd_per_hour": 2, "utilisation": "60%"}, "has utilisation, which makes a price of tokens with tokens_per_s"),
        ({"usd_per_hour": 2, "prefill_tokens_per_s": 2000}, "with tokens_per_s only"),
        ({"usd_per_hour": -1}, "must be from 0 to 1,000,000 USD"),
        ({"usd_per_hour": 2, "gpus": 0}, "greater than or equal to"),
        ({"usd_per_hour": 2, "gpus": float("nan")}, "greater than or equal to"),
        ({"usd_per_hour": 2, "gpu": 1}, "Extra inputs"),
        ({"owned": OWNED | {"life": "3 years"}}, "number of years such as 3y"),
        ({"owned": OWNED | {"life": "0y"}}, "number of years such as 3y"),
        ({"owned": OWNED | {"residual": 30001}}, "worth more at its end"),
        ({"owned": OWNED | {"pue": 0.9}}, "greater than or equal to 1"),
        ({"owned": OWNED | {"availability": "0%"}}, "share such as"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        gpu(**values)
    assert "per million" not in str(caught.value)

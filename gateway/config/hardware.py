"""The shape of `gpu`: what the hardware under an engine of one's own costs, and how much it gets done."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import quantities
from gateway.config.fields import Number, Shape, Share
from policies.hardware_cost import (
    HOURS_PER_YEAR,
    MILLI,
    PPM,
    Hardware,
    LocalRates,
    Owned,
    Throughput,
    local_rates,
    of_all_gpus,
    owned_nanousd_per_hour,
)
from policies.tariffs import Price, PriceSource

YEARS: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,2})?)y")
GPUS_MAX: Final = 10_000
TOKENS_PER_S_MAX: Final = 1e9


def _years_h(text: object) -> int:
    """Years such as `3y` in hours."""
    found = YEARS.fullmatch(text) if isinstance(text, str) else None
    hours = 0 if found is None else int(Decimal(found[1]) * HOURS_PER_YEAR)
    if not hours:
        raise ValueError("must be a number of years such as 3y or 4.5y")
    return hours


def _dollars(amount: object) -> int:
    try:
        return quantities.nanousd(amount)
    except ValueError as problem:
        raise ValueError(str(problem).replace(" per million tokens", "")) from None


def _thousandths(value: float | None) -> int | None:
    return None if value is None else round(value * MILLI)


Years = Annotated[
    int,
    BeforeValidator(_years_h),
    WithJsonSchema({"type": "string", "pattern": f"^{YEARS.pattern}$", "examples": ["3y"]}),
]
Usd = Annotated[
    int,
    BeforeValidator(_dollars),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": quantities.PRICE_MAX_USD}),
]
TokensPerS = Annotated[Number, Field(ge=0.001, le=TOKENS_PER_S_MAX)]


def _own_default(text: str) -> Any:  # noqa: ANN401 - what pydantic takes for a schema's extra
    return {"default": text}


class OwnedSettings(Shape):
    """A GPU that was bought, and what it takes to run. Prices are of one GPU, with its part of the machine."""

    price_nanousd: Usd = Field(alias="price", description="What it cost, in USD.")
    residual_nanousd: Usd = Field(default=0, alias="residual", description="What it is worth at the end of its life.")
    life_h: Years = Field(alias="life", description="How long it is written off for.")
    availability: Share = Field(
        default=1.0,
        json_schema_extra=_own_default("100%"),
        description="The share of that time in which it can be used.",
    )
    watts: Annotated[Number, Field(ge=0, le=1_000_000)] = Field(default=0.0, description="What it draws.")
    pue: Annotated[Number, Field(ge=1, le=10)] = Field(
        default=1.0, description="What the building draws for each watt of it."
    )
    usd_per_kwh: Usd = Field(default=0, description="What a kilowatt-hour costs.")
    hosting_per_hour: Usd = Field(default=0, description="Whatever else an hour of it costs, in USD.")

    @model_validator(mode="after")
    def _loses_worth(self) -> Self:
        if self.residual_nanousd > self.price_nanousd:
            raise ValueError("is worth more at its end (residual) than it cost (price)")
        return self

    @property
    def nanousd_per_hour(self) -> int:
        return owned_nanousd_per_hour(
            Owned(
                self.price_nanousd,
                self.residual_nanousd,
                self.life_h,
                round(self.availability * PPM),
                round(self.watts * MILLI),
                round(self.pue * PPM),
                self.usd_per_kwh,
                self.hosting_per_hour,
            )
        )


class GpuSettings(Shape):
    """The hardware under an engine: what an hour of it costs, and for a price of tokens how many it makes."""

    usd_per_hour: Usd | None = Field(default=None, description="What one GPU costs an hour, rented.")
    owned: OwnedSettings | None = Field(default=None, description="Instead: a GPU that was bought.")
    gpus: Annotated[Number, Field(ge=0.001, le=GPUS_MAX)] = Field(
        default=1.0, description="How many of them; 0.5 for half of one that is shared."
    )
    tokens_per_s: TokensPerS | None = Field(
        default=None, description="Tokens per second of all of them at full work; with utilisation it makes the price."
    )
    prefill_tokens_per_s: TokensPerS | None = Field(default=None, description="The same of prompts, where it differs.")
    cached_tokens_per_s: TokensPerS | None = Field(
        default=None, description="The same of prompt tokens that it knows already; else as other prompts."
    )
    utilisation: Share | None = Field(
        default=None, description="The share of time in which it is expected to work; 30% to 60% are usual."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.usd_per_hour is None) == (self.owned is None):
            raise ValueError("must have either usd_per_hour or owned")
        if (self.tokens_per_s is None) != (self.utilisation is None):
            given, missing = (
                ("utilisation", "tokens_per_s") if self.tokens_per_s is None else ("tokens_per_s", "utilisation")
            )
            raise ValueError(f"has {given}, which makes a price of tokens with {missing} only")
        if self.tokens_per_s is None and (self.prefill_tokens_per_s or self.cached_tokens_per_s):
            raise ValueError("has throughputs of prompts, which make a price of tokens with tokens_per_s only")
        return self

    @property
    def nanousd_per_hour(self) -> int:
        """What all of it costs."""
        of_one = self.owned.nanousd_per_hour if self.owned is not None else self.usd_per_hour or 0
        return of_all_gpus(of_one, self.milligpus)

    @property
    def milligpus(self) -> int:
        return round(self.gpus * MILLI)

    def hardware(self, name: str, *, is_engine: bool) -> Hardware:
        return Hardware(name, self.milligpus, self.nanousd_per_hour, is_engine)

    def rates(self) -> LocalRates | None:
        """None where nothing says how much it gets done."""
        if self.tokens_per_s is None or self.utilisation is None:
            return None
        throughput = Throughput(
            round(self.tokens_per_s * MILLI),
            round(self.utilisation * PPM),
            _thousandths(self.prefill_tokens_per_s),
            _thousandths(self.cached_tokens_per_s),
        )
        return local_rates(self.nanousd_per_hour, throughput)

    def price(self, deployment: str) -> Price | None:
        """The charge price. Its id holds all that it was made of, so it never means two sets of rates."""
        rates = self.rates()
        if rates is None:
            return None
        paces = (self.tokens_per_s, self.prefill_tokens_per_s, self.cached_tokens_per_s)
        written = ",".join("-" if pace is None else f"{pace:g}" for pace in paces)
        made_of = f"{self.nanousd_per_hour}/h,{written}/s,{self.utilisation:.6g}"
        told = ",".join(map(str, rates))
        return Price(f"local/{deployment}@{made_of}={told}", PriceSource.LOCAL_STANDARD.value, "", *_four(rates))


def _four(rates: LocalRates) -> tuple[int, int, int, int]:
    """A token that the engine keeps for later is a token that it reads."""
    return rates.input_nanousd, rates.cached_input_nanousd, rates.input_nanousd, rates.output_nanousd

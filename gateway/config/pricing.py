"""The shape of all that is said of prices: `prices`, a deployment's `price`, `discount` and `margin`."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config.fields import AbsolutePath, Shape, Usd, Whole
from gateway.config.owners import moment
from gateway.config.quantities import PRICE_MAX_USD, nanousd
from policies.adjusting import WHOLE_PPM
from policies.tariffs import Adjustment

PERCENT: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?) ?%")
MARGIN_MAX_PERCENT: Final = 1000
_PPM_OF_PERCENT: Final = 10_000
_SERVICE: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
STANDARD_SERVICES: Final = ("auto", "default", "on_demand", "standard")
"""What answers call the service whose rates stand beside `services`, not in it."""


def _usd_for_one(amount: object) -> int:
    try:
        return nanousd(amount)
    except ValueError as problem:
        raise ValueError(str(problem).replace("per million tokens", "for one")) from None


def ppm(value: object, most_percent: int) -> int:
    """A part such as `10%` or 0.1 in millionths. Raises `ValueError`; a number from 1 on could mean either."""
    told = f"must be a percentage such as 10%, from 0% to {most_percent}%"
    if isinstance(value, int | float) and not isinstance(value, bool):
        part = Decimal(str(value)) * WHOLE_PPM
        if not part.is_finite():
            raise ValueError(told)
        if not 0 <= part < WHOLE_PPM:
            raise ValueError(f"{told}; only parts below 1 may stand without %")
    else:
        found = PERCENT.fullmatch(value) if isinstance(value, str) else None
        if found is None or (part := Decimal(found[1]) * _PPM_OF_PERCENT) > most_percent * _PPM_OF_PERCENT:
            raise ValueError(told)
    if part != int(part):
        raise ValueError("must not be finer than 0.0001%")
    return int(part)


def _discount(value: object) -> int:
    return ppm(value, 100)


def _margin(value: object) -> int:
    return ppm(value, MARGIN_MAX_PERCENT)


def _service_name(name: str) -> str:
    if name in STANDARD_SERVICES:
        raise ValueError("is the standard service, whose rates stand beside services")
    if not _SERVICE.fullmatch(name):
        raise ValueError("is not a service tier as answers name them, such as flex, priority or batch")
    return name


_PART_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": f"^{PERCENT.pattern}$", "examples": ["10%"]},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    ]
}
Discount = Annotated[int, BeforeValidator(_discount), WithJsonSchema(_PART_SCHEMA)]
Margin = Annotated[int, BeforeValidator(_margin), WithJsonSchema(_PART_SCHEMA)]
UsdForOne = Annotated[
    int,
    BeforeValidator(_usd_for_one),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": PRICE_MAX_USD}),
]
Moment = Annotated[datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "examples": ["2026-12-01"]})]
ServiceName = Annotated[str, AfterValidator(_service_name)]


class AdjustedShape(Shape):
    """Something whose prices may be other than what is published for it."""

    discount_ppm: Discount | None = Field(
        default=None, alias="discount", description="Taken off every price, as agreed with the provider."
    )
    margin_ppm: Margin | None = Field(
        default=None, alias="margin", description="Put on every price after that, for whoever is charged."
    )


class RateSettings(Shape):
    """What tokens cost, in USD per million of them; request and search are for one."""

    input_nanousd: Usd | None = Field(default=None, alias="input", description="Prompt tokens.")
    cached_input_nanousd: Usd | None = Field(
        default=None, alias="cached_input", description="Prompt tokens read from a cache."
    )
    cache_write_nanousd: Usd | None = Field(
        default=None, alias="cache_write", description="Prompt tokens written to a cache."
    )
    cache_write_1h_nanousd: Usd | None = Field(
        default=None, alias="cache_write_1h", description="Prompt tokens written to a cache for an hour."
    )
    output_nanousd: Usd | None = Field(default=None, alias="output", description="Generated tokens.")
    reasoning_nanousd: Usd | None = Field(
        default=None, alias="reasoning", description="Generated tokens of thought; else as others."
    )
    input_audio_nanousd: Usd | None = Field(default=None, alias="input_audio", description="Prompt tokens of sound.")
    cached_audio_nanousd: Usd | None = Field(
        default=None, alias="cached_audio", description="Prompt tokens of sound read from a cache."
    )
    input_image_nanousd: Usd | None = Field(default=None, alias="input_image", description="Prompt tokens of images.")
    output_audio_nanousd: Usd | None = Field(
        default=None, alias="output_audio", description="Generated tokens of sound."
    )
    output_image_nanousd: Usd | None = Field(
        default=None, alias="output_image", description="Generated tokens of images."
    )
    request_nanousd: UsdForOne | None = Field(default=None, alias="request", description="Each request, in USD.")
    search_nanousd: UsdForOne | None = Field(default=None, alias="search", description="Each web search, in USD.")

    @property
    def rates(self) -> dict[str, int]:
        """The rates that are stated, by their word."""
        return {
            str(field.alias): rate
            for name, field in RateSettings.model_fields.items()
            if (rate := getattr(self, name)) is not None
        }


class TierSettings(RateSettings):
    """Rates for the whole of a request whose prompt is longer than this; what is not named is as for shorter ones."""

    tokens: Whole = Field(ge=1, description="Prompts of more tokens than this.")


Tiers = tuple[TierSettings, ...]


class ServiceSettings(RateSettings):
    """Rates of another tier of service, as answers name it."""

    above: Tiers | None = Field(
        default=None, max_length=20, description="Its rates for long prompts; [] where they are the same."
    )


class StandInSettings(RateSettings):
    """Rates that stand in where nobody knows any."""

    input_nanousd: Usd = Field(alias="input", description="Prompt tokens.")
    output_nanousd: Usd = Field(alias="output", description="Generated tokens.")


class PriceSettings(RateSettings):
    """What a deployment's tokens cost, in USD per million tokens."""

    input_nanousd: Usd = Field(alias="input", description="Prompt tokens.")
    above: Tiers = Field(default=(), max_length=20, description="Rates of requests with long prompts.")
    services: Annotated[Mapping[ServiceName, ServiceSettings], AfterValidator(MappingProxyType)] = Field(
        default_factory=lambda: MappingProxyType({}), description="Rates of other tiers of service: flex, priority."
    )
    begins: Moment | None = Field(default=None, alias="from", description="When the price changes; then says to what.")
    then: "PriceSettings | None" = Field(default=None, description="The price from that moment on.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.begins is None) != (self.then is None):
            missing, given = ("from", "then") if self.begins is None else ("then", "from")
            raise ValueError(f"has {given} without {missing}; a change is from: 2026-12-01 and then: {{input: ...}}")
        if self.then is not None and self.begins and self.then.begins and self.then.begins <= self.begins:
            raise ValueError("has a then whose own change is not later than from")
        tiers = [self.above, *(service.above or () for service in self.services.values())]
        if any(len({tier.tokens for tier in above}) < len(above) for above in tiers):
            raise ValueError("has two entries above the same number of tokens")
        for name, service in self.services.items():
            if self.above and service.above is None:
                raise ValueError(
                    f"has long prompts at rates of their own, and services.{name} says nothing of them; "
                    f"give it an above too, or above: [] where they cost the same"
                )
        return self


class PricesSettings(Shape):
    """What happens when nobody knows a deployment's price, and where prices are looked up."""

    unknown: Literal["auto", "allow", "deny", "price_as"] = Field(
        default="auto",
        description="allow: it runs and its cost is flagged; deny: it is refused; auto: refused under a budget only; "
        "price_as: it is charged at stand-in rates, which are flagged.",
    )
    price_as: StandInSettings | None = Field(default=None, description="The stand-in rates.")
    file: AbsolutePath | None = Field(
        default=None, description="A price table that goes before the shipped one (`pointsman prices update`)."
    )

    @model_validator(mode="after")
    def _has_stand_in(self) -> Self:
        if self.unknown == "price_as" and self.price_as is None:
            raise ValueError("has unknown: price_as and no price_as: {input: ..., output: ...}")
        if self.unknown != "price_as" and self.price_as is not None:
            raise ValueError(f"has price_as, which says nothing with unknown: {self.unknown}")
        return self


def adjustment(provider: AdjustedShape, own: AdjustedShape) -> Adjustment:
    """What a deployment says goes before what its provider says, word by word."""
    discounts, margins = (own.discount_ppm, provider.discount_ppm), (own.margin_ppm, provider.margin_ppm)
    discount = next((one for one in discounts if one is not None), 0)
    return Adjustment(discount, next((one for one in margins if one is not None), 0))

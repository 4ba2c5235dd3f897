"""The shape of what binds the deployments that may see a call: a region, classes of data."""

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.fields import Name, Shape, one_or_more
from policies.route_rules import NO_REQUIREMENTS, Requirements

CLASSES_MAX = 20
DataClasses = Annotated[tuple[Name, ...], BeforeValidator(one_or_more, json_schema_input_type=Name | tuple[Name, ...])]


class RequireSettings(Shape):
    """Who may answer, fallbacks and hedges included. What is required in several places must all be met."""

    region: Name | None = Field(default=None, description="eu is met by eu, and by eu-west-1 and the like.")
    data_class: DataClasses = Field(
        default=(), max_length=CLASSES_MAX, description="Met by deployments whose data_classes name it: all of them."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.region is None and not self.data_class:
            raise ValueError("requires nothing: give region, data_class or both")
        return self


def requirements(settings: RequireSettings | None) -> Requirements:
    if settings is None:
        return NO_REQUIREMENTS
    return Requirements(frozenset(filter(None, [settings.region])), frozenset(settings.data_class))


def together(all_of: Iterable[Requirements]) -> Requirements:
    """What meets each of these."""
    regions: frozenset[str] = frozenset()
    data_classes: frozenset[str] = frozenset()
    for one in all_of:
        regions |= one.regions
        data_classes |= one.data_classes
    return Requirements(regions, data_classes) if regions or data_classes else NO_REQUIREMENTS

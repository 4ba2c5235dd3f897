"""What the store accepts of a key or an owner: the policy file's own shapes, so that both mean the same by a word."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from gateway.config.fields import Flag, ModelPattern, Name, OrgName, Shape, Tag, Whole
from gateway.config.limits import OneOrMoreLimits, limits_of_owner
from gateway.config.owners import ContentLevel, OutputTokens, Weight, time_zone
from gateway.config.problems import written
from gateway.config.residency import CLASSES_MAX
from gateway.config.wording import PLAIN
from gateway.keys.virtual_keys import ENV
from gateway.state.keys.records import FLAGS, Invalid, PriorityWord
from policies.vocabulary import LimitScope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.keys.records import KeyTerms
    from policies.vocabulary import Limit, Predicate

ENTRIES_MAX: Final = 100
MOMENT_MAX_MS: Final = 253_402_300_799_999  # the last of year 9999, which every calendar still writes
TAGS_MAX: Final = 20
MAPPED_BITS: Final = 96

S = TypeVar("S", bound=Shape)


def _network(text: str) -> str:
    """A network as people write it, in one spelling; a lone address is a network of one."""
    try:
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        raise ValueError(
            "must be a network such as 10.0.0.0/8 or 2001:db8::/32, with no bits behind its mask"
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= MAPPED_BITS:
        network = IPv4Network((mapped, network.prefixlen - MAPPED_BITS))
    return str(network)


def _env(text: str) -> str:
    if not ENV.fullmatch(text):
        raise ValueError("must be 1 to 16 lower-case letters and digits")
    return text


Moment = Annotated[Whole, Field(ge=0, le=MOMENT_MAX_MS)]


class StoreShape(Shape):
    """Built with the module, which is imported off the event loop; building reads files."""

    model_config = ConfigDict(defer_build=False)


class TermsShape(StoreShape):
    """What may be said of a key at any time."""

    name: Name
    team: Name | None = None
    user: Name | None = None
    routes: Annotated[tuple[ModelPattern, ...], Field(min_length=1, max_length=ENTRIES_MAX)] | None = None
    networks: (
        Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Field(min_length=1, max_length=ENTRIES_MAX)]
        | None
    ) = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=TAGS_MAX)] = ()
    limits: Annotated[OneOrMoreLimits, Field(max_length=ENTRIES_MAX)] = ()
    output_tokens_default: OutputTokens | None = None
    priority: PriorityWord = "normal"
    uses_cache: Flag = True
    content: ContentLevel = None
    cost_in_body: Flag = False
    trust_trace_context: Flag = False
    require_region: Name | None = None
    require_data_classes: Annotated[tuple[Name, ...], Field(max_length=CLASSES_MAX)] = ()
    not_before_ms: Moment | None = None
    expires_at_ms: Moment | None = None
    disabled: Flag = False


class NewKeyShape(TermsShape):
    """And what is said once."""

    org: OrgName
    env: Annotated[str, AfterValidator(_env)]


class OrgShape(StoreShape):
    name: OrgName
    timezone: str = "UTC"
    weight: Weight = 1


class MemberShape(StoreShape):
    org: OrgName
    name: Name


def accepted(shape: type[S], values: object) -> S:
    """The values in their shape. Raises `Invalid` for the first that is not acceptable."""
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        detail = error.errors(include_input=False, include_url=False)[0]
    kind, context = detail["type"], detail.get("ctx", {})
    said = str(context["error"]) if kind == "value_error" else PLAIN.get(kind, f"is not acceptable ({kind})")
    if kind == "extra_forbidden":
        said = "is not known here"
    if kind == "too_long":
        said = f"must have at most {context['max_length']} entries"
    raise Invalid(written(detail["loc"]) or "name", said.format(**context))


def terms_of(shape: type[TermsShape], given: dict[str, Any], predicate: Callable[[str], Predicate]) -> dict[str, Any]:
    """What is given, checked, as it is to be written down. Raises `Invalid`."""
    terms = accepted(shape, given)
    if (
        terms.not_before_ms is not None
        and terms.expires_at_ms is not None
        and terms.not_before_ms >= terms.expires_at_ms
    ):
        raise Invalid("expires_at_ms", "must be after not_before_ms")
    limits = msgspec.to_builtins(given.get("limits") or ())
    limits = (limits,) if isinstance(limits, dict) else tuple(limits)
    limits_in(limits, terms.name, predicate)
    values = terms.model_dump(exclude={"limits", *FLAGS})
    once = {name: tuple(dict.fromkeys(values[name])) for name in ("tags", "require_data_classes")}
    return values | once | {"limits": limits} | {name: int(getattr(terms, name)) for name in FLAGS}


def limits_in(
    limits: Sequence[dict[str, Any]], key_name: str, predicate: Callable[[str], Predicate]
) -> tuple[Limit, ...]:
    """A key's own limits in the policies' words; `predicate` compiles a `when`. Raises `Invalid`."""
    shaped = accepted(TermsShape, {"name": key_name, "limits": tuple(limits)}).limits
    made: dict[str, Limit] = {}
    for index, entry in enumerate(shaped):
        try:
            found = tuple(limits_of_owner((entry,), LimitScope.KEY, key_name, predicate))
        except ValueError as problem:
            raise Invalid(f"limits[{index}].when", str(problem)) from problem
        for limit in found:
            if made.setdefault(limit.id, limit) is not limit:
                raise Invalid(f"limits[{index}]", f"counts the same as another ({limit.id}); name one of them")
    return tuple(made.values())


def limits_of(key: KeyTerms, predicate: Callable[[str], Predicate]) -> tuple[Limit, ...]:
    """As `limits_in`, of a key that is in the store. Raises `ValueError`."""
    try:
        return limits_in(key.limits, key.name, predicate)
    except Invalid as problem:
        raise ValueError(str(problem)) from problem


def check_timezone(name: str) -> None:
    """Raises `Invalid`. Blocks: time zones lie in files."""
    try:
        time_zone(name)
    except ValueError as problem:
        raise Invalid("timezone", str(problem)) from None

"""What pydantic found, in the file's terms: its places, plain words, a suggestion for an unknown key."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from gateway.config.homes import belongs
from gateway.config.model import Config
from gateway.config.problems import did_you_mean, quoted
from gateway.config.providers import KINDS
from gateway.config.quantities import SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from gateway.config.problems import Place
    from gateway.config.tree import Tree

PLAIN: Final = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_long": "must not have more than {max_length} entries",
    "union_tag_not_found": f"is missing: one of {quoted(KINDS)}",
}


def translated(error: ValidationError, tree: Tree) -> Iterator[tuple[Place, str]]:
    """Each thing that pydantic refused: where, and why."""
    for detail in error.errors(include_input=False, include_url=False):
        place = _place(detail, tree)
        known = _existing(place, tree)
        if detail["type"] == "too_short" and tree.at(known):
            continue  # entries there are, but none that passed, and each has its own finding
        if detail["type"] in ("missing", "union_tag_not_found") and isinstance(tree.at(known), dict):
            yield place, PLAIN[detail["type"]]
        else:
            yield known, _message(detail, known, tree)


def _place(detail: ErrorDetails, tree: Tree) -> Place:
    """pydantic's location without what it adds to the file's: a union's tag, a mark after a mapping's key, and the
    position in a list of one that the file leaves out.
    """
    place = tuple(step for step in detail["loc"] if step != "[key]")
    if place[:1] == ("providers",) and len(place) > 2 and place[2] in KINDS:
        place = (*place[:2], *place[3:])
    for depth, step in enumerate(place):
        if step == 0 and place[:depth] in tree.lines and isinstance(tree.at(place[:depth]), dict):
            place = (*place[:depth], *place[depth + 1 :])
            break
    return (*place, "kind") if detail["type"].startswith("union_tag") else place


def _existing(place: Place, tree: Tree) -> Place:
    """The place, or what encloses it where the file is shorter: a lone name for a one-entry list."""
    while place and place not in tree.lines:
        place = place[:-1]
    return place


def _message(detail: ErrorDetails, place: Place, tree: Tree) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        hint = belongs(place, tree) or did_you_mean(str(place[-1]), known_keys(place[:-1], tree))
        return f"unknown key '{place[-1]}'{hint}"
    if kind == "string_type" and isinstance(tree.at(place), int | float):
        return "must be text; put it in quotes"
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        return _choice(context, place, tree)
    if kind == "less_than_equal" and isinstance(tree.at(place), str) and place not in tree.from_references:
        context = context | {"le": _as_written(context["le"], str(tree.at(place)))}
    return PLAIN.get(kind, f"is not acceptable ({kind})").format(**context)


def _as_written(bound: float, value: str) -> str:
    """A bound in the unit in which the file has what is beyond it."""
    return f"{bound * 100:g}%" if SHARE.fullmatch(value) else f"{bound}"


def _choice(context: dict[str, Any], place: Place, tree: Tree) -> str:
    offered = str(context.get("expected") or context.get("expected_tags"))
    choices = [choice.strip("'") for choice in offered.replace(" or ", ", ").split(", ")]
    value = tree.at(place)
    near = did_you_mean(value, choices) if isinstance(value, str) and place not in tree.from_references else ""
    return f"must be {'' if len(choices) == 1 else 'one of '}{offered}{near}"


def known_keys(place: Place, tree: Tree) -> tuple[str, ...]:
    """The keys that the language has at a place of this file."""
    at: Any = Config
    for depth, step in enumerate(place):
        at = _below(at, step, tree.at(place[:depth]))
    return tuple(_keys(_model(at, tree.at(place))))


def _below(annotation: Any, step: str | int, value: Any) -> Any:  # noqa: ANN401 - annotations are any object
    """The annotation one step further down."""
    annotation = _model(annotation, value)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return fields[str(step)].annotation if step in fields else None
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    return get_args(annotation)[1] if get_origin(annotation) is Mapping else None


def _model(annotation: Any, value: Any) -> Any:  # noqa: ANN401 - annotations are any object
    """The annotation without what is wrapped around it; of a union the member that the value's `kind` names."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is tuple and isinstance(value, dict):
        return _model(get_args(annotation)[0], value)
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = [_model(member, value) for member in get_args(annotation) if member is not type(None)]
    kind = value.get("kind") if isinstance(value, dict) else None
    for member in members:
        field = member.model_fields.get("kind") if hasattr(member, "model_fields") else None
        if field is not None and get_args(field.annotation) == (kind,):
            return member
    return members[0]


def _keys(model: Any) -> Iterator[str]:  # noqa: ANN401 - annotations are any object
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from (field.alias or name for name, field in model.model_fields.items())

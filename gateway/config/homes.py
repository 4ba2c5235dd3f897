"""Where a word of the language belongs that stands where the language does not have it.

Settings of cost and observability have homes that people look for elsewhere first: hardware under the provider, content
under a route. The places are read off the models, so that they cannot be others than those there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from gateway.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.problems import Place
    from gateway.config.tree import Tree

Above = tuple[type[BaseModel], ...]

NAME: Final = "NAME"
WORDS: Final = frozenset(
    [
        "content",
        "cost_header",
        "cost_in_body",
        "cost_semconv",
        "discount",
        "gpu",
        "key_budgets",
        "log",
        "margin",
        "max_series",
        "metrics",
        "otlp",
        "price",
        "prices",
        "sample",
        "semconv",
        "trace",
        "trust_trace_context",
        "usage_attributes",
    ]
)
"""Words that mean one thing wherever they stand: `name` or `max` say nothing by themselves."""
_BESIDE: Final = {
    "trace": "whether a caller's trace is gone on with is trust_trace_context of keys and teams",
    "price": "tables of prices are under prices",
}


def belongs(place: Place, tree: Tree) -> str:
    """Where the word at the end of `place` belongs, as the rest of a sentence; "" where nobody can say."""
    word = str(place[-1])
    if word not in WORDS:
        return ""
    names = _names(place, tree)
    found = sorted(homes(word), key=lambda home: (_is_of_kind(home), home.partition(".")[0] not in names))
    beside = f"; {_BESIDE[word]}" if word in _BESIDE else ""
    return f"; it belongs in {_either([_named(home, names) for home in found])}{beside}"


def homes(word: str) -> list[str]:
    """Every place of the language that has this key, as people write it. What hardware cost to buy is another price."""
    return [home for home in dict.fromkeys(_found(Config, "", word)) if ".gpu." not in home]


def _found(annotation: Any, path: str, word: str, above: Above = ()) -> Iterator[str]:  # noqa: ANN401 - any object
    """Below what this annotation allows; a model within itself, as a price has prices to come, says nothing new."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in above:
        for name, field in annotation.model_fields.items():
            here = f"{path}.{field.alias or name}".removeprefix(".")
            if here.endswith(f".{word}") or here == word:
                yield here
            yield from _found(field.annotation, here, word, (*above, annotation))
    elif origin is tuple:
        yield from _found(arguments[0], f"{path}[]", word, above)
    elif origin is Mapping:
        yield from _found(arguments[1], f"{path}.{NAME}", word, above)
    elif origin in (Union, UnionType):
        yield from _of_members([one for one in arguments if one is not type(None)], path, word, above)


def _of_members(members: list[Any], path: str, word: str, above: Above) -> Iterator[str]:
    """Of a union's members, with the kinds that have it where others have not."""
    kinds: dict[str, list[str]] = {}
    for member in members:
        for home in _found(member, path, word, above):
            kinds.setdefault(home, []).append(_kind(member))
    for home, having in kinds.items():
        told = [kind for kind in having if kind]
        yield f"{home} (kind: {_either(told)})" if told and len(having) < len(members) else home


def _kind(member: Any) -> str:  # noqa: ANN401 - as above
    field = member.model_fields.get("kind") if hasattr(member, "model_fields") else None
    return "" if field is None else str(get_args(field.annotation)[0])


def _names(place: Place, tree: Tree) -> dict[str, str]:
    """What stands for NAME in each section, as far as the place says; a deployment has a provider, which has it."""
    section, name = str(place[0]), str(place[1]) if len(place) > 2 else ""
    names, other = {section: name} if name else {}, {"providers": "deployments", "deployments": "providers"}
    if name and section in other:
        pairs = _pairs(tree)
        turned = pairs if section == "deployments" else {provider: one for one, provider in reversed(pairs.items())}
        names |= {other[section]: turned[name]} if name in turned else {}
    return names


def _pairs(tree: Tree) -> dict[str, str]:
    """Deployments and their providers, where the file itself says so: what a reference holds is not repeated."""
    deployments = tree.values.get("deployments")
    bodies = deployments.items() if isinstance(deployments, dict) else ()
    found = {str(name): body.get("provider") for name, body in bodies if isinstance(body, dict)}
    return {
        name: provider
        for name, provider in found.items()
        if isinstance(provider, str) and ("deployments", name, "provider") not in tree.from_references
    }


def _is_of_kind(home: str) -> bool:
    return home.endswith(")")


def _named(home: str, names: dict[str, str]) -> str:
    """A provider of another kind is another provider."""
    section, _, rest = home.partition(".")
    name = "" if _is_of_kind(home) else names.get(section, "")
    return f"{section}.{rest.replace(NAME, name, 1)}" if name and rest.startswith(NAME) else home


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

"""What the policy file's language has and this version does not do yet. Refusing it is honest; ignoring it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.problems import Place
    from gateway.config.tree import Tree

ANY: Final = "*"
NOT_YET: Final = "is not available in this version"

KEYS: Final[dict[Place, tuple[str, ...]]] = {
    (): ("webhooks",),
}

WORDS: Final[dict[Place, tuple[str, ...]]] = {
    ("providers", ANY, "kind"): ("anthropic", "gemini"),
}


def not_yet(tree: Tree) -> Iterator[tuple[Place, str]]:
    """Each place that asks for something later, and what to say about it."""
    for pattern, keys in KEYS.items():
        for place, _ in (found for key in keys for found in _matches(tree.values, (*pattern, key))):
            yield place, f"'{place[-1]}' {NOT_YET}"
    for pattern, words in WORDS.items():
        yield from (
            (place, f"'{value}' {NOT_YET}") for place, value in _matches(tree.values, pattern) if value in words
        )


def _matches(value: Any, pattern: Place, at: Place = ()) -> Iterator[tuple[Place, Any]]:  # noqa: ANN401 - a file's values
    """The places in `value` that a pattern names, and what is there."""
    if not pattern:
        yield at, value
        return
    step, rest = pattern[0], pattern[1:]
    if isinstance(value, dict):
        for key in value if step == ANY else [step] if step in value else []:
            yield from _matches(value[key], rest, (*at, key))
    elif isinstance(value, list) and step == ANY:
        for index, item in enumerate(value):
            yield from _matches(item, rest, (*at, index))

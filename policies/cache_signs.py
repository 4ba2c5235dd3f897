"""What the words of two questions say beside their vectors: signs that the same answer will not do for both."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


class Veto(StrEnum):
    """What forbids a hit whatever the similarity; the value is shown and counted."""

    NUMBERS = "numbers"
    UNITS = "units"
    DATES = "dates"
    IDS = "ids"
    CODE = "code"
    NEGATION = "negation"
    ANTONYMS = "antonyms"
    ENTITIES = "entities"  # where the route checks them


class Signs(NamedTuple):
    """`veto`: the first that applies."""

    veto: Veto | None = None


def compare(question: str, stored: str, *, checks_entities: bool = False) -> Signs:
    """The signs that `stored`'s answer will not do for `question`."""
    if sorted(_NUMBER.findall(question)) != sorted(_NUMBER.findall(stored)):
        return Signs(Veto.NUMBERS)
    if checks_entities and _capitalised(question) != _capitalised(stored):
        return Signs(Veto.ENTITIES)
    return Signs()


def _capitalised(text: str) -> set[str]:
    return {word for word in text.split()[1:] if word[:1].isupper()}

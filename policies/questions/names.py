"""Names that only one of two questions has: people, places, products, as far as capitals and rare words tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from policies.questions.reading import Reading

_COMPARED_MAX: Final = 40
_PREFIX_MIN: Final = 4
_SUFFIX_MAX: Final = 4


class Named(NamedTuple):
    """Names that only one side has: in all, and `renamed` on the side where they are fewer."""

    names: int = 0
    renamed: int = 0


NONE_NAMED: Final = Named()


def named(one: Reading, other: Reading) -> Named:
    """Spelling slips, endings and initials ("UN", "United Nations") do not make another name."""
    if one.names == other.names:
        return NONE_NAMED
    left, right = _missing(one, other), _missing(other, one)
    return Named(left + right, min(left, right))


def _missing(one: Reading, other: Reading) -> int:
    names = [name for name in one.names if name[0] not in other.stems]
    if not names:
        return 0
    initials = "".join([word[0] for word in other.words[:_COMPARED_MAX]])
    rest = (other.stems - one.stems) if len(other.stems) < _COMPARED_MAX else frozenset()
    return sum(
        not (text.isupper() and len(text) > 1 and text.lower() in initials)
        and not any(is_slip(stem, another) for another in rest)
        for stem, text in names
    )


def is_slip(one: str, other: str) -> bool:
    """One word beside the other with a letter too many, too few, wrong or swapped, or with another ending."""
    if one[0] != other[0] or abs(len(one) - len(other)) > _SUFFIX_MAX:
        return False
    short, long = sorted((one, other), key=len)
    if len(short) >= _PREFIX_MIN and long.startswith(short):
        return True
    if len(short) < _PREFIX_MIN or len(long) - len(short) > 1:
        return False
    place = next(place for place, letter in enumerate(short) if letter != long[place])
    if len(short) == len(long):
        swapped = short[place : place + 2] == long[place : place + 2][::-1] and short[place + 2 :] == long[place + 2 :]
        return swapped or short[place + 1 :] == long[place + 1 :]
    return short[place:] == long[place + 1 :]

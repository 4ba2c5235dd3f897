"""Control tokens that callers write into their messages, taken apart.

A chat template puts what users wrote between control tokens, and the tokenizer, which sees one long text, cannot tell
whose `<|im_start|>system` it reads. So every text of a message that spells a control token is cut inside that token
before the template gets it; the rendered prompt is tokenized piece by piece, and the token never comes to be. Messages
that spell none are not touched: they give the same tokens as they always did.
"""

from __future__ import annotations

import re
import secrets
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from adapters.schema import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of Unicode's private use: no template trims it, changes its case or escapes it.
_PRIVATE_USE = range(0xE000, 0xF8FF)
_MARK_CHARS = 4
MAX_MARKS = 4096
# Looking through a text holds up all other threads of the process: it is done in parts.
_PART_CHARS = 1 << 16


class ControlMarks:
    """Knows the texts of a vocabulary's control tokens. One of a single character cannot be cut, and is let be."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(sorted({text for text in texts if len(text) > 1}))
        self._longest = max(map(len, self._texts), default=0)
        self._pattern = re.compile(f"(?={_any_of(self._texts)})") if self._texts else None
        self._beginnings = frozenset(text[:end] for text in self._texts for end in range(1, len(text)))
        self._endings = frozenset(text[start:] for text in self._texts for start in range(1, len(text)))

    def cut(self, value: Any) -> tuple[Any, str]:  # noqa: ANN401 - any JSON value
        """The value with marks in its texts, and the mark; the value itself where none is needed.

        A text that merely begins or ends like a part of a control token is marked there too: whatever the template puts
        beside it might be the rest. Raises `InvalidRequest` for what is nested too deeply.
        """
        mark = "".join(chr(secrets.choice(_PRIVATE_USE)) for _ in range(_MARK_CHARS))
        try:
            return self._cut(value, mark), mark
        except RecursionError:
            raise InvalidRequest("'messages' are nested too deeply.", "messages") from None

    def pieces(self, rendered: str, mark: str) -> list[str]:
        """The rendered text in pieces, none of which spells a control token that the template has not written.

        Marks that keep nothing apart are just taken out. Raises `InvalidRequest` for thousands of them.
        """
        parts = rendered.split(mark)
        if len(parts) > MAX_MARKS:
            raise _too_often()
        pieces = [parts[0]]
        for number, part in enumerate(parts[1:], 1):
            before = pieces[-1][-self._longest :]
            after = "".join(parts[number : number + self._longest])[: self._longest]
            if self._spans(before, after):
                pieces.append(part)
            else:
                pieces[-1] += part
        return pieces

    def _cut(self, value: Any, mark: str) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, str):
            return self.marked(value, mark)
        if isinstance(value, list):
            cut = [self._cut(one, mark) for one in value]
            return cut if any(new is not old for new, old in zip(cut, value, strict=True)) else value
        if isinstance(value, dict):
            pairs = [(self._cut(name, mark), self._cut(one, mark)) for name, one in value.items()]
            changed = any(
                new[0] is not old[0] or new[1] is not old[1] for new, old in zip(pairs, value.items(), strict=True)
            )
            return dict(pairs) if changed else value
        return value

    def marked(self, text: str, mark: str) -> str:
        """One text, cut where it spells control tokens."""
        at = [start + 1 for start in self._starts(text)]
        if len(at) > MAX_MARKS:
            raise _too_often()
        longest = range(1, min(self._longest, len(text) + 1))
        if any(text[:length] in self._endings for length in longest):
            at.insert(0, 0)
        if any(text[-length:] in self._beginnings for length in longest):
            at.append(len(text))
        if not at:
            return text
        borders = [0, *at, len(text)]
        return mark.join(text[start:end] for start, end in pairwise(borders))

    def _starts(self, text: str) -> list[int]:
        """Where control tokens begin, those within others included; of far too many not all."""
        found: list[int] = []
        if self._pattern is None:
            return found
        for start in range(0, len(text), _PART_CHARS):
            end = start + _PART_CHARS
            seen = self._pattern.finditer(text, start, end + self._longest - 1)
            found += [match.start() for match in seen if match.start() < end]
            if len(found) > MAX_MARKS:
                break
        return found

    def _spans(self, before: str, after: str) -> bool:
        """Whether a control token would begin in one text and end in the other, were they joined."""
        joined = before + after
        return any(
            joined.startswith(text, start) and start + len(text) > len(before)
            for start in range(max(0, len(before) - self._longest + 1), len(before))
            for text in self._texts
            if joined.startswith(text[0], start)
        )


def _any_of(texts: Iterable[str]) -> str:
    """A pattern that matches any of the texts, and looks at each character of what is no such text but once."""
    by_first: dict[str, list[str]] = {}
    for text in texts:
        if not text:
            return ""
        by_first.setdefault(text[0], []).append(text[1:])
    ways = [re.escape(first) + _any_of(rest) for first, rest in by_first.items()]
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def _too_often() -> InvalidRequest:
    return InvalidRequest("'messages' spell control tokens of this model too often.", "messages")

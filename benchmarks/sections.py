"""RESULTS.md by its sections: each benchmark writes its own and leaves the others as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
LAST = "Again"


def sections_of(text: str) -> dict[str, str]:
    """Title to section, its heading included; what stands before the first heading under the empty title."""
    marks = [*_HEADING.finditer(text)]
    ends = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    found = {"": text[: marks[0].start()] if marks else text}
    return found | {mark[1]: text[mark.start() : end] for mark, end in zip(marks, ends, strict=True)}


def put_into(file: Path, text: str) -> None:
    """Write the sections of `text` in place of those of the same titles; new ones stand before the last section."""
    fresh = sections_of(text)
    fresh.pop("")
    kept = sections_of(file.read_text() if file.exists() else "")
    file.write_text(_joined(kept | fresh))


def with_others(text: str, file: Path) -> str:
    """`text` with those sections of the file that it does not have itself."""
    own = sections_of(text)
    others = sections_of(file.read_text()) if file.exists() else {}
    return _joined(own | {title: section for title, section in others.items() if title not in own})


def _joined(sections: dict[str, str]) -> str:
    titles = sorted(sections, key=lambda title: title == LAST)
    return "\n\n".join(sections[title].strip("\n") for title in titles).lstrip("\n") + "\n"

"""What `pointsman cache calibrate` reads: questions with the class of their answer, or with the answer itself, in the
order in which they were asked; pairs; or an exported cache, whose entries are questions with their answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from adapters.cache_questions import text_in
from gateway.state.answers.dump import NotADump, read_entries, read_heading
from gateway.state.answers.snapshot_rows import Loaded
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.answers.store import Entry


class CannotCalibrate(ValueError):  # noqa: N818 - it says what is wrong
    """A line of the file, or this installation, does not allow it."""


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Raises `CannotCalibrate` with the line's number, `OSError`."""
    try:
        return _exported(file)
    except NotADump:
        return _lines(file)


def is_pair(line: dict[str, Any]) -> bool:
    return isinstance(line.get("a"), str) and isinstance(line.get("b"), str) and isinstance(line.get("same"), bool)


def kind_of(line: dict[str, Any]) -> str | None:
    """What a class tells right answers apart by."""
    said = line.get("class")
    return None if said is None or isinstance(said, dict | list) else " ".join(str(said).casefold().split())


def _lines(file: Path) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, RecursionError):
            raise CannotCalibrate(f"line {number} is no JSON object") from None
        if not is_pair(found[-1]) and not _is_asked(found[-1]):
            raise CannotCalibrate(
                f"line {number} is neither {{question, answer}}, {{question, class}} nor {{a, b, same}}"
            )
    if len({is_pair(line) for line in found}) > 1:
        raise CannotCalibrate("the file mixes questions and pairs")
    return found


def _is_asked(line: dict[str, Any]) -> bool:
    return isinstance(line.get("question"), str) and (kind_of(line) is not None or isinstance(line.get("answer"), str))


def _exported(file: Path) -> list[dict[str, Any]]:
    """The oldest first. A cache compares only what has one owner and scope, so each entry says its place. Raises
    `NotADump`.
    """
    with file.open("rb") as lines:
        read_heading(lines)
        entries = [read.entry for read in read_entries(lines) if isinstance(read, Loaded)]
    entries.sort(key=lambda entry: entry.stored_at_s)
    found = [
        {"question": entry.question, "answer": answer, "place": f"{entry.owner} {entry.scope.hex()}"}
        for entry in entries
        if entry.question and (answer := _answer(entry))
    ]
    if not found:
        raise CannotCalibrate("no entry of it has a question and an answer in words")
    return found


def _answer(entry: Entry) -> str:
    known = entry.endpoint in {endpoint.value for endpoint in Endpoint}
    return text_in(Endpoint(entry.endpoint), entry.body) if known and not entry.is_events else ""

"""A decision for people: who is asked first, who next, who cannot be asked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.explaining.decisions import Candidate, Decision

HEAD: Final = ("", "DEPLOYMENT", "AS", "SCORE", "WHY NOT")


def shown(decision: Decision) -> str:
    """Several lines, ending in a line break."""
    return "".join(f"{line}\n" for line in _lines(decision))


def _lines(decision: Decision) -> Iterator[str]:
    who = "anyone" if decision.key is None else f"key {decision.key}"
    yield f"{decision.endpoint} for {decision.model or 'no model'}, by {who}"
    if decision.route is None:
        yield f"refused: {decision.status} {decision.error}"
        return
    why = f" ({decision.why})" if decision.why and decision.why != decision.strategy else ""
    yield f"route {decision.route}, {decision.strategy}{why}"
    needs = decision.needs
    wanted = [*needs.capabilities, *(f"region {name}" for name in needs.regions), *needs.data_classes]
    if wanted:
        yield f"needs {', '.join(wanted)}"
    if decision.error is not None:
        yield f"refused: {decision.status} {decision.error}"
    if not decision.candidates:
        return
    yield ""
    yield from _aligned([HEAD, *(_row(candidate, decision.strategy) for candidate in decision.candidates)])


def _row(candidate: Candidate, strategy: str | None) -> tuple[str, ...]:
    name = f"{candidate.deployment}@{candidate.credential}" if candidate.credential else candidate.deployment
    if candidate.refused is not None:
        why = f"{candidate.refused}: {candidate.detail}" if candidate.detail else candidate.refused
        return "-", name, "", "", why
    score = "" if candidate.score is None else _score(candidate.score, strategy)
    return str(candidate.place), name, candidate.part.replace("_", " "), score, ""


def _score(score: float, strategy: str | None) -> str:
    match strategy:
        case "cheapest":
            return f"{score / 1e9:.3g} USD"
        case "fastest" | "spill":
            return f"{score:.3g} s"
        case _:
            return f"{score:.3g}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

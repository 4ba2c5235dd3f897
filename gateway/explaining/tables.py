"""A decision for people: who is asked first, who next, who cannot be asked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.explaining.decisions import deployment_id
from gateway.tables import aligned
from gateway.usd import usd_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.explaining.cache_told import CacheTold
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
    if decision.cache is not None:
        yield f"cache {_cache(decision.cache)}"
    if decision.error is not None:
        yield f"refused: {decision.status} {decision.error}"
    if not decision.candidates:
        return
    yield ""
    yield from aligned([HEAD, *(_row(candidate, decision.strategy) for candidate in decision.candidates)], len(HEAD))


def _cache(told: CacheTold) -> str:
    """`hit, semantic, 31 s old, risk 0.0042 of at most 0.01, similarity 0.97, saved 0.00035 USD and 110 tokens`."""
    parts = [told.result, *filter(None, (told.level, told.reason))]
    if told.age_s is not None:
        parts.append(f"{told.age_s:.0f} s old")
    if told.risk is not None:
        parts.append(f"risk {told.risk:.4g}" + ("" if told.bar is None else f" of at most {told.bar:.4g}"))
    if told.similarity is not None:
        parts.append(f"similarity {told.similarity:.4g}")
    if told.veto is not None:
        parts.append(f"ruled out by {told.veto}")
    if told.saved_tokens is not None:
        cost = "" if told.saved_nano_usd is None else f"{usd_text(told.saved_nano_usd)} USD and "
        parts.append(f"saved {cost}{told.saved_tokens} tokens")
    return ", ".join(parts)


def _row(candidate: Candidate, strategy: str | None) -> tuple[str, ...]:
    name = deployment_id(candidate)
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

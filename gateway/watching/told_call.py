"""One finished call on one line, or as many as a narrow terminal needs, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.scrubbing import printable
from gateway.usd import usd_text

if TYPE_CHECKING:
    from collections.abc import Mapping

RESET: Final = "\x1b[0m"
COLOURS: Final = {"ok": "\x1b[32m", "client_cancelled": "\x1b[33m"}
THEIRS: Final = "\x1b[33m"
OURS: Final = "\x1b[31m"
DIM: Final = "\x1b[2m"
GAP: Final = "  "
INDENT: Final = " " * 10


class Paint(NamedTuple):
    """Colours, on a terminal only."""

    is_on: bool

    def __call__(self, text: str, colour: str) -> str:
        return f"{colour}{text}{RESET}" if self.is_on else text


def told_call(event: Mapping[str, Any], paint: Paint, columns: int | None = None) -> str:
    """`12:30:01 200 ok  smart > gpt-4o  1.24 s, first 120 ms  812+53 tokens  0.00123 USD  team/key  req_...`.

    Where it is longer than a terminal has `columns`, it goes on below, indented, with a whole part.
    """
    outcome = str(event.get("outcome", "?"))
    parts = [
        (printable(str(event.get("ts", ""))[11:19]), DIM),
        (f"{event.get('status', 0)} {printable(outcome, 40)}", _colour(outcome)),
        (_where(event), ""),
        (_times(event.get("timing_ms") or {}), ""),
        (_tokens(event.get("tokens")), ""),
        (_cost(event), ""),
        (_cache(event.get("cache")), ""),
        (_who(event), ""),
        (_made_for(event.get("made_for")), DIM),
        (_trouble(event), ""),
        (printable(str(event.get("request_id", "")), 60), DIM),
    ]
    line, at = "", 0
    for text, colour in parts:
        if not text:
            continue
        if line and columns is not None and at + len(GAP) + len(text) > columns:
            line, at = f"{line}\n{INDENT}", len(INDENT)
        elif line:
            line, at = line + GAP, at + len(GAP)
        line, at = line + (paint(text, colour) if colour else text), at + len(text)
    return line


def _colour(outcome: str) -> str:
    is_theirs = outcome.startswith(("client", "denied", "guardrail"))
    return COLOURS.get(outcome) or (THEIRS if is_theirs else OURS)


def _where(event: Mapping[str, Any]) -> str:
    asked = printable(str(event.get("model_requested") or "-"), 60)
    deployments = [str(one.get("deployment")) for one in event.get("attempts") or ()] or [event.get("deployment") or ""]
    steps = [printable(str(name), 60) for name in deployments if name]
    return " > ".join([asked, *steps])


def _times(timing: Mapping[str, Any]) -> str:
    total, first = timing.get("total"), timing.get("ttft")
    if not isinstance(total, int | float):
        return ""
    return _ms(total) + (f", first {_ms(first)}" if isinstance(first, int | float) else "")


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def _tokens(tokens: Mapping[str, Any] | None) -> str:
    if not tokens:
        return ""
    estimated = " (estimated)" if tokens.get("estimated") else ""
    return f"{tokens.get('input', 0)}+{tokens.get('output', 0)} tokens{estimated}"


def _cost(event: Mapping[str, Any]) -> str:
    cost = event.get("cost") or {}
    nanousd = cost.get("total_nano_usd")
    if isinstance(nanousd, int):
        saved = cost.get("saved_nano_usd")
        return f"{usd_text(nanousd)} USD" + (f", saved {usd_text(saved)}" if isinstance(saved, int) else "")
    return f"unpriced: {printable(str(cost['unpriced']), 40)}" if cost.get("unpriced") else ""


def _cache(cache: Mapping[str, Any] | None) -> str:
    if not cache or cache.get("result") != "hit":
        return ""
    return f"hit ({printable(str(cache.get('kind') or cache.get('level') or 'cache'), 20)})"


def _who(event: Mapping[str, Any]) -> str:
    named = [event.get(name) for name in ("team", "key_alias")]
    return "/".join(printable(str(name), 40) for name in named if name)


def _made_for(told: Mapping[str, Any] | None) -> str:
    """Of a call that a cache made by itself."""
    return f"for {printable(str(told.get('request_id', '')), 60)}" if told else ""


def _trouble(event: Mapping[str, Any]) -> str:
    code, message = event.get("error_code"), event.get("error_message")
    return ": ".join(printable(str(part), 120) for part in (code, message) if part)

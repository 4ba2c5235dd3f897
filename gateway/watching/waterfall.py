"""Times as bars under each other, one line each: what came when, and how long it took beside the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.scrubbing import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NARROWEST: Final = 10
NAME_CHARS: Final = 28
NOTE_CHARS: Final = 20
WAITING, COMING, WORKING = "-", "=", "#"


class Bar(NamedTuple):
    """`first_ms` is when the first token came; `note` what else there is to say."""

    name: str
    began_ms: float
    ended_ms: float
    first_ms: float | None = None
    note: str = ""


def waterfall(bars: Sequence[Bar], total_ms: float, columns: int) -> Iterator[str]:
    """As wide as `columns`. `#` is work, `-` a wait for the first token, `=` tokens that come."""
    if not bars:
        return
    names = [printable(bar.name, NAME_CHARS) for bar in bars]
    times = [ms(max(0.0, bar.ended_ms - bar.began_ms)) for bar in bars]
    name_chars, time_chars = max(map(len, names)), max(map(len, times))
    notes = [printable(bar.note, NOTE_CHARS) for bar in bars]
    left = columns - name_chars - time_chars - max(map(len, notes)) - 8
    width = max(NARROWEST, left)
    whole_ms = max(total_ms, *(bar.ended_ms for bar in bars), 0.001)
    for name, time, note, bar in zip(names, times, notes, bars, strict=True):
        yield f"  {name:<{name_chars}} |{_drawn(bar, whole_ms, width)}| {time:>{time_chars}}  {note}".rstrip()


def ms(value: float) -> str:
    """`0.08 ms`, `120 ms` or `1.24 s`."""
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 or value == int(value) else f"{value:.2f} ms"


def _drawn(bar: Bar, whole_ms: float, width: int) -> str:
    """At least one character, so that what was quick is seen as well."""
    first = min(width - 1, _place(bar.began_ms, whole_ms, width))
    last = max(first + 1, _place(bar.ended_ms, whole_ms, width))
    if bar.first_ms is None:
        drawn = WORKING * (last - first)
    else:
        waited = min(last, max(first, _place(bar.first_ms, whole_ms, width)))
        drawn = WAITING * (waited - first) + COMING * (last - waited)
    return (" " * first + drawn).ljust(width)


def _place(at_ms: float, whole_ms: float, width: int) -> int:
    return max(0, min(width, round(at_ms / whole_ms * width)))

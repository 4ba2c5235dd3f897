"""Numbers as Grafana writes them in the units that the boards use."""

from __future__ import annotations

import math
from typing import Final

_SHORT: Final = ((1e12, " T"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BYTES: Final = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))
_USD: Final = ((1e9, "B"), (1e6, "M"), (1e3, "K"))
_DAY_S: Final = 86_400
_LONG: Final = ((365.25 * _DAY_S, " years"), (7 * _DAY_S, " weeks"), (_DAY_S, " days"), (3600, " hours"), (60, " mins"))
_BRIEF: Final = ((1e-9, " ns", 1e-9), (1e-6, " µs", 1e-6), (1e-3, " ms", 1e-3))
_AFTER: Final = {
    "reqps": " req/s", "ops": " ops/s", "cps": " c/s", "rps": " rd/s", "pps": " p/s", "hertz": " Hz", "watt": " W",
}  # fmt: skip
_SIGNIFICANT: Final = 3


def written(value: float, unit: str | None, decimals: int | None = None) -> str:
    """The value with its unit; digits by its size unless `decimals` says."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    unit = unit or "none"
    if unit in _SPECIAL:
        return _SPECIAL[unit](value, decimals)
    if unit in _AFTER:
        return _scaled(value, _SHORT, decimals) + _AFTER[unit]
    if unit.startswith("suffix:"):
        return _scaled(value, _SHORT, decimals) + " " + unit.removeprefix("suffix:").strip()
    return _scaled(value, _SHORT, decimals) if unit == "short" else _plain(value, decimals)


def _plain(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = _digits(value)
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{decimals}f}"


def _digits(value: float) -> int:
    """Decimals that leave three digits that say something."""
    size = abs(value)
    if size == 0.0:
        return 0
    return max(0, min(9, _SIGNIFICANT - 1 - math.floor(math.log10(size))))


def _scaled(value: float, scales: tuple[tuple[float, str], ...], decimals: int | None) -> str:
    for bound, suffix in scales:
        if abs(value) >= bound:
            return _plain(value / bound, decimals) + suffix
    return _plain(value, decimals)


def _share(value: float, decimals: int | None) -> str:
    return _plain(value * 100, decimals) + "%"


def _percent(value: float, decimals: int | None) -> str:
    return _plain(value, decimals) + "%"


def _usd(value: float, decimals: int | None) -> str:
    sign, size = ("-" if value < 0 else ""), abs(value)
    return f"{sign}${_scaled(size, _USD, decimals)}"


def _bytes(value: float, decimals: int | None) -> str:
    return _scaled(value, _BYTES, decimals) if abs(value) >= _BYTES[-1][0] else _plain(value, decimals) + " B"


def _seconds(value: float, decimals: int | None) -> str:
    size = abs(value)
    if size == 0.0:
        return "0 s"
    for scale, name in _LONG:
        if size >= scale:
            return _plain(value / scale, decimals) + name
    if size >= 1.0:
        return _plain(value, decimals) + " s"
    scale, name, divisor = next(found for found in reversed(_BRIEF) if size >= found[0] or found is _BRIEF[0])
    return _plain(value / divisor, decimals) + name


def _milliseconds(value: float, decimals: int | None) -> str:
    return _plain(value, decimals) + " ms" if abs(value) < 1000 else _seconds(value / 1000, decimals)


def _days(value: float, decimals: int | None) -> str:
    """`dtdurations`: the largest two units of a duration."""
    if abs(value) < _DAY_S:
        return _seconds(value, decimals)
    days, rest = divmod(abs(value), _DAY_S)
    return f"{'-' if value < 0 else ''}{days:.0f} days, {rest // 3600:.0f} hours"


_SPECIAL: Final = {
    "percentunit": _share,
    "percent": _percent,
    "currencyUSD": _usd,
    "bytes": _bytes,
    "decbytes": _bytes,
    "s": _seconds,
    "ms": _milliseconds,
    "dtdurations": _days,
    "none": _plain,
}

"""The few shapes of PromQL that most panels are made of, each right about its own trap."""

from __future__ import annotations


def rate(series: str, by: str = "") -> str:
    """Per second, summed: the rate goes before the sum, for counters begin anew at restarts."""
    return f"sum{_by(by)} (rate({series}[$__rate_interval]))"


def grown(series: str, by: str = "") -> str:
    """How much a counter grew over the time shown, summed."""
    return f"sum{_by(by)} (increase({series}[$__range]))"


def quantile(share: float, histogram: str, by: str = "", filters: str = "{**}") -> str:
    """The bound below which that share of events lies: buckets are summed before the quantile is taken."""
    buckets = f"sum by ({f'le, {by}' if by else 'le'}) (rate({histogram}_bucket{filters}[$__rate_interval]))"
    return f"histogram_quantile({share}, {buckets})"


def mean(histogram: str, by: str = "", filters: str = "{**}") -> str:
    """A histogram's mean over the interval."""
    return f"{rate(f'{histogram}_sum{filters}', by)} / ({rate(f'{histogram}_count{filters}', by)} > 0)"


def part(of: str, whole: str) -> str:
    """A share: 0 where the part has no series yet, nothing at all where there is no traffic to have a share of."""
    return f"({of} or 0 * {whole}) / ({whole} > 0)"


def or_zero(expr: str) -> str:
    """0 where there is no series at all."""
    return f"({expr} or vector(0))"


def top(count: int, expr: str) -> str:
    return f"topk({count}, {expr} > 0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
